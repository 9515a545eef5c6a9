"""From a live layer to a frozen request: pixels, axes and placement, detached from the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_utanet.adapters.placement import Placement
from src_model.errors import ImageError

Stack = Literal["planes", "channels"]

COPY_BELOW = 256 * 2**20
"""Arrays up to this many bytes are copied at once, so that later edits in place cannot reach them."""

_PLANE_NAMES = "VPSTZ"
_CHANNEL_LABELS = {"c", "ch", "channel", "channels"}


@dataclass(frozen=True, eq=False)
class ImageRequest:
    """One image as it was when work started."""

    layer: str
    """Identity of the layer it came from."""
    name: str
    data: Any
    """numpy, or a lazy array that :meth:`read` computes."""
    axes: str
    """One letter per axis of ``data``: planes, ``Y``, ``X`` and perhaps ``C``."""
    placement: Placement
    """Of the image without its channels."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes that a mask has: planes, Y, X."""
        return tuple(
            int(n) for n, letter in zip(np.shape(self.data), self.axes, strict=True) if letter != "C"
        )

    def read(self) -> NDArray[Any]:
        """The pixels; a lazy array is computed here, so call it in the background."""
        return np.asarray(self.data)


def is_image(layer: object) -> bool:
    """Whether a layer is a napari Image."""
    from napari.layers import Image

    return isinstance(layer, Image)


def is_labels(layer: object) -> bool:
    """Whether a layer is a napari Labels."""
    from napari.layers import Labels

    return isinstance(layer, Labels)


def identity(layer: Any) -> str:
    """Text that names a layer for as long as it lives, whatever its name."""
    return str(layer.unique_id)


def has_stack(layer: Any) -> bool:
    """Whether a layer has axes before its rows and columns, of more than one element."""
    return any(length > 1 for length in np.shape(layer.data)[: layer.ndim - 2])


def from_layer(layer: Any, *, stack: Stack = "planes") -> ImageRequest:
    """Freeze a whole image layer; of a multiscale one, the full resolution.

    Parameters
    ----------
    layer
        A napari Image.
    stack
        What the first of more than two axes holds. An axis that is labelled ``c`` or ``channel``
        holds channels in any case.

    Raises
    ------
    ImageError
        When it is not an image layer, or has no rows and columns.
    """
    whole = refer_to(layer, stack)
    return replace(whole, data=_detached(whole.data))


def refer_to(layer: Any, stack: Stack) -> ImageRequest:
    """Like :func:`from_layer`, the data still being the layer's own."""
    if not is_image(layer):
        kind = type(layer).__name__
        raise ImageError(f"The layer '{layer.name}' is a {kind} layer; choose an image layer.")
    data = layer.data[0] if layer.multiscale else layer.data
    if layer.ndim < 2 or 0 in np.shape(data):
        raise ImageError(
            f"The layer '{layer.name}' has no pixels: its shape is {np.shape(data)}; choose another."
        )
    placement = Placement.of_layer(layer)
    channel = _channel_axis(placement.axis_labels, layer.ndim, rgb=layer.rgb, stack=stack)
    letters = _letters(layer.ndim - (channel is not None))
    if channel is not None:
        letters = f"{letters[:channel]}C{letters[channel:]}"
        placement = placement.without_axis(channel)
    if layer.rgb:
        letters += "C"
    return ImageRequest(layer=identity(layer), name=layer.name, data=data, axes=letters, placement=placement)


def plane_of_layer(layer: Any, point: Sequence[float], *, stack: Stack = "planes") -> ImageRequest:
    """Freeze the plane of an image layer that lies nearest to ``point``, keeping its axes.

    Parameters
    ----------
    layer
        A napari Image.
    point
        World coordinates of the viewer's sliders.

    Returns
    -------
    ImageRequest
        Its plane axes have length 1 and its placement is that of this plane.
    """
    whole = refer_to(layer, stack)
    lengths = dict(zip(whole.axes, np.shape(whole.data), strict=True))
    position = np.asarray(layer.world_to_data(point))
    index: list[slice] = []
    offset: list[float] = []
    for axis, letter in enumerate(whole.axes):
        if letter in "YXC":
            index.append(slice(None))
            offset.extend([0.0] if letter != "C" else [])
        else:
            at = int(np.clip(round(float(position[axis])), 0, lengths[letter] - 1))
            index.append(slice(at, at + 1))
            offset.append(float(at))
    flat = set(whole.axes) <= set("YXC")  # then a slide is not read here
    return replace(
        whole,
        data=_detached(whole.data if flat else whole.data[tuple(index)]),
        placement=whole.placement.of_grid([1.0] * len(offset), offset),
    )


def _letters(ndim: int) -> str:
    planes = ndim - 2
    if planes > len(_PLANE_NAMES):
        raise ImageError(f"The image has {ndim} axes; at most {len(_PLANE_NAMES) + 2} can be segmented.")
    return f"{_PLANE_NAMES[len(_PLANE_NAMES) - planes :]}YX"


def _channel_axis(labels: Sequence[str], ndim: int, *, rgb: bool, stack: Stack) -> int | None:
    if rgb or ndim < 3:
        return None
    for axis, label in enumerate(labels):
        if label.strip().lower() in _CHANNEL_LABELS and ndim > 2:
            return axis
    return 0 if stack == "channels" else None


def _detached(data: Any) -> Any:
    if isinstance(data, np.ndarray) and data.nbytes <= COPY_BELOW:
        return data.copy()
    return data
