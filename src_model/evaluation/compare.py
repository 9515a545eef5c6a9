"""Whether two models differ on a dataset: their tables of scores, compared metric by metric."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from src_model.errors import DataError
from src_model.evaluation.table import ALL_CLASSES, FILE_NAME, METRICS, ScoreTable, concatenate
from src_model.metrics.statistics import ALPHA, Comparison, compare, mean_and_deviation

Over = Literal["cases", "folds"]
Key = TypeVar("Key", str, int)

_FOLD = re.compile(r"fold-(\d+)")
_LEAST = 2
"""Values of each side that a test needs."""


@dataclass(frozen=True, kw_only=True)
class Test:
    """A two-sided t-test."""

    __test__ = False  # not one of pytest's

    p_value: float
    effect_size: float
    """Cohen's d, positive where A is higher; of a paired test, of the differences."""

    @property
    def significant(self) -> bool:
        """Whether the p-value is below 0.05."""
        return self.p_value < ALPHA


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One metric of one class, compared over cases or over folds."""

    label: str
    """Name of the class, or :data:`src_model.evaluation.table.ALL_CLASSES`."""
    metric: str
    unit: str
    """Of a distance; else empty."""
    over: Over
    """What the values are of: single cases, or means of folds."""
    mean_a: float
    deviation_a: float
    count_a: int
    mean_b: float
    deviation_b: float
    count_b: int
    difference: float
    """``mean_a - mean_b``."""
    paired: Test | None
    """Student's t-test of the differences; ``None`` where the two sides have not the same cases or folds."""
    independent: Test | None
    """Student's t-test of two independent sets; ``None`` where a side has a single value."""


def compare_tables(a: ScoreTable, b: ScoreTable) -> tuple[Difference, ...]:
    """Compare two tables of scores.

    Each metric of each class that both hold is compared over the cases, and over the means of the folds
    where both have several. With a paired test the same cases (or folds) of both are set against each
    other; it is the one to look at where there is one. Folds are pairs where they hold the same cases.

    Two tables of a single class each are compared whatever the names of the class. HD95 is left out
    where the units differ.

    Raises
    ------
    DataError
        When no class or metric is in both.
    """
    parts = _common_parts(a, b)
    rows = tuple(row for label, first, second in parts for row in _of_class(label, first, second))
    if not rows:
        raise DataError(
            f"The two tables have no class in common: {', '.join(a.labels)} and {', '.join(b.labels)}; "
            "compare evaluations of the same classes."
        )
    return rows


def compare_dice(a: ScoreTable, b: ScoreTable) -> Difference | None:
    """Dice of two tables over the cases that both hold, over all classes where there are several.

    Returns
    -------
    Difference or None
        ``None`` where they have no case in common.
    """
    shared = {*a.cases} & {*b.cases}
    if not shared:
        return None
    parts = [ScoreTable(row for row in each.rows if row.case in shared) for each in (a, b)]
    return [row for row in compare_tables(*parts) if row.metric == "dice" and row.over == "cases"][-1]


def read_run(path: str | Path) -> ScoreTable:
    """The scores of a run.

    Parameters
    ----------
    path
        ``metrics.csv`` itself, a folder that holds it, or the folder of a cross-validation with
        ``fold-1/metrics.csv``, ``fold-2/metrics.csv``, ..., whose rows get the number of their fold.

    Raises
    ------
    DataError
        When there is no table of scores, a fold lacks its own, or one is damaged.
    """
    path = Path(path)
    if path.is_file():
        return ScoreTable.read(path)
    if not path.is_dir():
        raise DataError(f"There is no run {path}; give a folder with {FILE_NAME}, or such a file.")
    if (path / FILE_NAME).is_file():
        return ScoreTable.read(path / FILE_NAME)
    folds = fold_folders(path)
    if not folds:
        raise DataError(
            f"The folder {path} holds no {FILE_NAME}; make one with `utanet evaluate --checkpoint "
            f"{path / 'model.safetensors'} --out {path}`."
        )
    return concatenate([_fold(folder).with_fold(number) for number, folder in folds.items()])


def fold_folders(path: Path) -> dict[int, Path]:
    """Folders of a cross-validation by the number of their fold, rising."""
    found = {int(match[1]): entry for entry in path.iterdir() if (match := _FOLD.fullmatch(entry.name))}
    return dict(sorted(found.items()))


def _fold(folder: Path) -> ScoreTable:
    if not (folder / FILE_NAME).is_file():
        raise DataError(f"The fold {folder} holds no {FILE_NAME}; finish it, or compare single folds.")
    return ScoreTable.read(folder / FILE_NAME)


def _common_parts(a: ScoreTable, b: ScoreTable) -> Iterator[tuple[str, ScoreTable, ScoreTable]]:
    """Name of each class and its rows in both; then all rows, where both have the same several classes."""
    if len(a.labels) == len(b.labels) == 1:
        yield a.labels[0], a, b
        return
    for label in a.labels:
        if label in b.labels:
            yield label, a.of(label), b.of(label)
    if {*a.labels} == {*b.labels}:
        yield ALL_CLASSES, a, b


def _of_class(label: str, a: ScoreTable, b: ScoreTable) -> Iterator[Difference]:
    for metric in METRICS:
        if metric not in a.metrics or metric not in b.metrics:
            continue
        if metric == "hd95" and a.hd95_unit != b.hd95_unit:
            continue
        unit = a.hd95_unit if metric == "hd95" else ""
        cases = a.per_case(metric), b.per_case(metric)
        yield _difference(label, metric, unit, "cases", *cases, pairs=cases[0].keys() == cases[1].keys())
        folds = a.per_fold(metric), b.per_fold(metric)
        if min(map(len, folds)) >= _LEAST:
            same = folds[0].keys() == folds[1].keys() and all(
                {*a.of_fold(fold).cases} == {*b.of_fold(fold).cases} for fold in folds[0]
            )
            yield _difference(label, metric, unit, "folds", *folds, pairs=same)


def _difference(
    label: str,
    metric: str,
    unit: str,
    over: Over,
    a: Mapping[Key, float],
    b: Mapping[Key, float],
    *,
    pairs: bool,
) -> Difference:
    first, second = list(a.values()), list(b.values())
    enough = min(len(first), len(second)) >= _LEAST
    paired = None
    if pairs and enough:
        paired = _test(compare(first, [b[key] for key in a], paired=True))
    mean_a, deviation_a = mean_and_deviation(first)
    mean_b, deviation_b = mean_and_deviation(second)
    return Difference(
        label=label,
        metric=metric,
        unit=unit,
        over=over,
        mean_a=mean_a,
        deviation_a=deviation_a,
        count_a=len(first),
        mean_b=mean_b,
        deviation_b=deviation_b,
        count_b=len(second),
        difference=mean_a - mean_b,
        paired=paired,
        independent=_test(compare(first, second, paired=False)) if enough else None,
    )


def _test(result: Comparison) -> Test:
    return Test(p_value=result.p_value, effect_size=result.effect_size)
