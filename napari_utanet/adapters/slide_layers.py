"""From the layer of a slide, whoever read it, to what is known of it and to the slide itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_utanet.adapters.from_layer import ImageRequest, Stack, identity, refer_to
from napari_utanet.adapters.placement import Placement
from src_model.errors import ImageError

if TYPE_CHECKING:
    from src_model.data.slide import Slide

LARGE = 4096
"""An image of one level is a slide where a side is above so many pixels."""
METADATA_KEY = "slide"
"""Under this key of a layer our reader tells about the slide."""
_GIVEN_KEY = "napari-utanet pixel size"
"""Under this key a layer remembers the size of a pixel that the user gave, micrometres."""
_BELIEVED_UM = (0.02, 50.0)
"""A scale in no unit, within these bounds, is taken for micrometres until the user says otherwise."""


@dataclass(frozen=True, eq=False)
class SlideLayer:
    """A slide as its layer showed it; nothing in it changes any more, and nothing of it was read."""

    layer: str
    """Identity of the layer."""
    key: str
    """The same for all layers of one slide: its path, or the identity of its only layer."""
    name: str
    """Of the layer."""
    title: str
    """Of the slide, without its channel."""
    path: Path | None
    """Of its file; ``None`` where only the arrays are known."""
    folder: Path | None
    """In which its file lies."""
    levels: tuple[Any, ...]
    """Arrays, finest first."""
    axes: str
    """``YX``, ``YXC`` or ``CYX`` of the arrays."""
    dtype: np.dtype[Any]
    size_yx: tuple[int, int]
    """Of the finest level, pixels."""
    placement: Placement
    """Of the finest level, rows and columns."""
    pixel_size_um: tuple[float, float] | None
    """Height and width of a pixel of the finest level, where it is known."""
    channels: tuple[str, ...]
    """Names; empty where there is one channel, or colours."""
    channel: int | None
    """Which of them the layer shows, where it shows one."""
    associated: tuple[str, ...]
    """Names of the pictures beside the slide."""

    def open(self, pixel_size_um: float | None = None) -> Slide:
        """The slide itself; called in the background.

        Parameters
        ----------
        pixel_size_um
            Where the layer does not tell it.

        Raises
        ------
        DataError
            When the file is gone or damaged.
        """
        from src_model.data.slide import Slide, open_slide

        if self.path is not None:
            return open_slide(self.path)
        given = None if pixel_size_um is None else (pixel_size_um, pixel_size_um)
        return Slide.of_arrays(
            self.levels,
            axes=self.axes,
            pixel_size_um=self.pixel_size_um or given,
            channel_names=self.channels,
            name=self.title.replace("/", "-"),
        )

    @property
    def pixel_size(self) -> float | None:
        """Mean side of a pixel of the finest level, micrometres."""
        return None if self.pixel_size_um is None else float(np.mean(self.pixel_size_um))


def slide_layer(layer: Any, *, stack: Stack = "planes") -> SlideLayer | None:
    """What is known of the slide in a layer; ``None`` where the layer holds an ordinary image.

    A slide was opened as one by our reader, has several levels, or one with a side above
    :data:`LARGE`. Axes of length 1 do not count; an image that still has planes is no slide.

    Parameters
    ----------
    layer
        A napari layer.
    stack
        What the first of three axes holds.
    """
    try:
        whole = refer_to(layer, stack)
    except ImageError:
        return None
    levels = tuple(layer.data) if layer.multiscale else (layer.data,)
    flat = _without_single_axes(whole, levels)
    if flat is None:
        return None
    axes, levels, placement = flat
    shape = np.shape(levels[0])
    size = (int(shape[axes.index("Y")]), int(shape[axes.index("X")]))
    about = layer.metadata.get(METADATA_KEY)
    about = about if isinstance(about, dict) else {}
    if not (about or layer.multiscale or max(size) > LARGE):
        return None
    path = Path(about["path"]) if about.get("path") else None
    file = path or (Path(layer.source.path) if layer.source.path else None)
    channel = about.get("channel")
    return SlideLayer(
        layer=identity(layer),
        key=identity(layer) if path is None else str(path),
        name=layer.name,
        title=layer.name if path is None else path.stem.removesuffix(".ome"),
        path=path,
        folder=None if file is None or "://" in str(file) else file.parent,
        levels=levels,
        axes=axes,
        dtype=np.dtype(levels[0].dtype),
        size_yx=size,
        placement=placement,
        pixel_size_um=about["pixel_size_um"] if path is not None else pixel_size_of(placement),
        channels=tuple(about.get("channels", ())) if channel is not None else _numbered(axes, shape),
        channel=channel,
        associated=tuple(about.get("associated", ())),
    )


def pixel_size_of(placement: Placement) -> tuple[float, float] | None:
    """Height and width of a pixel in micrometres, where the units of the layer are lengths."""
    sides = []
    for side, unit in zip(np.abs(placement.scale[-2:]), placement.units[-2:], strict=True):
        if not unit.is_compatible_with("micrometer"):
            return None
        sides.append(float((side * unit).to("micrometer").magnitude))
    return sides[0], sides[1]


def given_pixel_size(layer: Any) -> float | None:
    """What the user said of a layer before; else its scale, where that may be micrometres."""
    if _GIVEN_KEY in layer.metadata:
        given: float | None = layer.metadata[_GIVEN_KEY]
        return given
    low, high = (float(bound) for bound in np.sort(np.abs(layer.scale[-2:])))
    likely = _BELIEVED_UM[0] <= low and high <= _BELIEVED_UM[1] and (low, high) != (1.0, 1.0)
    return (low + high) / 2 if likely else None


def remember_pixel_size(layers: Sequence[Any], size: float | None) -> None:
    """Keep what the user said with the layers of a slide."""
    for layer in layers:
        layer.metadata[_GIVEN_KEY] = size


def same_slide(layer: Any, slide: SlideLayer) -> bool:
    """Whether a layer shows that slide, or a channel of it."""
    about = layer.metadata.get(METADATA_KEY)
    path = about.get("path") if isinstance(about, dict) else None
    return identity(layer) == slide.layer or (slide.path is not None and path == str(slide.path))


def _without_single_axes(
    whole: ImageRequest, levels: tuple[Any, ...]
) -> tuple[str, tuple[Any, ...], Placement] | None:
    """Axes, levels and placement without axes of length 1; ``None`` where others than Y, X, C remain."""
    lengths = dict(zip(whole.axes, np.shape(whole.data), strict=True))
    single = [letter for letter, length in lengths.items() if length == 1 and letter not in "YX"]
    axes = "".join(letter for letter in whole.axes if letter not in single)
    if axes not in ("YX", "YXC", "CYX"):
        return None
    placement = whole.placement
    spatial = [letter for letter in whole.axes if letter != "C"]
    for axis in reversed(range(len(spatial))):
        if spatial[axis] in single:
            placement = placement.without_axis(axis)
    if single:
        index = tuple(0 if letter in single else None for letter in whole.axes)
        levels = tuple(_one_plane(level, axes, index) for level in levels)
    return axes, levels, placement


def _one_plane(array: Any, axes: str, index: tuple[int | None, ...]) -> Any:
    """An array at some indices, which is not read before its pixels are."""
    from src_model.data.slide_formats.level import Level

    def read(box: Sequence[tuple[int, int]]) -> NDArray[Any]:
        spans = iter(box)
        return np.asarray(array[tuple(slice(*next(spans)) if at is None else at for at in index)])

    shape = tuple(int(n) for n, at in zip(array.shape, index, strict=True) if at is None)
    return Level(shape, np.dtype(array.dtype), axes, read, name="the layer")


def _numbered(axes: str, shape: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"channel {n + 1}" for n in range(shape[0])) if axes == "CYX" else ()
