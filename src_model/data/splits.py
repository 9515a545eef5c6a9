"""Who is trained on and who is held out: always whole patients or slides, never tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from src_model.config import DataConfig
from src_model.errors import DataError


class Grouped(Protocol):
    """A case that belongs to a patient or slide."""

    @property
    def group(self) -> str:
        """Of which patient or slide it is."""


C = TypeVar("C", bound=Grouped)
Split = tuple[list[C], list[C]]


def split_cases(cases: Sequence[C], data: DataConfig, seed: int) -> Split[C]:
    """Cases to learn from and cases to score on, as ``data`` asks: a fraction held out, or a fold.

    Raises
    ------
    DataError
        When there are too few.
    """
    if data.folds is None:
        return train_validation(cases, data.validation_fraction, seed)
    return folds(cases, data.folds, data.fold, seed)


def train_validation(cases: Sequence[C], fraction: float, seed: int) -> Split[C]:
    """Hold out about ``fraction`` of the groups (patients, slides), at least one.

    Returns
    -------
    training, validation : list
        In the order of ``cases``. The same seed gives the same split.

    Raises
    ------
    DataError
        When there are fewer than two groups.
    """
    groups = _shuffled_groups(cases, seed)
    if len(groups) < 2:
        raise DataError(
            f"Training needs at least two images of different origin to hold one out, but got {len(groups)}; "
            "add images."
        )
    held_out = min(max(round(fraction * len(groups)), 1), len(groups) - 1)
    return _divide(cases, set(groups[:held_out]))


def folds(cases: Sequence[C], count: int, fold: int, seed: int) -> Split[C]:
    """Fold ``fold`` (from 0) of a cross-validation with ``count`` folds of the groups.

    Every case is held out in exactly one of the folds.

    Raises
    ------
    DataError
        When there are fewer groups than folds.
    """
    groups = _shuffled_groups(cases, seed)
    if len(groups) < count:
        raise DataError(
            f"{count} folds need at least {count} images of different origin but there are {len(groups)}; "
            "ask for fewer folds."
        )
    return _divide(cases, set(groups[fold::count]))


def _shuffled_groups(cases: Sequence[Grouped], seed: int) -> list[str]:
    groups = sorted({case.group for case in cases})
    order = np.random.default_rng([seed, len(groups)]).permutation(len(groups))
    return [groups[i] for i in order]


def _divide(cases: Sequence[C], held_out: set[str]) -> Split[C]:
    training = [case for case in cases if case.group not in held_out]
    validation = [case for case in cases if case.group in held_out]
    return training, validation
