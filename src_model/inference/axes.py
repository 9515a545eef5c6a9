"""What each axis of an image means: named by the user or guessed, and its planes one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.errors import ImageError

MOST_CHANNELS = 16
"""A last axis of at most this length may be guessed to be channels."""

_PLANE_NAMES = "VPSTZ"


@dataclass(frozen=True, slots=True)
class Layout:
    """The axes of one array: rows ``Y``, columns ``X``, perhaps channels ``C``; the rest are planes."""

    axes: str
    shape: tuple[int, ...]

    @property
    def plane_axes(self) -> str:
        """Axes that are neither Y, X nor C, in their order, e.g. ``"TZ"``."""
        return "".join(name for name in self.axes if name not in "YXC")

    @property
    def plane_shape(self) -> tuple[int, ...]:
        """Length of each plane axis."""
        return tuple(self.shape[self.axes.index(name)] for name in self.plane_axes)

    @property
    def height(self) -> int:
        """Rows of a plane."""
        return self.shape[self.axes.index("Y")]

    @property
    def width(self) -> int:
        """Columns of a plane."""
        return self.shape[self.axes.index("X")]

    @property
    def channels(self) -> int:
        """Channels of a plane; 1 where the array has no such axis."""
        return self.shape[self.axes.index("C")] if "C" in self.axes else 1

    def ordered(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of ``array`` with axes (planes..., Y, X, C)."""
        channels = "C" if "C" in self.axes else ""
        order = [self.axes.index(name) for name in f"{self.plane_axes}YX{channels}"]
        view = array.transpose(order)
        return view if channels else view[..., np.newaxis]

    def planes(self, array: NDArray[Any]) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
        """Index among the plane axes and a view (Y, X, C), for each plane in order."""
        view = self.ordered(array)
        for index in np.ndindex(self.plane_shape):
            yield index, view[index]


def find_layout(shape: tuple[int, ...], axes: str | None = None, *, in_channels: int = 3) -> Layout:
    """The layout that ``axes`` names, else a guess from the shape; see :func:`guess_axes`.

    Raises
    ------
    ImageError
        When ``axes`` does not fit the shape, or nothing can be guessed.
    """
    shape = tuple(int(length) for length in shape)
    if axes is None:
        return Layout(guess_axes(shape, in_channels=in_channels), shape)
    return parse_axes(axes, shape)


def parse_axes(axes: str, shape: tuple[int, ...]) -> Layout:
    """Check axes named by the user, e.g. ``"ZYXC"``, against the shape of the image.

    Raises
    ------
    ImageError
        When a letter is missing, given twice or not a letter, or their number does not fit.
    """
    names = axes.upper()
    if (
        not names.isalpha()
        or not names.isascii()
        or len(set(names)) != len(names)
        or not {"Y", "X"} <= {*names}
    ):
        raise ImageError(
            f"The axes '{axes}' are not understood; name each axis by one letter of its own, with Y and X "
            "among them, for example YX, YXC, ZYX or TZYX."
        )
    if len(names) != len(shape):
        raise ImageError(
            f"The axes '{axes}' name {len(names)} axes but the image has {len(shape)}: shape {shape}; "
            "name every axis once."
        )
    return Layout(names, shape)


def guess_axes(shape: tuple[int, ...], *, in_channels: int = 3) -> str:
    """Name the axes of an image by its shape alone.

    The last axis is channels where it has 3 or 4 elements, or at most 16 and no more than a
    quarter of the two axes before it. Otherwise the axis before the last two is channels where
    its length is just the number that the model expects, more than one. The two remaining last
    axes are Y and X, all before them are planes. A stack of three grey planes for an RGB model is
    therefore taken for one image of three channels: name its axes ``"ZYX"``.

    Parameters
    ----------
    shape
        Of an image with 2 to 7 axes.
    in_channels
        Channels that the model expects.

    Returns
    -------
    str
        For example ``"YX"``, ``"YXC"``, ``"ZYX"``, ``"CYX"``, ``"TZYX"`` or ``"TZYXC"``.

    Raises
    ------
    ImageError
        When there are fewer than two axes, or too many.
    """
    count = len(shape)
    if count < 2:
        raise ImageError(
            f"An image has at least two axes but this array has shape {shape}; give rows and columns."
        )
    if count >= 3 and _is_channels(shape[-1], min(shape[-3:-1])):
        inner = "YXC"
    elif count >= 3 and in_channels > 1 and shape[-3] == in_channels:
        inner = "CYX"
    else:
        inner = "YX"
    planes = count - len(inner)
    if planes > len(_PLANE_NAMES):
        raise ImageError(f"The image has {count} axes: shape {shape}; give at most 5 axes of planes.")
    return _PLANE_NAMES[len(_PLANE_NAMES) - planes :] + inner


def _is_channels(length: int, side: int) -> bool:
    return (length in (3, 4) and side >= length) or (length <= MOST_CHANNELS and 4 * length <= side)
