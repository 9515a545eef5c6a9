"""From results to layer data tuples: (data, keyword arguments, type), placed like their image."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_utanet.adapters.from_layer import ImageRequest
from src_model.config import ClassInfo

_SHOWN_PERCENTILES = (0.2, 99.8)
"""Of all heat maps together; a few extreme pixels shall not leave the rest dark."""

LayerData = tuple[Any, dict[str, Any], str]

METADATA_KEY = "napari-utanet"
"""Under this key a layer made here says what it is: its role and the layer it came from."""


def mask_layer(
    request: ImageRequest, mask: NDArray[Any], classes: Sequence[ClassInfo], *, objects: bool
) -> LayerData:
    """A Labels layer over the image.

    Parameters
    ----------
    request
        The image it was made from.
    mask
        (planes..., Y, X) classes, or object numbers with ``objects``.
    classes
        Foreground classes; class ``n`` has the value ``n``.
    objects
        Whether the values number objects, which then get napari's cycling colours.
    """
    arguments: dict[str, Any] = {
        "name": f"{request.name} mask",
        "opacity": 0.55,
        "metadata": _metadata(request, "mask", checksum=checksum(mask)),
    }
    if objects:
        arguments |= {"colormap": object_colors(), "features": {"index": [0]}}
    else:
        arguments |= {"colormap": class_colors(classes), "features": class_table(classes)}
    return mask, request.placement.as_arguments() | arguments, "labels"


def probability_layers(
    request: ImageRequest, probability: NDArray[Any], classes: Sequence[ClassInfo]
) -> list[LayerData]:
    """One Image layer per foreground class.

    Parameters
    ----------
    request
        The image they were made from.
    probability
        (K, planes..., Y, X), 0 to 1.
    classes
        The K foreground classes.
    """
    many = len(probability) > 1
    return [
        (
            plane,
            request.placement.as_arguments()
            | {
                "name": f"{request.name} probability" + (f" {info.name}" if many else ""),
                "colormap": "magma",
                "contrast_limits": (0.0, 1.0),
                "blending": "additive",
                "metadata": _metadata(request, f"probability {number}"),
            },
            "image",
        )
        for number, (plane, info) in enumerate(zip(probability, classes, strict=True), start=1)
    ]


def expert_layers(
    request: ImageRequest,
    maps: NDArray[Any],
    *,
    grid_scale: Sequence[float],
    grid_offset: Sequence[float],
    shown: int | None = None,
) -> list[LayerData]:
    """One heat map per expert, lying exactly over the image, all with the same contrast.

    Parameters
    ----------
    request
        The image, or one plane of a stack.
    maps
        (E, h, w) magnitudes.
    grid_scale, grid_offset
        For rows and columns: image pixel = offset + scale * grid pixel.
    shown
        The only expert to show at first, counted from 0; ``None`` = all.
    """
    planes = request.placement.ndim - 2
    placement = request.placement.of_grid([*[1.0] * planes, *grid_scale], [*[0.0] * planes, *grid_offset])
    return [
        (
            plane.reshape((1,) * planes + plane.shape),
            placement.as_arguments()
            | {
                "name": f"{request.name} expert {number}",
                "colormap": "inferno",
                "contrast_limits": _shared_contrast(maps),
                "blending": "additive",
                "visible": shown is None or number == shown + 1,
                "metadata": _metadata(request, f"expert {number}"),
            },
            "image",
        )
        for number, plane in enumerate(maps, start=1)
    ]


def raw_layer(
    request: ImageRequest, maps: NDArray[Any], *, grid_scale: Sequence[float], grid_offset: Sequence[float]
) -> LayerData:
    """Every channel of every expert as one stack with the axes ``expert`` and ``channel``.

    Parameters
    ----------
    maps
        (E, C, h, w) feature maps, signed.
    """
    planes = request.placement.ndim - 2
    placement = request.placement.of_grid([*[1.0] * planes, *grid_scale], [*[0.0] * planes, *grid_offset])
    experts, channels, height, width = maps.shape
    high = float(np.abs(maps).max()) or 1.0
    arguments = placement.with_leading(["expert", "channel"]).as_arguments() | {
        "name": f"{request.name} expert channels",
        "colormap": "gray",
        "contrast_limits": (-high, high),
        "blending": "translucent",
        "visible": False,
        "metadata": _metadata(request, "expert channels"),
    }
    return maps.reshape((experts, channels, *(1,) * planes, height, width)), arguments, "image"


def checksum(data: NDArray[Any]) -> int:
    """A number that changes when a mask is edited."""
    return zlib.crc32(np.ascontiguousarray(data).tobytes())


def role_of(layer: Any) -> str | None:
    """What a layer made here is (``"mask"``, ``"expert 1"``...); ``None`` for any other layer."""
    entry = layer.metadata.get(METADATA_KEY)
    return entry.get("role") if isinstance(entry, dict) else None


def _metadata(request: ImageRequest, role: str, **more: Any) -> dict[str, Any]:
    return {METADATA_KEY: {"role": role, "source": request.layer, **more}}


def object_colors() -> Any:
    """Colours that tell neighbouring numbers apart."""
    from napari.utils.colormaps import label_colormap

    return label_colormap()


def class_colors(classes: Sequence[ClassInfo]) -> Any:
    """The colour of each class; the background has none."""
    from napari.utils.colormaps import DirectLabelColormap

    colors: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    colors.update({number: info.color for number, info in enumerate(classes, start=1)})
    return DirectLabelColormap(color_dict=colors)


def class_table(classes: Sequence[ClassInfo]) -> dict[str, list[Any]]:
    """Number and name of each class, as features of a Labels layer."""
    return {
        "index": list(range(len(classes) + 1)),
        "class": ["background", *(info.name for info in classes)],
    }


def _shared_contrast(maps: NDArray[Any]) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(maps, _SHOWN_PERCENTILES))
    return (low, high) if high > low else (low, low + 1.0)
