"""Opens whole slides in napari as pyramids that read what is in view, with their size in micrometres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_utanet.readers.masks import is_mask, read_mask

if TYPE_CHECKING:
    from src_model.data.slide import Slide
    from src_model.data.slide_formats.level import Level

LayerData = tuple[Any, dict[str, Any], str]

_COLOURS = ("blue", "green", "red", "magenta", "yellow", "cyan")
_PERCENTILES = (0.1, 99.9)
_SAMPLE, _SAMPLES_A_SIDE = 512, 3


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """The reader of slides, or ``None`` for images that napari itself opens as well.

    Small TIFFs, stacks of planes, and folders that hold no OME-Zarr image are left to napari.
    """
    from src_model.data.slide import is_slide

    paths = [path] if isinstance(path, str) else path
    return read_slides if paths and all(map(is_slide, paths)) else None


def read_slides(path: str | list[str]) -> list[LayerData]:
    """One layer for each slide, or one for each channel of a slide without colours; of our masks, labels.

    The label and macro images are not opened; ``metadata["slide"]["associated"]`` names them, beside
    path, format and pixel size.

    Raises
    ------
    DataError
        When a file cannot be read; names it.
    """
    from src_model.data.slide import open_slide

    names = [path] if isinstance(path, str) else path
    layers: list[LayerData] = []
    for name in names:
        layers += [read_mask(Path(name))] if is_mask(Path(name)) else _layers(open_slide(name))
    return layers


def _layers(slide: Slide) -> list[LayerData]:
    from napari.utils.notifications import show_warning

    for warning in slide.warnings:
        show_warning(warning)
    name = slide.path.stem.removesuffix(".ome")
    if slide.axes != "CYX":
        levels = _drawable(slide, slide.levels)
        options = {"rgb": slide.is_rgb, "name": name}
        if not slide.is_rgb:
            options["contrast_limits"] = _contrast(slide, levels)
        return [_layer(slide, levels, options)]
    layers = []
    for number in range(slide.levels[0].channels):
        levels = _drawable(slide, [level.channel(number) for level in slide.levels])
        channel = _names(slide)[number]
        options = {
            "rgb": False,
            "name": f"{name} {channel}",
            "colormap": _COLOURS[number % len(_COLOURS)],
            "blending": "additive",
            "contrast_limits": _contrast(slide, levels),
        }
        layers.append(_layer(slide, levels, options, channel=number))
    return layers


def _drawable(slide: Slide, levels: Sequence[Level]) -> list[Level]:
    """The levels of a layer; those that are not stored are made of the others as they are drawn."""
    from napari_utanet.adapters.drawable import drawable, red_of
    from src_model.data.slide_formats.pyramid import add_overviews

    fill, look = (red_of(levels[0]), "red") if slide.is_rgb else (0, "black")
    return add_overviews(drawable(levels[: slide.stored_levels], fill, look))


def _layer(
    slide: Slide, levels: list[Level], options: dict[str, Any], channel: int | None = None
) -> LayerData:
    many = len(levels) > 1
    known = slide.pixel_size_um is not None
    return (
        levels if many else levels[0],
        {
            **options,
            "multiscale": many,
            "scale": slide.pixel_size_um if known else (1.0, 1.0),
            "units": ("um" if known else "pixel",) * 2,
            "axis_labels": ("y", "x"),
            "metadata": {
                "slide": {
                    "path": str(slide.path),
                    "format": slide.format,
                    "pixel_size_um": slide.pixel_size_um,
                    "channel": channel,
                    "channels": _names(slide),
                    "associated": tuple(slide.associated),
                    "warnings": slide.warnings,
                    "notes": dict(slide.metadata),
                }
            },
        },
        "image",
    )


def _names(slide: Slide) -> tuple[str, ...]:
    """Of the channels; numbers where the file has none, and nothing for colours or one channel."""
    if slide.axes != "CYX":
        return ()
    return slide.channel_names or tuple(f"channel {n + 1}" for n in range(slide.levels[0].channels))


def _contrast(slide: Slide, levels: Sequence[Level]) -> tuple[float, float]:
    """Almost the least and the largest value, from the coarsest level, or from samples of the finest."""
    import numpy as np

    if slide.dtype.kind == "b":
        return 0.0, 1.0
    if slide.dtype == np.uint8:
        return 0.0, 255.0
    stored = len(levels) == slide.stored_levels
    values = np.asarray(levels[-1]).ravel() if stored else _samples(levels[0])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, _PERCENTILES))
    return (low, high) if high > low else (low, low + 1.0)


def _samples(level: Level) -> Any:
    """The values of a few small windows, so that a large image is not read as a whole."""
    import numpy as np

    starts = [
        [round(n * max(length - _SAMPLE, 0) / (_SAMPLES_A_SIDE - 1)) for n in range(_SAMPLES_A_SIDE)]
        for length in level.size_yx
    ]
    windows = [level[top : top + _SAMPLE, left : left + _SAMPLE] for top in starts[0] for left in starts[1]]
    return np.concatenate([window.ravel() for window in windows])
