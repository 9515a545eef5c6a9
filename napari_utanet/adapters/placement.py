"""Where the pixels of a layer lie in the world, as plain numbers that outlive the layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placement:
    """Transform and axes of a layer with ``n`` axes.

    A pixel at ``p`` lies at ``affine @ (rotate @ shear @ diag(scale) @ p + translate)``.
    """

    scale: Matrix
    """(n,) world units per pixel."""
    translate: Matrix
    """(n,)"""
    rotate: Matrix
    """(n, n)"""
    shear: Matrix
    """(n, n), upper triangular"""
    affine: Matrix
    """(n + 1, n + 1), applied last"""
    units: tuple[Any, ...]
    axis_labels: tuple[str, ...]

    @classmethod
    def of_layer(cls, layer: Any) -> Self:
        """Copy the placement of a napari layer."""
        return cls(
            scale=np.array(layer.scale, dtype=float),
            translate=np.array(layer.translate, dtype=float),
            rotate=np.array(layer.rotate, dtype=float),
            shear=_shear_matrix(np.asarray(layer.shear, dtype=float), layer.ndim),
            affine=np.array(layer.affine.affine_matrix, dtype=float),
            units=tuple(layer.units),
            axis_labels=tuple(layer.axis_labels),
        )

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.scale)

    @property
    def matrix(self) -> Matrix:
        """(n + 1, n + 1): takes a pixel to the world, in homogeneous coordinates."""
        inner = np.eye(self.ndim + 1)
        inner[:-1, :-1] = self.rotate @ self.shear @ np.diag(self.scale)
        inner[:-1, -1] = self.translate
        return self.affine @ inner

    def to_world(self, pixels: Matrix) -> Matrix:
        """Where pixels (N, n) lie, world units (N, n)."""
        return pixels @ self.matrix[:-1, :-1].T + self.matrix[:-1, -1]

    def to_pixels(self, world: Matrix) -> Matrix:
        """Which pixels lie at places (N, n) of the world; fractions are kept."""
        inverse = np.linalg.inv(self.matrix)
        pixels: Matrix = world @ inverse[:-1, :-1].T + inverse[:-1, -1]
        return pixels

    def without_axis(self, axis: int) -> Placement:
        """The placement of an image from which ``axis`` was taken away."""
        kept = [i for i in range(self.ndim) if i != axis]
        grid = np.ix_(kept, kept)
        rows = [*kept, self.ndim]
        return Placement(
            scale=self.scale[kept],
            translate=self.translate[kept],
            rotate=self.rotate[grid],
            shear=self.shear[grid],
            affine=self.affine[np.ix_(rows, rows)],
            units=tuple(self.units[i] for i in kept),
            axis_labels=tuple(self.axis_labels[i] for i in kept),
        )

    def of_grid(self, scale: Sequence[float], offset: Sequence[float]) -> Placement:
        """The placement of a grid over the same image, whatever the image's transform.

        Parameters
        ----------
        scale, offset
            For each axis: image pixel = ``offset + scale * grid pixel``.
        """
        linear = self.rotate @ self.shear @ np.diag(self.scale)
        return Placement(
            scale=self.scale * np.asarray(scale, dtype=float),
            translate=self.translate + linear @ np.asarray(offset, dtype=float),
            rotate=self.rotate,
            shear=self.shear,
            affine=self.affine,
            units=self.units,
            axis_labels=self.axis_labels,
        )

    def with_leading(self, labels: Sequence[str]) -> Placement:
        """The placement of a stack of such images along new leading axes of unit spacing."""
        n = len(labels)
        return Placement(
            scale=np.concatenate([np.ones(n), self.scale]),
            translate=np.concatenate([np.zeros(n), self.translate]),
            rotate=_below_identity(self.rotate, n),
            shear=_below_identity(self.shear, n),
            affine=_below_identity(self.affine, n),
            units=("pixel",) * n + self.units,
            axis_labels=(*labels, *self.axis_labels),
        )

    def as_arguments(self) -> dict[str, Any]:
        """Keyword arguments of a napari layer, which are also names of its attributes."""
        return {
            "scale": self.scale,
            "translate": self.translate,
            "rotate": self.rotate,
            "shear": self.shear,
            "affine": self.affine,
            "units": self.units,
            "axis_labels": self.axis_labels,
        }


def _shear_matrix(shear: Matrix, ndim: int) -> Matrix:
    if shear.ndim == 2:
        return shear.copy()
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, k=1)] = shear
    return matrix


def _below_identity(matrix: Matrix, n: int) -> Matrix:
    size = n + len(matrix)
    result = np.eye(size)
    result[n:, n:] = matrix
    return result
