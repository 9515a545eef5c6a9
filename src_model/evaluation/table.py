"""The table of all scores of an evaluation: ``metrics.csv``, and its means and deviations."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

from src_model.errors import DataError
from src_model.evaluation.scores import Score
from src_model.files import atomic_write_text
from src_model.metrics.statistics import mean_and_deviation

METRICS = ("dice", "iou", "precision", "recall", "hd95", "object_f1", "object_dice")
"""Names of all metrics, in the order in which they are shown."""

FILE_NAME = "metrics.csv"

ALL_CLASSES = "all classes"
"""Label of the mean over the classes of each case."""

_COLUMNS = tuple(field.name for field in fields(Score))
_NUMBERS = frozenset(METRICS)
_MAY_BE_EMPTY = frozenset({"object_f1", "object_dice", "fold"})


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One metric of one class, over all cases."""

    label: str
    """Name of the class, or :data:`ALL_CLASSES`."""
    metric: str
    """One of :data:`METRICS`."""
    unit: str
    """Of a distance: ``px``, ``um`` or ``mm``; else empty."""
    mean: float
    """Over the cases."""
    deviation: float
    """Sample standard deviation over the cases; 0 for a single one."""
    count: int
    """Cases that have a value."""
    fold_mean: float | None = None
    """Mean over the folds of their means over cases; ``None`` where there are not several folds."""
    fold_deviation: float | None = None
    """Sample standard deviation of the folds' means."""
    folds: int = 0
    """How many folds."""


@dataclass(frozen=True, init=False)
class ScoreTable:
    """Scores of some cases, one row for each class of each case (and fold).

    Raises
    ------
    DataError
        When distances of different units stand in one table.
    """

    rows: tuple[Score, ...]

    def __init__(self, rows: Iterable[Score]) -> None:
        object.__setattr__(self, "rows", tuple(rows))
        units = sorted({row.hd95_unit for row in self.rows})
        if len(units) > 1:
            raise DataError(
                f"The scores hold HD95 in {' and in '.join(units)}; put cases of one unit in a table."
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes, in the order in which they appear."""
        return tuple(dict.fromkeys(row.label for row in self.rows))

    @property
    def cases(self) -> tuple[str, ...]:
        """Images or volumes, in the order in which they appear."""
        return tuple(dict.fromkeys(row.case for row in self.rows))

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the folds, rising; empty where there are none."""
        return tuple(sorted({row.fold for row in self.rows if row.fold is not None}))

    @property
    def hd95_unit(self) -> str:
        """Unit of HD95: ``px``, ``um`` or ``mm``."""
        return self.rows[0].hd95_unit if self.rows else "px"

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Those of :data:`METRICS` that some row has a value of."""
        return tuple(name for name in METRICS if any(getattr(row, name) is not None for row in self.rows))

    def of(self, label: str) -> ScoreTable:
        """The rows of one class."""
        return ScoreTable(row for row in self.rows if row.label == label)

    def of_fold(self, fold: int) -> ScoreTable:
        """The rows of one fold."""
        return ScoreTable(row for row in self.rows if row.fold == fold)

    def with_fold(self, fold: int) -> ScoreTable:
        """The same scores, as those of a fold."""
        return ScoreTable(replace(row, fold=fold) for row in self.rows)

    def per_case(self, metric: str) -> dict[str, float]:
        """One value for each case: the mean over its classes, and over the folds that hold it.

        Cases that have no value are left out.
        """
        found: dict[str, list[float]] = {}
        for row in self.rows:
            value = getattr(row, metric)
            if value is not None:
                found.setdefault(row.case, []).append(float(value))
        return {case: math.fsum(values) / len(values) for case, values in found.items()}

    def per_fold(self, metric: str) -> dict[int, float]:
        """The mean over the cases of each fold; folds without a value are left out."""
        means = {fold: list(self.of_fold(fold).per_case(metric).values()) for fold in self.folds}
        return {fold: math.fsum(values) / len(values) for fold, values in means.items() if values}

    def summary(self) -> tuple[Summary, ...]:
        """Each metric of each class, then, where there are several, of the mean over the classes."""
        parts = [(label, self.of(label)) for label in self.labels]
        if len(parts) > 1:
            parts.append((ALL_CLASSES, self))
        return tuple(part._summary(label, metric) for label, part in parts for metric in part.metrics)

    def _summary(self, label: str, metric: str) -> Summary:
        values = list(self.per_case(metric).values())
        mean, deviation = mean_and_deviation(values)
        folds = list(self.per_fold(metric).values())
        fold_mean, fold_deviation = mean_and_deviation(folds) if len(folds) > 1 else (None, None)
        return Summary(
            label=label,
            metric=metric,
            unit=self.hd95_unit if metric == "hd95" else "",
            mean=mean,
            deviation=deviation,
            count=len(values),
            fold_mean=fold_mean,
            fold_deviation=fold_deviation,
            folds=len(folds) if len(folds) > 1 else 0,
        )

    def write(self, path: str | Path) -> Path:
        """Write the table as CSV, by atomic rename; numbers are read back exactly.

        Raises
        ------
        OutputError
            When the file cannot be written.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in self.rows:
            writer.writerow([_text(getattr(row, name)) for name in _COLUMNS])
        return atomic_write_text(path, text.getvalue())

    @classmethod
    def read(cls, path: str | Path) -> ScoreTable:
        """Read a table that :meth:`write` wrote; further columns are ignored.

        Raises
        ------
        DataError
            When the file is missing, lacks a column, holds no row, or a value is not what it should be;
            names the file and the line.
        """
        path = Path(path)
        try:
            with path.open(encoding="utf-8", newline="") as stream:
                lines = list(csv.reader(stream))
        except FileNotFoundError as error:
            raise DataError(f"There is no {path}; make one with `utanet evaluate --out`.") from error
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as a table ({error}); use another copy.") from error
        header = lines[0] if lines else []
        lacking = [name for name in _COLUMNS if name not in header]
        if lacking:
            raise DataError(f"{path} lacks the column '{lacking[0]}'; expected {', '.join(_COLUMNS)}.")
        rows = [_row(path, number, header, line) for number, line in enumerate(lines[1:], start=2) if line]
        if not rows:
            raise DataError(f"{path} holds no scores; evaluate again.")
        return cls(rows)


def concatenate(tables: Sequence[ScoreTable]) -> ScoreTable:
    """All rows of several tables in one."""
    return ScoreTable(row for table in tables for row in table.rows)


def _text(value: object) -> str:
    """As it is read back: ``repr`` gives the shortest text of the very same float."""
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


def _row(path: Path, number: int, header: Sequence[str], line: Sequence[str]) -> Score:
    if len(line) != len(header):
        raise DataError(
            f"{path}, line {number}, has {len(line)} values but the header names {len(header)}; mend it."
        )
    texts = dict(zip(header, line, strict=True))
    values = {name: _value(path, number, name, texts[name]) for name in _COLUMNS}
    return Score(**values)  # type: ignore[arg-type]


def _value(path: Path, number: int, name: str, text: str) -> str | float | int | None:
    if name in _MAY_BE_EMPTY and not text:
        return None
    if name not in _NUMBERS and name != "fold":
        return text
    try:
        value = int(text) if name == "fold" else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            f"{path}, line {number}, has the {name} '{text}' but a number is expected; mend the line."
        )
    return value
