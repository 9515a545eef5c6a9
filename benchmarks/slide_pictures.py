"""What the made slides show: blobs of stained tissue on blank glass, or the images of a folder side by side.

A picture gives any square of itself when it is asked for, the same one each time, and ``None`` where
the square is blank. So a slide of any size is written without being held in memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom
from skimage.io import imread

Colours = NDArray[np.uint8]

BLANK = 243
"""Grey of the glass, without noise."""
STAINED = Path(__file__).parents[1] / "sample_data" / "nuclei" / "train" / "images"
_GRID = 128
_SMOOTHNESS = 9.0
_ATLAS = (7, 9)
"""Images down and across until the texture repeats; no multiple of a tile."""


class Picture(Protocol):
    """An RGB image that is made where it is looked at."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        ...

    def square(self, y: int, x: int, side: int) -> Colours | None:
        """``(side, side, 3)``, the part beyond the edge too; ``None`` where all of it is blank."""
        ...


@dataclass(frozen=True, eq=False)
class Tissue:
    """Some connected blobs with the texture of the sample images of the strongest colours."""

    side: int
    share: float = 0.4
    """Of the area that is tissue; with 1 there is no glass."""
    seed: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """See :class:`Picture`."""
        return self.side, self.side

    def square(self, y: int, x: int, side: int) -> Colours | None:
        """See :class:`Picture`."""
        rows, columns = np.arange(y, y + side), np.arange(x, x + side)
        inside = self.inside(rows, columns)
        if not inside.any():
            return None
        height, width = self._atlas.shape[:2]
        texture: Colours = self._atlas[np.ix_(rows % height, columns % width)]
        return np.where(inside[..., np.newaxis], texture, np.uint8(BLANK))

    def inside(self, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether pixels are tissue, ``(len(rows), len(columns))``."""
        if self.share >= 1:
            return np.ones((len(rows), len(columns)), np.bool_)
        down, across = (self._weights(pixels) for pixels in (rows, columns))
        if not (self._near(down, across) > 0).any():
            return np.zeros((len(rows), len(columns)), np.bool_)
        return (down @ self._heights @ across.T) > 0

    def _weights(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Matrix of linear interpolation from the grid to pixels."""
        place = np.clip((pixels + 0.5) / self.side, 0, 1) * (_GRID - 1)
        low = np.minimum(place.astype(int), _GRID - 2)
        weights = np.zeros((len(pixels), _GRID), np.float32)
        weights[np.arange(len(pixels)), low] = 1 - (place - low)
        weights[np.arange(len(pixels)), low + 1] = place - low
        return weights

    def _near(self, down: NDArray[Any], across: NDArray[Any]) -> NDArray[np.float32]:
        """The part of the grid that some pixels are interpolated from."""
        return self._heights[np.ix_(down.any(0), across.any(0))]

    @cached_property
    def _heights(self) -> NDArray[np.float32]:
        """Smooth hills on a grid over the slide, above 0 where there is tissue and not at the edge."""
        hills = gaussian_filter(np.random.default_rng(self.seed).normal(size=(_GRID, _GRID)), _SMOOTHNESS)
        hills /= hills.std()
        ramp = np.minimum(np.arange(_GRID), np.arange(_GRID)[::-1]) / (_GRID / 12)
        hills -= 8 * np.clip(1 - np.minimum.outer(ramp, ramp), 0, 1)
        level = np.quantile(zoom(hills, 8, order=1), 1 - self.share)
        return (hills - level).astype(np.float32)

    @cached_property
    def _atlas(self) -> Colours:
        """The sample images side by side in a random order, some of them mirrored."""
        images = [image for image in map(_rgb, sorted(STAINED.glob("*.png"))) if _is_stained(image)]
        rng = np.random.default_rng(self.seed)
        down, across = _ATLAS
        rows = []
        for _ in range(down):
            chosen = [images[n] for n in rng.integers(len(images), size=across)]
            rows.append(
                np.hstack([image[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))] for image in chosen])
            )
        return np.ascontiguousarray(np.vstack(rows))


class Mosaic:
    """Images side by side on a grid of cells as large as the largest of them.

    Parameters
    ----------
    images
        ``(Y, X, 3)`` each.
    across
        Images in a row; ``None`` = as many as make it about square.
    """

    def __init__(self, images: Sequence[Colours], *, across: int | None = None) -> None:
        self._images = images
        self.cell = (max(len(image) for image in images), max(image.shape[1] for image in images))
        fitting = math.ceil(math.sqrt(len(images) * self.cell[0] / self.cell[1]))
        self.across = across or min(fitting, len(images))

    @property
    def size(self) -> tuple[int, int]:
        """See :class:`Picture`."""
        return self.cell[0] * -(-len(self._images) // self.across), self.cell[1] * self.across

    def square(self, y: int, x: int, side: int) -> Colours | None:
        """See :class:`Picture`."""
        out = np.full((side, side, 3), BLANK, np.uint8)
        found = False
        for number, image in enumerate(self._images):
            top, left = self.corner(number)
            part = image[max(y - top, 0) : max(y + side - top, 0), max(x - left, 0) : max(x + side - left, 0)]
            if part.size:
                row, column = max(top - y, 0), max(left - x, 0)
                out[row : row + part.shape[0], column : column + part.shape[1]] = part
                found = True
        return out if found else None

    def corner(self, number: int) -> tuple[int, int]:
        """First row and column of an image."""
        return number // self.across * self.cell[0], number % self.across * self.cell[1]


def stitch_labels(labels: Sequence[NDArray[Any]], mosaic: Mosaic) -> NDArray[np.uint32]:
    """The objects of the images of a mosaic on one grid ``(Y, X)``, numbered without repeats."""
    out = np.zeros(mosaic.size, np.uint32)
    count = 0
    for number, one in enumerate(labels):
        present, numbers = np.unique(one, return_inverse=True)
        numbers = numbers.reshape(one.shape) + (0 if present[0] == 0 else 1)
        top, left = mosaic.corner(number)
        cell = out[top : top + one.shape[0], left : left + one.shape[1]]
        cell[...] = np.where(numbers > 0, numbers + count, 0)
        count = int(max(count, cell.max()))
    return out


def read_folder(folder: Path, most: int | None = None) -> tuple[list[Colours], list[NDArray[Any]]]:
    """Images and masks of a folder with ``images`` and ``labels``, in the order of their names."""
    paths = sorted((folder / "images").iterdir(), key=lambda path: (len(path.name), path.name))[:most]
    if not paths:
        raise FileNotFoundError(f"There are no images in {folder / 'images'}; name another folder.")
    return [_rgb(path) for path in paths], [imread(folder / "labels" / path.name) for path in paths]


def _rgb(path: Path) -> Colours:
    image: Colours = imread(path)[..., :3]
    return image


def _is_stained(image: Colours) -> bool:
    """Whether little of the image is as pale as glass, so that all of it counts as tissue."""
    return float((image.max(-1).astype(np.int16) - image.min(-1)).mean()) > 45
