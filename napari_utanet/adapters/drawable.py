"""Levels as the viewer draws them: one that raises an error has napari add layers by half."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from src_model.data.slide_formats.damage import around_damage
from src_model.data.slide_formats.level import Level
from src_model.errors import DataError

DAMAGED_COLOR = "#e63946"
"""Of pieces that cannot be decoded, and of frames around them."""


def drawable(levels: Sequence[Level], fill: ArrayLike, look: str) -> list[Level]:
    """The same levels, which hold ``fill`` where a tile cannot be decoded; the first one is told.

    Parameters
    ----------
    levels
        Of one layer.
    fill
        One value, or one for each colour.
    look
        How that looks, such as ``black``.
    """
    told: list[DataError] = []

    def note(_: tuple[int, int], error: DataError) -> None:
        if not told:
            from napari.utils.notifications import show_warning

            told.append(error)
            show_warning(f"{error} What cannot be read is shown {look}.")

    return [around_damage(level, fill, note) for level in levels]


def red_of(level: Level) -> NDArray[np.generic]:
    """A red for a level of colours, (C,)."""
    most = np.iinfo(level.dtype).max if level.dtype.kind in "iu" else 1
    red = np.array([*bytes.fromhex(DAMAGED_COLOR[1:]), 255])[: level.channels]
    return np.asarray(red / 255 * most, level.dtype)
