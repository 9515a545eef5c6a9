"""The tables of the report say what the scores say."""

from __future__ import annotations

from typing import Any

import pytest

from src_model.evaluation.report_tables import (
    Table,
    fold_table,
    image_table,
    summary_table,
    verdict,
)
from src_model.evaluation.table import ScoreTable


def lines(table: Table) -> dict[str, list[str]]:
    """Text of the cells by the name of the row."""
    return {row.name: [cell.text for cell in row.cells] for row in table.rows}


def test_a_class_has_the_mean_and_the_deviation_over_its_images(make_score: Any) -> None:
    table = ScoreTable([make_score("a", 0.6, hd95=2.0), make_score("b", 0.8, hd95=4.0)])

    summary = summary_table(table, {})

    assert summary.head == ("class", "Dice", "IoU", "Precision", "Recall", "HD95 (px)")
    assert lines(summary)["gland"][0] == "0.700 ± 0.141"
    assert lines(summary)["gland"][4] == "3.00 ± 1.41"
    assert summary.caption == "Mean ± standard deviation over 2 images."


def test_several_classes_end_with_their_mean_over_the_classes_of_each_image(make_score: Any) -> None:
    rows = [make_score(case, dice, label) for case, dice, label in
            (("a", 0.2, "x"), ("a", 0.6, "y"), ("b", 0.4, "x"), ("b", 0.8, "y"))]  # fmt: skip

    summary = summary_table(ScoreTable(rows), {"x": "#123456"})

    assert [row.name for row in summary.rows] == ["x", "y", "all classes"]
    assert lines(summary)["all classes"][0] == "0.500 ± 0.141"
    assert [row.colour for row in summary.rows] == ["#123456", "", ""]
    assert [row.total for row in summary.rows] == [False, False, True]


@pytest.mark.parametrize(("unit", "shown"), [("mm", "HD95 (mm)"), ("um", "HD95 (µm)")])
def test_distances_carry_their_unit(make_score: Any, unit: str, shown: str) -> None:
    table = ScoreTable([make_score("a", 0.5, hd95_unit=unit)])

    assert shown in summary_table(table, {}).head


def test_scores_of_objects_have_columns_only_where_there_are_objects(make_score: Any) -> None:
    table = ScoreTable([make_score("a", 0.5, object_f1=0.25), make_score("b", 0.5)])

    images = image_table(table)

    assert images.head[-1] == "Object F1"
    assert [lines(images)[case][-1] for case in "ab"] == ["0.250", "–"]


def test_folds_have_a_line_each_and_the_deviation_of_their_means(make_score: Any) -> None:
    rows = [make_score(case, dice, fold=fold) for case, dice, fold in
            (("a", 0.4, 1), ("b", 0.6, 1), ("c", 0.7, 2), ("d", 0.7, 2))]  # fmt: skip

    folds = fold_table(ScoreTable(rows))

    assert folds is not None
    assert lines(folds)["fold 1"][:2] == ["2", "0.500 ± 0.141"]
    assert lines(folds)["fold 2"][:2] == ["2", "0.700 ± 0.000"]
    assert lines(folds)["over the folds"][:2] == ["4", "0.600 ± 0.141"]


def test_a_single_fold_has_no_table_of_folds(make_score: Any) -> None:
    assert fold_table(ScoreTable([make_score("a", 0.5, fold=1), make_score("b", 0.6, fold=1)])) is None


def test_the_image_that_needs_a_look_comes_first(make_score: Any) -> None:
    table = ScoreTable([make_score("good", 0.9), make_score("bad", 0.1), make_score("fair", 0.5)])

    assert [row.name for row in image_table(table).rows] == ["bad", "fair", "good"]


def test_an_image_shows_its_patient_its_fold_and_the_dice_of_each_class(make_score: Any) -> None:
    rows = [
        make_score("a", 0.2, "x", group="P1", fold=3),
        make_score("a", 0.6, "y", group="P1", fold=3),
        make_score("b", 0.8, "x", group="P2", fold=4),
    ]

    images = image_table(ScoreTable(rows))

    assert images.head[:4] == ("image", "group", "fold", "Dice")
    assert images.head[-2:] == ("Dice x", "Dice y")
    assert lines(images)["a"][:3] == ["P1", "3", "0.400"]
    assert lines(images)["a"][-2:] == ["0.200", "0.600"]
    assert lines(images)["b"][-2:] == ["0.800", "–"]


def test_an_image_scored_in_two_folds_has_two_lines(make_score: Any) -> None:
    table = ScoreTable([make_score("a", 0.5, fold=1), make_score("a", 0.7, fold=2)])

    assert [row.cells[0].text for row in image_table(table).rows] == ["1", "2"]


def test_cells_are_sorted_by_the_number_that_they_round(make_score: Any) -> None:
    table = ScoreTable([make_score("a", 0.123456)])

    cell = image_table(table).rows[0].cells[0]

    assert (cell.text, cell.value) == ("0.123", "0.123456")


def test_the_verdict_names_what_was_counted(make_score: Any) -> None:
    one = ScoreTable([make_score("a", 0.5)])
    two = ScoreTable([make_score("a", 0.5), make_score("b", 0.7)])

    assert verdict(one) == "Dice 0.500 on 1 image."
    assert verdict(two) == "Dice 0.600 ± 0.141 over 2 images."
