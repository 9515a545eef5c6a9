"""The epochs of a run, or of the runs of several folds, in order on one axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Record = Mapping[str, Any]
"""One epoch: ``stage``, ``epoch``, losses and scores, ``expert_usage``; of several folds also ``fold``."""


@dataclass(frozen=True)
class Span:
    """The epochs of one stage on the common axis."""

    stage: str
    first: int
    last: int


@dataclass(frozen=True)
class Timeline:
    """Epoch records by fold, numbered through all stages from 1 on."""

    records: tuple[Record, ...]
    spans: tuple[Span, ...]
    """Stages in the order in which they come; each as long as in the fold that trained it longest."""
    folds: tuple[Any, ...]
    """Names of the folds, or ``(None,)``."""

    @classmethod
    def of(cls, records: Sequence[Record]) -> Timeline:
        """Order the records of one run, or of several that carry ``fold``."""
        spans: list[Span] = []
        for stage in dict.fromkeys(str(record["stage"]) for record in records):
            length = max(int(record["epoch"]) for record in records if str(record["stage"]) == stage)
            begin = spans[-1].last if spans else 0
            spans.append(Span(stage, begin + 1, begin + length))
        folds = tuple(dict.fromkeys(record.get("fold") for record in records)) or (None,)
        return cls(tuple(records), tuple(spans), folds)

    @property
    def length(self) -> int:
        """Epochs of all stages."""
        return self.spans[-1].last if self.spans else 0

    def line(self, key: str, fold: Any) -> NDArray[np.float64]:
        """The values of one fold, ``(length,)``; not a number where there is none."""
        values = np.full(self.length, np.nan)
        for record in self.records:
            if record.get("fold") == fold:
                values[self._position(record) - 1] = as_number(record.get(key))
        return values

    def lines(self, key: str) -> NDArray[np.float64]:
        """The values of all folds, ``(folds, length)``."""
        return np.stack([self.line(key, fold) for fold in self.folds])

    def usage(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Positions ``(T,)`` of the epochs with routers, and their mean usage ``(T, routers, experts)``.

        The mean is over the folds. Records of another number of routers or experts than the first
        are left out.
        """
        shares: dict[int, list[NDArray[np.float64]]] = {}
        shape: tuple[int, ...] | None = None
        for record in self.records:
            rows = record.get("expert_usage")
            if rows:
                array = np.asarray(rows, dtype=np.float64)
                shape = shape or array.shape
                if array.shape == shape:
                    shares.setdefault(self._position(record), []).append(array)
        positions = sorted(shares)
        if not positions:
            return np.zeros(0, np.int64), np.zeros((0, 0, 0))
        return np.array(positions), np.stack([np.mean(shares[position], axis=0) for position in positions])

    def _position(self, record: Record) -> int:
        span = next(span for span in self.spans if span.stage == str(record["stage"]))
        return span.first + int(record["epoch"]) - 1


def as_number(value: Any) -> float:
    """A finite number, or not a number for everything else."""
    if value is None or value == "":
        return math.nan
    number = float(value)
    return number if math.isfinite(number) else math.nan


def mean_line(lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the folds ``(folds, T) -> (T,)`` where every fold has a value, else not a number."""
    mean: NDArray[np.float64] = lines.mean(axis=0)
    return mean
