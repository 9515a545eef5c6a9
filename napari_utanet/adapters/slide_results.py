"""From what a slide's segmentation yields to layers over the slide, as (data, arguments, type)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_utanet.adapters.drawable import DAMAGED_COLOR
from napari_utanet.adapters.placement import Placement
from napari_utanet.adapters.slide_layers import SlideLayer
from napari_utanet.adapters.to_layer import (
    METADATA_KEY,
    LayerData,
    class_colors,
    class_table,
    object_colors,
    role_of,
)
from src_model.config import ClassInfo

if TYPE_CHECKING:
    from src_model.data.label_pyramid import LabelPyramid

GLASS_COLOR = "#52617a"
"""A veil over what is left out; it shows on white and on black."""
_GAP = 0.05
"""Between a slide and the pictures beside it, as a share of the slide's width."""


def grid_over(placement: Placement, scale: Sequence[float]) -> Placement:
    """The placement of a grid whose pixels cover ``scale`` pixels of the finest level, corner on corner."""
    return placement.of_grid(scale, [(side - 1) / 2 for side in scale])


def slide_mask_layer(
    slide: SlideLayer,
    levels: Sequence[Any],
    scale: Sequence[float],
    path: Path,
    classes: Sequence[ClassInfo],
) -> LayerData:
    """A Labels layer of the classes, finest level first."""
    arguments = {
        "name": f"{slide.title} mask",
        "opacity": 0.55,
        "multiscale": True,
        "colormap": class_colors(classes),
        "features": class_table(classes),
        "metadata": _metadata(slide.key, "slide mask", path=str(path.resolve())),
    }
    return list(levels), grid_over(slide.placement, scale).as_arguments() | arguments, "labels"


def slide_objects_layer(
    slide: SlideLayer,
    levels: Sequence[Any],
    scale: Sequence[float],
    path: Path,
    table: Mapping[str, NDArray[Any]],
) -> LayerData:
    """A Labels layer of the numbers of objects, with the table of them as its features."""
    arguments = {
        "name": f"{slide.title} objects",
        "opacity": 0.55,
        "multiscale": True,
        "colormap": object_colors(),
        "features": _as_features(table),
        "metadata": _metadata(slide.key, "slide objects", path=str(path.resolve())),
    }
    return list(levels), grid_over(slide.placement, scale).as_arguments() | arguments, "labels"


def damaged_layer(
    slide: SlideLayer, scale: Sequence[float], boxes: Sequence[tuple[int, int, int, int]]
) -> LayerData:
    """A Shapes layer around the pieces that could not be decoded.

    Parameters
    ----------
    scale
        Pixels of the finest level that a pixel of the mask covers.
    boxes
        First row, first column, height and width; pixels of the mask.
    """
    rectangles = [
        np.array([(y, x), (y, x + width), (y + height, x + width), (y + height, x)], dtype=float) - 0.5
        for y, x, height, width in boxes
    ]
    line = 0.002 * max(slide.size_yx) / float(np.mean(scale))
    arguments = {
        "name": f"{slide.title} damaged",
        "shape_type": "rectangle",
        "face_color": "transparent",
        "edge_color": DAMAGED_COLOR,
        "edge_width": max(line, 1.0),
        "metadata": _metadata(slide.key, "damaged"),
    }
    return rectangles, grid_over(slide.placement, scale).as_arguments() | arguments, "shapes"


def tissue_layer(slide: SlideLayer, mask: NDArray[Any], scale: Sequence[float]) -> LayerData:
    """A Labels layer that may be painted on, and veils what is left out; what is not 0 is tissue.

    Parameters
    ----------
    mask
        (h, w)
    scale
        Pixels of the finest level that one of the mask covers.
    """
    from napari.utils.colormaps import DirectLabelColormap

    arguments = {
        "name": f"{slide.title} tissue",
        "opacity": 0.65,
        "colormap": DirectLabelColormap(color_dict={None: "transparent", 0: GLASS_COLOR}),
        "features": {"index": [0, 1], "area": ["glass", "tissue"]},
        "metadata": _metadata(slide.key, "tissue"),
    }
    return mask.astype(np.uint8), grid_over(slide.placement, scale).as_arguments() | arguments, "labels"


