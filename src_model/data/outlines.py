"""Outlines of objects in the XML of Aperio ImageScope, and the mask that they enclose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from src_model.errors import DataError

Outline = NDArray[np.float64]
"""``(N, 2)``: x and y of each vertex, pixels; the centre of the first pixel is (0, 0)."""

_LEAST_VERTICES = 3


@dataclass(frozen=True, eq=False)
class Filled:
    """Outlines as a mask."""

    mask: NDArray[np.uint32]
    """``(Y, X)``; each object has a number from 1, 0 is background."""
    outside: int
    """Outlines left out because they lie wholly outside of the image."""
    clipped: int
    """Outlines that lie partly outside and were cut at the border."""
    empty: int
    """Outlines left out because they enclose no pixel that is not another object's."""


def read_outlines(path: Path) -> list[Outline]:
    """Every region of every annotation of a file, in their order; each is one object.

    Raises
    ------
    DataError
        When the file is missing, no XML, or a vertex is no pair of numbers; names the file.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check the path.") from error
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is no valid XML ({error}); use another copy of the file.") from error
    try:
        outlines = [
            np.array([(float(v.attrib["X"]), float(v.attrib["Y"])) for v in region.iter("Vertex")])
            for region in root.iter("Region")
        ]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} has a vertex without the numbers X and Y; use another copy.") from error
    if not all(np.isfinite(outline).all() for outline in outlines):
        raise DataError(f"{path} has a vertex at infinity; use another copy.")
    return [outline.reshape(-1, 2) for outline in outlines]


def fill_outlines(outlines: Sequence[Outline], shape: tuple[int, int]) -> Filled:
    """Number the objects that outlines enclose.

    A pixel inside of several outlines belongs to the first of them, so no object is torn by a later
    one.

    Parameters
    ----------
    outlines
        Closed of themselves: the last vertex is joined to the first.
    shape
        Height and width of the image, pixels.
    """
    from skimage.draw import polygon

    mask = np.zeros(shape, np.uint32)
    number = outside = clipped = empty = 0
    border = np.array([shape[1], shape[0]]) - 0.5
    for outline in outlines:
        if len(outline) < _LEAST_VERTICES:
            empty += 1
            continue
        low, high = outline.min(axis=0), outline.max(axis=0)
        if (high < -0.5).any() or (low > border).any():
            outside += 1
            continue
        clipped += bool((low < -0.5).any() or (high > border).any())
        rows, columns = polygon(outline[:, 1], outline[:, 0], shape)
        free = mask[rows, columns] == 0
        if not free.any():
            empty += 1
            continue
        number += 1
        mask[rows[free], columns[free]] = number
    return Filled(mask, outside, clipped, empty)
