"""Loading what can be used of a dataset, and saying what cannot."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from src_model.data.problems import Problem
from src_model.errors import DataError

_FAULTY_SHARE = 0.5
"""Where more of the masks hold an unknown class, the configuration is wrong rather than the masks."""


class UnknownClassError(DataError):
    """A mask holds a class that the network does not have."""


class Pair(Protocol):
    """A case with an image and a mask."""

    @property
    def image(self) -> Path:
        """Its file."""

    @property
    def mask(self) -> Path:
        """Its file."""


C = TypeVar("C", bound=Pair)
L = TypeVar("L")


def load_usable(cases: Sequence[C], load: Callable[[C], L]) -> tuple[list[L], list[Problem]]:
    """Load every case, and leave out those that cannot be used.

    Returns
    -------
    loaded : list
        In the order of ``cases``.
    problems : list of Problem
        One for each case that is left out.

    Raises
    ------
    DataError
        For the first case, where none can be used, or where most masks hold a class that the
        network does not have.
    """
    loaded: list[L] = []
    errors: list[tuple[C, DataError]] = []
    for case in cases:
        try:
            loaded.append(load(case))
        except DataError as error:
            errors.append((case, error))
    unknown = [error for _, error in errors if isinstance(error, UnknownClassError)]
    if unknown and len(unknown) > _FAULTY_SHARE * len(cases):
        raise unknown[0]
    if errors and not loaded:
        raise errors[0][1]
    return loaded, [unusable(case, error) for case, error in errors]


def unusable(case: Pair, error: DataError) -> Problem:
    """Why a case is left out, as a problem of the file that the error names."""
    text = str(error).rstrip(".")
    file = case.mask if str(case.mask) in text and str(case.image) not in text else case.image
    clause = re.sub(rf"(The (mask|image) )?{re.escape(str(file))}", "it", text)
    return Problem(file, clause if clause.startswith("it ") else f"it cannot be used ({clause})")