def picture_layer(slide: SlideLayer, name: str, pixels: NDArray[Any], taken: float) -> LayerData:
    """A picture that lies beside the slide in its file, to the right of it and as high as it.

    Parameters
    ----------
    pixels
        (Y, X) or (Y, X, C)
    taken
        Where the place right of the slide begins, pixels of the finest level.
    """
    height, width = slide.size_yx
    scale = height / pixels.shape[0]
    placement = slide.placement.of_grid(
        [scale, scale], [(scale - 1) / 2, taken + _GAP * width + (scale - 1) / 2]
    )
    arguments = {
        "name": f"{slide.title} {name}",
        "rgb": pixels.ndim == 3,
        "metadata": _metadata(
            slide.key, f"picture {name}", ends=taken + _GAP * width + scale * pixels.shape[1]
        ),
    }
    return pixels, placement.as_arguments() | arguments, "image"


def place_beside(viewer: Any, slide: SlideLayer) -> float:
    """Where the place right of the slide and its pictures begins, pixels of the finest level."""
    ends = [
        layer.metadata[METADATA_KEY]["ends"]
        for layer in viewer.layers
        if (role_of(layer) or "").startswith("picture ")
        and layer.metadata[METADATA_KEY]["source"] == slide.key
    ]
    return float(max([slide.size_yx[1], *ends]))


def reopened_mask(
    path: Path,
    pyramid: LabelPyramid,
    levels: Sequence[Any],
    classes: Sequence[ClassInfo],
    table: Mapping[str, NDArray[Any]],
    slide_pixel_um: tuple[float, float] | None,
) -> LayerData:
    """A Labels layer of a mask that was made before, where our reader shows the slide it was made of.

    Parameters
    ----------
    path, pyramid, levels
        The mask: its folder, what it holds, and what the viewer reads of it.
    classes, table
        Of a mask of classes, and of numbered objects.
    slide_pixel_um
        Height and width of a pixel of the slide, micrometres; ``None`` = it is shown in pixels.
    """
    objects = pyramid.dtype.itemsize > 1
    covered = np.asarray(pyramid.scale)
    pixel = np.ones(2) if slide_pixel_um is None else np.asarray(slide_pixel_um)
    arguments = {
        "name": path.name.removesuffix(".ome.zarr").replace("_", " "),
        "opacity": 0.55,
        "multiscale": True,
        "scale": covered * pixel,
        "translate": (covered - 1) / 2 * pixel,
        "units": ("pixel" if slide_pixel_um is None else "um",) * 2,
        "axis_labels": ("y", "x"),
        "colormap": object_colors() if objects else class_colors(classes),
        "features": _as_features(table) if objects else class_table(classes),
        "metadata": _metadata(
            slide_of(pyramid) or str(path),
            "slide objects" if objects else "slide mask",
            path=str(path.resolve()),
        ),
    }
    return list(levels), arguments, "labels"


def slide_of(pyramid: LabelPyramid) -> str | None:
    """Path of the slide that a mask was made of, where it was a file."""
    slide = pyramid.provenance.get("job", {}).get("slide")
    return slide if isinstance(slide, str) and Path(slide).is_absolute() else None


def results_of(viewer: Any, slide_key: str, roles: Sequence[str]) -> list[Any]:
    """The layers of these roles that were made for a slide, the uppermost one first."""
    return [
        layer
        for layer in reversed(viewer.layers)
        if role_of(layer) in roles and layer.metadata[METADATA_KEY]["source"] == slide_key
    ]


def _as_features(table: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """A table as napari's features, which know an object by its ``index``."""
    if "label" not in table:
        return {"index": [0]}
    return {"index": table["label"], **{name: values for name, values in table.items() if name != "label"}}


def _metadata(source: str, role: str, **more: Any) -> dict[str, Any]:
    return {METADATA_KEY: {"role": role, "source": source, **more}}
