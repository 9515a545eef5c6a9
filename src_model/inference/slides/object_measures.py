"""Measures of numbered objects, for all objects of an array at once; sums, so that parts add up."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from src_model.tiling.plan import Box

Floats = NDArray[np.float64]

_EDGE, _DIAGONAL = 1.0, np.sqrt(2)
_STEPS = np.zeros(50)
_STEPS[[5, 7, 15, 17, 25, 27]] = _EDGE
_STEPS[[21, 33]] = _DIAGONAL
_STEPS[[13, 23]] = (_EDGE + _DIAGONAL) / 2
"""How much of the perimeter a border pixel is, by 1 + 2 x its neighbours on the border that share a side
+ 10 x those that share a corner: Benkrid and Crookes, Design and FPGA implementation of a perimeter
estimator, 2000."""


@dataclass
class Sums:
    """What parts of objects add up to, one entry an object; coordinates in pixels of the image."""

    area: Floats
    """(N,), pixels."""
    perimeter: Floats
    """(N,), pixels."""
    first: Floats
    """(N, 2), rows and columns summed."""
    second: Floats
    """(N, 3), rows x rows, rows x columns, columns x columns summed, from the first pixel ``origin``."""
    low: Floats
    """(N, 2), first row and column."""
    high: Floats
    """(N, 2), the row and column after the last."""
    intensity: Floats
    """(N, C), values of each channel summed; C = 0 where there are none."""
    confidence: Floats
    """(N,), foreground probability summed."""
    origin: tuple[int, int] = (0, 0)

    @classmethod
    def nothing(cls, count: int, channels: int, origin: tuple[int, int] = (0, 0)) -> Self:
        """Objects without a pixel so far."""
        none = np.zeros(count)
        return cls(
            area=none,
            perimeter=none.copy(),
            first=np.zeros((count, 2)),
            second=np.zeros((count, 3)),
            low=np.full((count, 2), np.inf),
            high=np.full((count, 2), -np.inf),
            intensity=np.zeros((count, channels)),
            confidence=none.copy(),
            origin=origin,
        )

    def add(self, other: Sums) -> None:
        """Add other parts of the same objects, of the same origin."""
        for field in fields(self)[:-1]:
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            join = {"low": np.minimum, "high": np.maximum}.get(field.name, np.add)
            join(mine, theirs, out=mine)

    @property
    def centroid(self) -> Floats:
        """(N, 2), mean row and column, pixels."""
        return self.first / self.area[:, None] + self.origin

    @property
    def eccentricity(self) -> Floats:
        """(N,), of the ellipse with the same second moments: 0 = circle, towards 1 = line."""
        rows, columns = (self.first / self.area[:, None]).T
        yy, xy, xx = (self.second / self.area[:, None]).T - (rows * rows, rows * columns, columns * columns)
        middle, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
        longer, shorter = middle + half, np.maximum(middle - half, 0)
        ratio = np.divide(shorter, longer, out=np.ones_like(longer), where=longer > 1e-12)
        result: Floats = np.sqrt(1 - ratio)
        return result


def measure(
    labels: NDArray[Any],
    count: int,
    at: tuple[int, int],
    *,
    core: Box | None = None,
    origin: tuple[int, int] | None = None,
    intensity: NDArray[Any] | None = None,
    confidence: NDArray[Any] | None = None,
) -> Sums:
    """Measure objects.

    Parameters
    ----------
    labels
        (H, W), objects 1 ... ``count``, 0 = background.
    count
        Number of objects.
    at
        Row and column of the first pixel in the image.
    core
        Which part of the array counts, in its pixels; two more pixels on each side, as far as the
        image goes, make the perimeters of parts add up. ``None`` = all.
    origin
        From which moments are taken, pixels of the image; ``None`` = ``at``.
    intensity
        (H, W) or (H, W, C), of the core.
    confidence
        (H, W), foreground probability in 0 ... 255, of the core.
    """
    core = core or Box(0, 0, *labels.shape)
    origin = origin or at
    inside = labels[core.slices]
    rows, columns = np.nonzero(inside)
    numbers = inside[rows, columns].astype(np.int64) - 1

    def total(weights: NDArray[Any] | None = None) -> Floats:
        return np.bincount(numbers, weights, count).astype(np.float64)

    channels = () if intensity is None else np.moveaxis(np.atleast_3d(intensity), 2, 0)
    sums = Sums.nothing(count, len(channels), origin)
    y, x = rows + float(at[0] + core.y - origin[0]), columns + float(at[1] + core.x - origin[1])
    sums.area[:], sums.perimeter[:] = total(), _perimeters(labels, count, core)
    sums.first[:] = np.column_stack([total(y), total(x)])
    sums.second[:] = np.column_stack([total(y * y), total(y * x), total(x * x)])
    for number, found in enumerate(ndimage.find_objects(inside, max_label=count)):
        if found is not None:
            corner = np.add(at, (core.y, core.x))
            sums.low[number] = corner + [s.start for s in found]
            sums.high[number] = corner + [s.stop for s in found]
    for channel, values in enumerate(channels):
        sums.intensity[:, channel] = total(values[rows, columns])
    if confidence is not None:
        sums.confidence[:] = total(confidence[rows, columns]) / 255
    return sums


def _perimeters(labels: NDArray[Any], count: int, core: Box) -> Floats:
    """Length of the objects' borders that lies in the core, pixels."""
    padded = np.pad(labels, 1)
    flat, width = padded.ravel(), padded.shape[1]
    sides, corners = (-width, -1, 1, width), (-width - 1, -width + 1, width - 1, width + 1)
    pixels = np.flatnonzero(flat)
    own = flat[pixels]
    whole = np.logical_and.reduce([flat[pixels + step] == own for step in sides])
    border = np.zeros(flat.shape, bool)
    border[pixels[~whole]] = True
    middle = np.zeros(padded.shape, bool)
    middle[core.moved(1, 1).slices] = True
    pixels = np.flatnonzero(border & middle.ravel())
    own = flat[pixels]
    code = np.ones(len(pixels), np.int64)
    for steps, weight in ((sides, 2), (corners, 10)):
        for step in steps:
            code += weight * (border[pixels + step] & (flat[pixels + step] == own))
    return np.bincount(own.astype(np.int64) - 1, _STEPS[code], count).astype(np.float64)
