"""The table of scores: exact on disk, honest in its means, clear about a damaged file."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src_model.errors import DataError, OutputError
from src_model.evaluation.table import ALL_CLASSES, ScoreTable, Summary, concatenate

HEADER = "case,group,label,dice,iou,precision,recall,hd95,hd95_unit,object_f1,object_dice,fold"


def summary_of(table: ScoreTable, label: str, metric: str) -> Summary:
    return next(row for row in table.summary() if (row.label, row.metric) == (label, metric))


def test_what_is_written_is_read_back_to_the_last_bit(make_score: Any, tmp_path: Path) -> None:
    numbers = random.Random(0)
    rows = [
        make_score(f'case, "{n}"\nä', numbers.random(), hd95=numbers.random() * 1e-300, fold=n or None)
        for n in range(50)
    ]
    rows.append(make_score("last", 0.1 + 0.2, object_f1=1 / 3, object_dice=0.0))
    table = ScoreTable(rows)

    path = table.write(tmp_path / "new" / "metrics.csv")

    assert ScoreTable.read(path) == table
    assert path.read_text(encoding="utf-8").splitlines()[0] == HEADER
    assert [file.name for file in path.parent.iterdir()] == ["metrics.csv"]


def test_a_number_of_numpy_is_written_like_any_other(make_score: Any, tmp_path: Path) -> None:
    table = ScoreTable([make_score("a", np.float64(0.1))])

    table.write(tmp_path / "metrics.csv")

    assert ",0.1," in (tmp_path / "metrics.csv").read_text()


def test_a_table_that_cannot_be_written_leaves_nothing_behind(make_score: Any, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").mkdir()

    with pytest.raises(OutputError, match=r"metrics\.csv"):
        ScoreTable([make_score("a", 0.5)]).write(tmp_path / "metrics.csv")

    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


def test_means_and_deviations_are_over_cases_and_leave_out_what_was_not_measured(make_score: Any) -> None:
    table = ScoreTable(
        [make_score("a", 0.5, object_f1=0.2), make_score("b", 0.7), make_score("c", 0.9, object_f1=0.4)]
    )

    dice = summary_of(table, "gland", "dice")
    objects = summary_of(table, "gland", "object_f1")

    assert (dice.mean, dice.count) == (pytest.approx(0.7), 3)
    assert dice.deviation == pytest.approx(0.2)
    assert (objects.mean, objects.count) == (pytest.approx(0.3), 2)
    assert {row.metric for row in table.summary()} == {
        "dice",
        "iou",
        "precision",
        "recall",
        "hd95",
        "object_f1",
    }
    assert (dice.folds, dice.fold_mean, dice.fold_deviation) == (0, None, None)


def test_several_classes_have_a_mean_over_the_classes_of_each_case(make_score: Any) -> None:
    table = ScoreTable(
        make_score(case, dice, label)
        for case, dice, label in [("a", 0.2, "x"), ("a", 0.6, "y"), ("b", 0.4, "x"), ("b", 1.0, "y")]
    )

    both = summary_of(table, ALL_CLASSES, "dice")

    assert table.per_case("dice") == {"a": pytest.approx(0.4), "b": pytest.approx(0.7)}
    assert both.mean == pytest.approx(0.55)
    assert both.deviation == pytest.approx(np.std([0.4, 0.7], ddof=1))
    assert [row.label for row in table.summary() if row.metric == "dice"] == ["x", "y", ALL_CLASSES]


def test_folds_weigh_alike_however_many_cases_they_hold(make_score: Any) -> None:
    table = concatenate(
        [
            ScoreTable([make_score("a", 0.2), make_score("b", 0.4)]).with_fold(1),
            ScoreTable([make_score("c", 0.9)]).with_fold(2),
        ]
    )

    dice = summary_of(table, "gland", "dice")

    assert table.folds == (1, 2)
    assert table.per_fold("dice") == {1: pytest.approx(0.3), 2: 0.9}
    assert (dice.mean, dice.count) == (pytest.approx(0.5), 3)
    assert (dice.fold_mean, dice.folds) == (pytest.approx(0.6), 2)
    assert dice.fold_deviation == pytest.approx(np.std([0.3, 0.9], ddof=1))


def test_a_case_that_every_fold_scored_counts_once(make_score: Any) -> None:
    table = ScoreTable([make_score("a", 0.2, fold=1), make_score("a", 0.4, fold=2)])

    assert table.per_case("dice") == {"a": pytest.approx(0.3)}
    assert summary_of(table, "gland", "dice").count == 1


def test_the_rows_of_a_class_are_in_their_order(make_score: Any) -> None:
    rows = [make_score(case, 0.5, label) for case in "ba" for label in "xy"]

    table = ScoreTable(rows)

    assert table.of("y").rows == (rows[1], rows[3])
    assert (table.cases, table.labels) == (("b", "a"), ("x", "y"))


def test_distances_of_different_units_are_not_mixed(make_score: Any) -> None:
    with pytest.raises(DataError, match="HD95 in mm and in px"):
        ScoreTable([make_score("a", 0.5), make_score("b", 0.5, hd95_unit="mm")])


def test_further_columns_and_another_order_are_read(make_score: Any, tmp_path: Path) -> None:
    table = ScoreTable([make_score("a", 0.5)])
    names, values = (line.split(",") for line in table.write(tmp_path / "m.csv").read_text().splitlines())
    (tmp_path / "m.csv").write_text(
        "\n".join(",".join([*line[::-1], extra]) for line, extra in ((names, "note"), (values, "mine")))
    )

    assert ScoreTable.read(tmp_path / "m.csv") == table


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "lacks the column 'case'"),
        (HEADER.replace("dice,", "", 1), "lacks the column 'dice'"),
        (HEADER, "holds no scores"),
        (f"{HEADER}\na,a,x,high,0,0,0,0,px,,,", r"line 2, has the dice 'high' but a number"),
        (f"{HEADER}\na,a,x,nan,0,0,0,0,px,,,", r"line 2, has the dice 'nan' but a number"),
        (f"{HEADER}\na,a,x,1,0,0,0,0,px,,,two", r"line 2, has the fold 'two'"),
        (f"{HEADER}\na,a,x,,0,0,0,0,px,,,", r"line 2, has the dice ''"),
        (f"{HEADER}\na,a,x,1,0", r"line 2, has 5 values but the header names 12"),
    ],
)
def test_a_damaged_table_is_refused_by_file_and_line(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(DataError, match=rf"metrics\.csv.*{sentence}"):
        ScoreTable.read(path)


def test_a_table_that_is_not_there_or_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(DataError, match=r"There is no .*none\.csv"):
        ScoreTable.read(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"binary\.csv cannot be read"):
        ScoreTable.read(tmp_path / "binary.csv")
