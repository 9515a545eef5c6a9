"""What is in view and what was drawn, in pixels of a slide's finest level."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_utanet.adapters.placement import Placement
from src_model.errors import ImageError

Polygon = NDArray[np.float64]
"""(N, 2) rows and columns; the corner of the slide is (0, 0), the middle of its first pixel (0.5, 0.5)."""

_TO_CORNER = 0.5
"""napari counts from the middle of the first pixel."""
_ROUND = 64
"""Corners of the polygon that stands for an ellipse."""
_OPEN = ("line", "path")
"""Shapes without an inside."""


def is_shapes(layer: object) -> bool:
    """Whether a layer is a napari Shapes."""
    from napari.layers import Shapes

    return isinstance(layer, Shapes)


def middle_of_view(viewer: Any, placement: Placement) -> tuple[float, float]:
    """The pixel (y, x) in the middle of the canvas; it may lie beside the slide."""
    y, x = _from_view(viewer, placement, np.zeros((1, 2)))[0]
    return float(y), float(x)


def polygon_in_view(viewer: Any, placement: Placement, size_yx: tuple[int, int]) -> Polygon:
    """What the canvas shows of a slide.

    Parameters
    ----------
    placement, size_yx
        Of the slide's finest level, pixels.

    Returns
    -------
    ndarray
        (4, 2), also where the slide is turned; it may reach beyond the slide.

    Raises
    ------
    ImageError
        When the slide is not in view.
    """
    corners = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)])
    polygon = _from_view(viewer, placement, corners * np.asarray(canvas_size(viewer), dtype=float))
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    if (high <= 0).any() or (low >= size_yx).any():
        raise ImageError("Nothing of the slide is in view; move it into view, or choose another region.")
    return polygon


def polygons_of_shapes(layer: Any, placement: Placement, units: tuple[Any, ...]) -> list[Polygon]:
    """The areas of a Shapes layer; lines have none and are passed over.

    Parameters
    ----------
    layer
        A napari Shapes.
    placement
        Of the slide's finest level.
    units
        Those of the slide's layer, rows and columns.

    Raises
    ------
    ImageError
        When nothing is drawn.
    """
    drawn = Placement.of_layer(layer)
    factors = unit_factors(drawn.units[-2:], units)
    polygons = []
    for corners, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind in _OPEN:
            continue
        outline = np.asarray(corners, dtype=float)
        world = drawn.to_world(_ellipse(outline) if kind == "ellipse" else outline)
        polygons.append(placement.to_pixels(world[:, -2:] * factors) + _TO_CORNER)
    if not polygons:
        raise ImageError(
            f"Nothing is drawn on '{layer.name}'; draw a rectangle or polygon, or choose another region."
        )
    return polygons


def camera_of(viewer: Any) -> Any:
    """The camera, wherever this version of napari keeps it."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def canvas_size(viewer: Any) -> tuple[float, float]:
    """Height and width of the canvas, wherever this version of napari keeps them."""
    height, width = viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size
    return float(height), float(width)


def world_units(viewer: Any) -> tuple[Any, ...]:
    """Units of the last two axes of the world; none in versions of napari that leave them out."""
    return tuple(getattr(viewer.layers.extent, "units", None) or ())[-2:]


def _from_view(viewer: Any, placement: Placement, offsets: NDArray[np.float64]) -> Polygon:
    """Pixels of the slide under points of the canvas, (N, 2) pixels of the canvas from its middle."""
    camera = camera_of(viewer)
    shown = list(viewer.dims.displayed)[-2:]
    world = np.zeros((len(offsets), max(viewer.dims.ndim, 2)))
    world[:, shown] = np.asarray(camera.center)[-2:] + offsets / camera.zoom
    factors = unit_factors(world_units(viewer), placement.units[-2:])
    return placement.to_pixels(world[:, -2:] * factors) + _TO_CORNER


def unit_factors(given: tuple[Any, ...], wanted: tuple[Any, ...]) -> NDArray[np.float64]:
    """For rows and columns, how many wanted units one of the given is; 1 where that is not known."""
    factors = np.ones(2)
    for axis, (one, other) in enumerate(zip(given, wanted, strict=False)):
        if one != other and one.is_compatible_with(other):
            factors[axis] = float((1.0 * one).to(other).magnitude)
    return factors


def _ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """A polygon along the ellipse within a rectangle (4, n), which may be turned."""
    centre = corners.mean(axis=0)
    along, across = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)[:, np.newaxis]
    outline: NDArray[np.float64] = centre + np.cos(angle) * along + np.sin(angle) * across
    return outline
