"""Two runs compared: paired where they hold the same cases, independent always, over folds as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from src_model.errors import DataError
from src_model.evaluation.compare import Difference, compare_tables, read_run
from src_model.evaluation.table import ALL_CLASSES, ScoreTable

A = {"p": 0.80, "q": 0.82, "r": 0.79, "s": 0.85}
B = {"s": 0.82, "q": 0.81, "p": 0.78, "r": 0.77}


def table_of(make_score: Any, scores: dict[str, float], **values: Any) -> ScoreTable:
    return ScoreTable(make_score(case, dice, **values) for case, dice in scores.items())


def dice_of(rows: tuple[Difference, ...], over: str = "cases", label: str = "gland") -> Difference:
    return next(row for row in rows if (row.metric, row.over, row.label) == ("dice", over, label))


def test_the_same_cases_are_set_against_each_other_whatever_their_order(make_score: Any) -> None:
    row = dice_of(compare_tables(table_of(make_score, A), table_of(make_score, B)))

    first, second = list(A.values()), [B[case] for case in A]
    differences = np.subtract(first, second)
    assert row.paired is not None
    assert row.paired.p_value == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert row.paired.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert row.paired.significant
    assert row.independent is not None
    assert row.independent.p_value == pytest.approx(stats.ttest_ind(first, second).pvalue)
    assert not row.independent.significant
    assert row.difference == pytest.approx(np.mean(first) - np.mean(second))
    assert (row.mean_a, row.deviation_a) == (
        pytest.approx(np.mean(first)),
        pytest.approx(np.std(first, ddof=1)),
    )
    assert (row.count_a, row.count_b) == (4, 4)


def test_other_cases_are_compared_as_independent_sets(make_score: Any) -> None:
    other = {"p": 0.78, "q": 0.81, "x": 0.7}

    row = dice_of(compare_tables(table_of(make_score, A), table_of(make_score, other)))

    assert row.paired is None
    assert row.independent is not None
    assert row.independent.p_value == pytest.approx(stats.ttest_ind([*A.values()], [*other.values()]).pvalue)
    assert (row.count_a, row.count_b) == (4, 3)


def test_a_single_case_has_a_difference_but_no_test(make_score: Any) -> None:
    row = dice_of(compare_tables(table_of(make_score, {"p": 0.9}), table_of(make_score, {"p": 0.7})))

    assert row.difference == pytest.approx(0.2)
    assert row.paired is row.independent is None


def test_folds_are_compared_by_their_means_and_paired_where_they_hold_the_same_cases(make_score: Any) -> None:
    folds = {"p": 1, "q": 1, "r": 2, "s": 2}
    tables = [
        ScoreTable(make_score(case, dice, fold=folds[case]) for case, dice in scores.items())
        for scores in (A, B)
    ]

    rows = compare_tables(*tables)

    row = dice_of(rows, "folds")
    assert (row.count_a, row.mean_a, row.mean_b) == (2, pytest.approx(0.815), pytest.approx(0.795))
    assert row.paired is not None
    assert row.paired.p_value == pytest.approx(stats.ttest_rel([0.81, 0.82], [0.795, 0.795]).pvalue)
    assert dice_of(rows, "cases").count_a == 4


def test_folds_of_other_cases_are_no_pairs(make_score: Any) -> None:
    first = ScoreTable(make_score(c, d, fold=f) for (c, d), f in zip(A.items(), (1, 1, 2, 2), strict=True))
    second = ScoreTable(make_score(c, B[c], fold=f) for c, f in zip(A, (1, 2, 1, 2), strict=True))

    row = dice_of(compare_tables(first, second), "folds")

    assert row.paired is None
    assert row.independent is not None


def test_each_class_is_compared_and_their_mean(make_score: Any) -> None:
    tables = [
        ScoreTable(make_score(case, dice + offset, label) for case, dice in A.items() for label in "xy")
        for offset in (0.0, 0.1)
    ]

    rows = compare_tables(*tables)

    assert [row.label for row in rows if row.metric == "dice"] == ["x", "y", ALL_CLASSES]
    assert dice_of(rows, label="y").difference == pytest.approx(-0.1)


def test_single_classes_are_compared_whatever_their_names_and_other_classes_are_refused(
    make_score: Any,
) -> None:
    named = table_of(make_score, A, label="nucleus")
    several = ScoreTable(make_score(case, dice, label) for case, dice in A.items() for label in "xy")

    assert dice_of(compare_tables(named, table_of(make_score, B)), label="nucleus").paired is not None
    with pytest.raises(DataError, match="no class in common: nucleus and x, y"):
        compare_tables(named, several)


def test_distances_of_other_units_are_left_out(make_score: Any) -> None:
    rows = compare_tables(table_of(make_score, A), table_of(make_score, B, hd95_unit="um"))

    assert "hd95" not in {row.metric for row in rows}
    assert "dice" in {row.metric for row in rows}


def test_a_run_is_a_file_a_folder_or_a_cross_validation(make_score: Any, tmp_path: Path) -> None:
    first, second = table_of(make_score, {"p": 0.5}), table_of(make_score, {"q": 0.7})
    first.write(tmp_path / "fold-2" / "metrics.csv")
    second.write(tmp_path / "fold-10" / "metrics.csv")

    run = read_run(tmp_path)

    assert [(row.case, row.fold) for row in run.rows] == [("p", 2), ("q", 10)]
    assert read_run(tmp_path / "fold-2") == read_run(tmp_path / "fold-2" / "metrics.csv") == first


def test_a_run_without_scores_is_refused_with_a_remedy(make_score: Any, tmp_path: Path) -> None:
    table_of(make_score, A).write(tmp_path / "cv" / "fold-1" / "metrics.csv")
    (tmp_path / "cv" / "fold-2").mkdir()
    (tmp_path / "empty").mkdir()

    with pytest.raises(DataError, match=r"There is no run .*nowhere"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"empty holds no metrics\.csv; make one with `utanet evaluate"):
        read_run(tmp_path / "empty")
    with pytest.raises(DataError, match=r"The fold .*fold-2 holds no metrics\.csv"):
        read_run(tmp_path / "cv")
