"""Whole slides: opened without reading a pixel, as a pyramid whose levels read what they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.slide_formats.contents import Contents
from src_model.data.slide_formats.level import Box, Level
from src_model.data.slide_formats.pyramid import LARGE, add_overviews, check_levels, downsample
from src_model.errors import DataError, ImageError

TIFF_SUFFIXES = frozenset({".tif", ".tiff", ".svs", ".ndpi", ".scn", ".qptiff", ".btf"})
"""Files that are read as TIFF, in lower case."""
OPENSLIDE_SUFFIXES = frozenset({".mrxs", ".vms", ".vmu", ".bif", ".svslide"})
"""Files that OpenSlide reads."""
SLIDE_SUFFIXES = OPENSLIDE_SUFFIXES | {".svs", ".ndpi", ".scn", ".qptiff"}
"""Files that are slides whatever they hold; other TIFFs are looked into."""
ARRAYS = "arrays"
"""Format of a slide that another program has opened."""


@dataclass(frozen=True, eq=False)
class Slide:
    """A slide on disk; its pixels are read when a level is indexed.

    It keeps no file open, and can be used by several threads.
    """

    path: Path
    format: str
    """Such as ``Aperio SVS`` or ``OME-Zarr 0.5``."""
    levels: tuple[Level, ...]
    """The same picture, finest first, each smaller than the one before; all have the same axes."""
    stored_levels: int
    """How many of them lie in the file; the others are computed from the last of these."""
    is_rgb: bool
    """Whether the axis ``C`` holds colours, so that the axes are ``YXC``."""
    pixel_size_um: tuple[float, float] | None
    """Height and width of a pixel of the finest level, micrometres, where the file tells it."""
    channel_names: tuple[str, ...]
    """One for each channel; empty for colours, or where the file has none."""
    associated: Mapping[str, Level]
    """Pictures beside the slide, such as ``label``, ``macro`` and ``thumbnail``; read when indexed."""
    metadata: Mapping[str, Any]
    """What the scanner noted, in its own words."""
    warnings: tuple[str, ...]
    """One sentence for each thing that was left out."""
    is_stack: bool
    """Whether the file has planes that are no channels: depth, time, or pages without a meaning."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process, a slide is opened there anew."""
        return open_slide, (self.path,)

    @classmethod
    def of_arrays(
        cls,
        levels: Sequence[Any],
        *,
        axes: str,
        pixel_size_um: tuple[float, float] | None = None,
        channel_names: Sequence[str] = (),
        name: str = "image",
    ) -> Slide:
        """A slide that another program has opened, such as layers of zarr or dask arrays.

        Parameters
        ----------
        levels
            Anything with ``shape`` and ``dtype`` that gives pixels when it is sliced; finest first.
        axes
            ``YX``, ``YXC`` (colours) or ``CYX`` (channels).
        pixel_size_um, channel_names
            See :class:`Slide`.
        name
            Stands for the path, in messages and in the names of results.

        Raises
        ------
        ImageError
            When there is no level, or its axes are others.
        """
        if not levels or axes not in ("YX", "YXC", "CYX") or len(levels[0].shape) != len(axes):
            shape = tuple(levels[0].shape) if levels else ()
            raise ImageError(
                f"A slide has axes YX, YXC or CYX but {name} has shape {shape} and axes {axes}; choose one "
                "plane of it."
            )
        given = [_of_array(array, axes, f"{name}, level {number}") for number, array in enumerate(levels)]
        kept, dropped = check_levels(given)
        return cls(
            path=Path(name),
            format=ARRAYS,
            levels=tuple(add_overviews(kept)),
            stored_levels=len(kept),
            is_rgb=axes == "YXC",
            pixel_size_um=pixel_size_um,
            channel_names=_as_many(tuple(channel_names), kept[0]),
            associated=MappingProxyType({}),
            metadata=MappingProxyType({}),
            warnings=tuple(dropped),
            is_stack=False,
        )

    @property
    def axes(self) -> str:
        """``YX``, ``YXC`` (colours) or ``CYX`` (channels)."""
        return self.levels[0].axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the finest level, in the order of the axes."""
        return self.levels[0].shape

    @property
    def size_yx(self) -> tuple[int, int]:
        """Height and width of the finest level, pixels."""
        return self.levels[0].size_yx

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return self.levels[0].dtype

    @property
    def downsamples(self) -> tuple[float, ...]:
        """For each level: pixels of the finest one along an axis that one of its pixels covers."""
        return tuple(downsample(self.levels[0], level) for level in self.levels)


def is_slide(path: str | Path) -> bool:
    """Whether a file or folder is a slide rather than an image that is read whole.

    It is where its ending says so, and where it is an OME-Zarr, or a TIFF with several levels or a side
    above 4,096 pixels, without planes in depth or time. Nothing of the pixels is read.
    """
    path = Path(path)
    suffix, folder = path.suffix.lower(), path.is_dir()
    if suffix in SLIDE_SUFFIXES and not folder:
        return True
    if folder:
        from src_model.data.slide_formats.ome_zarr import is_ome_zarr

    if not (is_ome_zarr(path) if folder else suffix in TIFF_SUFFIXES):
        return False
    try:
        slide = open_slide(path)
    except DataError:
        return folder  # whoever reads it says what is wrong; of a TIFF the readers of images may know more
    return not slide.is_stack and (folder or slide.stored_levels > 1 or max(slide.size_yx) > LARGE)


def open_slide(path: str | Path) -> Slide:
    """Open a slide without reading its pixels.

    Parameters
    ----------
    path
        A TIFF or one of its kin (OME-TIFF, Aperio SVS, Hamamatsu NDPI, Leica SCN, QPTIFF), the folder
        of an OME-Zarr image (0.4 or 0.5), or whatever OpenSlide reads, where it is installed.

    Returns
    -------
    Slide
        Its levels have axes (Y, X), (Y, X, C) for colours, or (C, Y, X) for channels. A stored level
        that contradicts the finest one is left out, with a warning; an image whose coarsest level is
        larger than 4,096 pixels gets coarser ones, computed where they are looked at. Of planes in
        depth the middle one is read, of time points the first.

    Raises
    ------
    DataError
        When the file is missing, no slide, truncated, or needs a codec or library that is not
        installed; names the file and the remedy. Reading a level raises it too, for a tile that cannot
        be decoded; then it names file, level and region.
    """
    path = Path(path)
    contents = _contents(path)
    levels, dropped = check_levels(contents.levels)
    return Slide(
        path=path,
        format=contents.format,
        levels=tuple(add_overviews(levels)),
        stored_levels=len(levels),
        is_rgb=contents.is_rgb,
        pixel_size_um=contents.pixel_size_um,
        channel_names=_as_many(contents.channel_names, levels[0]),
        associated=MappingProxyType(dict(contents.associated)),
        metadata=MappingProxyType(dict(contents.metadata)),
        warnings=(*contents.warnings, *dropped),
        is_stack=contents.is_stack,
    )


def _of_array(array: Any, axes: str, name: str) -> Level:
    """A level that reads an array of another library."""

    def read(box: Box) -> NDArray[Any]:
        return np.asarray(array[tuple(slice(*span) for span in box)])

    shape = tuple(int(length) for length in array.shape)
    return Level(shape, array.dtype, axes, read, name=name)


def _contents(path: Path) -> Contents:
    if path.is_dir():
        from src_model.data.slide_formats.ome_zarr import open_ome_zarr

        return open_ome_zarr(path)
    if not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); use another copy of the file.")
    if path.suffix.lower() in TIFF_SUFFIXES:
        from src_model.data.slide_formats.tiff import open_tiff

        return open_tiff(path)
    from src_model.data.slide_formats.open_slide_library import open_with_openslide

    return open_with_openslide(path)


def _as_many(names: tuple[str, ...], level: Level) -> tuple[str, ...]:
    """The names, where there is one for each channel and the channels are no colours."""
    return names if level.axes == "CYX" and len(names) == level.channels else ()
