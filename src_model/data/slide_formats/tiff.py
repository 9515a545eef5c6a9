"""Slides in TIFF and its kin: tiled pyramids, OME-TIFF, Aperio, Hamamatsu, Leica and Akoya."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from src_model.data.slide_formats import tiff_metadata as notes
from src_model.data.slide_formats.contents import Contents
from src_model.data.slide_formats.level import Level, TileCache, one_line
from src_model.data.slide_formats.tiff_tiles import Page, TiffPixels
from src_model.errors import DataError

_RGB, _PALETTE, _YCBCR = 2, 3, 6
_CODECS_OF_COLOUR = {6, 7, 34892, 33003, 33007, 34712, 22610, 34934, 50001}
"""Compressions whose decoders give RGB whatever the colours are stored as."""
_ASSOCIATED = {"overview": "macro"}


def open_tiff(path: Path) -> Contents:
    """Read the structure of a TIFF; pixels are read later.

    Raises
    ------
    DataError
        When it is no TIFF, is truncated, or is stored as nothing here reads.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return _Structure(path, file).contents()
    except DataError:
        raise
    except (tifffile.TiffFileError, IndexError) as error:
        raise DataError(
            f"{path} is no slide or is truncated: {one_line(error)}; use another copy of the file."
        ) from error
    except Exception as error:  # tifffile raises many kinds for damaged files
        raise DataError(
            f"{path} cannot be read, it is truncated or damaged ({one_line(error)}); use another copy."
        ) from error


class _TruncatedError(DataError):
    """The file ends before its data do, so no level of it is to be trusted."""


class _Structure:
    """One open file, until its contents are known."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file = path, file
        self.cache, self.keys = TileCache(), itertools.count()
        self.warnings: list[str] = []
        self.is_stack = False

    def contents(self) -> Contents:
        self._check_chain()
        images = list(self.file.series)
        index, main = max(enumerate(images), key=lambda pair: _area(pair[1]))
        stored = [(f"level {number}", level) for number, level in enumerate(main.levels)]
        stored += [(f"image {n}", series) for n, series in enumerate(images) if _is_stray(series, main)]
        levels = list(self._levels(stored))
        kind = main.kind
        return Contents(
            format=notes.FORMATS.get(kind, "TIFF"),
            levels=levels,
            is_rgb=levels[0].axes == "YXC",
            pixel_size_um=notes.pixel_size(kind, self.file, main, index),
            channel_names=notes.channel_names(kind, self.file, main, index),
            associated=dict(self._associated(images, main)),
            metadata=notes.properties(kind, self.file),
            warnings=self.warnings,
            is_stack=self.is_stack,
        )

    def _check_chain(self) -> None:
        """A file that was cut off often ends before the list of its images does."""
        if not len(self.file.pages):
            raise DataError(f"{self.path} is truncated: it holds no image; use another copy of the file.")
        where = self.file.pages.next_page_offset
        size = self.file.filehandle.size
        self.file.filehandle.seek(where or 0)
        following = self.file.filehandle.read(self.file.tiff.offsetsize) if where else b""
        pointer = int.from_bytes(following, "little" if self.file.byteorder == "<" else "big")
        if pointer >= size:
            raise DataError(
                f"{self.path} is truncated: it names an image at byte {pointer} but ends at {size}; "
                "use another copy of the file."
            )

    def _levels(self, stored: list[tuple[str, Any]]) -> Iterator[Level]:
        for number, (name, series) in enumerate(stored):
            try:
                yield self._level(series, f"{self.path}, {name}")
            except DataError as error:
                if number == 0 or isinstance(error, _TruncatedError):
                    raise
                self.warnings.append(str(error))

    def _level(self, series: Any, name: str) -> Level:
        keyframe = series.keyframe
        self._check_codec(keyframe, name)
        pages = [Page.of(page) for page in self._flat(series, name)]
        for page in pages:
            size = page.path.stat().st_size
            if page.end > size:
                raise _TruncatedError(
                    f"{name} is truncated: its data end at byte {page.end} but the file at {size}; "
                    "use another copy of the file."
                )
        count = len(pages) * keyframe.shaped[0] * keyframe.shaped[-1]
        axes = "YX" if count == 1 else "YXC" if _is_colour(keyframe) and count in (3, 4) else "CYX"
        pixels = TiffPixels(pages, keyframe, axes, self.cache, next(self.keys))
        return Level(pixels.shape, pixels.dtype, axes, pixels.read, name=name, tile=pixels.tile)

    def _flat(self, series: Any, name: str) -> list[Any]:
        """The pages of one plane: the middle one in depth, the first one in time."""
        keyframe = series.keyframe
        if keyframe.shaped[1] != 1:
            raise DataError(f"{name} is a volume stored in blocks; save it as flat images instead.")
        lead = {
            axis: length for axis, length in zip(series.axes, series.shape, strict=True) if axis not in "YXS"
        }
        inside = keyframe.shaped[0] * keyframe.shaped[-1]
        pages = [series.keyframe] if series.is_truncated else [series[n] for n in range(len(series))]
        if len(pages) == 1 and math.prod(lead.values()) == inside:
            lead = {}  # the channels are samples of the page
        order = np.arange(math.prod(lead.values())).reshape(tuple(lead.values()))
        if order.size != len(pages):
            raise DataError(
                f"{name} keeps {order.size} planes in {len(pages)} pages; save it as an OME-TIFF instead."
            )
        for axis in ("Z", "T"):
            if axis in lead:
                order = np.take(order, lead[axis] // 2 if axis == "Z" else 0, axis=list(lead).index(axis))
                self._say_stack(axis, lead.pop(axis))
        if len(lead) > 1 or (lead and inside > 1):
            raise DataError(f"{name} has axes {series.axes}; a slide has Y, X and channels or colours.")
        self.is_stack |= bool(lead) and "C" not in lead
        chosen = [pages[n] for n in order.ravel()]
        if any(page is None for page in chosen):
            raise DataError(f"{name} lacks a channel; put the files that belong to it into its folder.")
        return chosen

    def _say_stack(self, axis: str, length: int) -> None:
        which = {
            "Z": f"the middle one of {length} planes in depth",
            "T": f"the first one of {length} time points",
        }
        sentence = f"Of {self.path} {which[axis]} is read."
        if sentence not in self.warnings:
            self.warnings.append(sentence)
        self.is_stack = True

    def _check_codec(self, keyframe: Any, name: str) -> None:
        import tifffile

        compression = keyframe.compression
        label = getattr(compression, "name", compression)
        if compression != 1 and compression not in tifffile.TIFF.DECOMPRESSORS:
            raise DataError(
                f"{name} is compressed by {label}, for which no codec is installed; "
                "run 'pip install -U imagecodecs', or save it with another compression."
            )
        if keyframe.photometric == _PALETTE:
            raise DataError(f"{name} has colours in a palette; save it as RGB instead.")
        if keyframe.photometric == _YCBCR and compression not in _CODECS_OF_COLOUR:
            raise DataError(f"{name} stores brightness and tint apart ({label}); save it as RGB instead.")
        if keyframe.dtype is None or keyframe.dtype.kind not in "buif":
            raise DataError(f"{name} holds {keyframe.dtype} values; save it as plain numbers instead.")

    def _associated(self, images: list[Any], main: Any) -> Iterator[tuple[str, Level]]:
        """The other pictures of the file, by name; one that cannot be read is left out."""
        taken = {id(page) for level in main.levels for page in level if page is not None}
        taken |= {id(series.keyframe) for series in images}
        others = [
            (series.name or f"image {n}", series)
            for n, series in enumerate(images)
            if series is not main and not _is_stray(series, main)
        ]
        if main.kind == "scn":
            others = [("macro" if n == 0 else name, series) for n, (name, series) in enumerate(others)]
        if main.kind == "qpi":
            import tifffile

            others += [
                (kind, tifffile.TiffPageSeries([page], page.shape, page.dtype, page.axes))
                for page in self.file.pages
                if id(page) not in taken and (kind := notes.image_type(page.description))
            ]
        names: set[str] = set()
        for name, series in others:
            name = _ASSOCIATED.get(name.lower(), name.lower())
            name = name if name not in names else f"{name} {len(names)}"
            names.add(name)
            try:
                yield name, self._level(series, f"{self.path}, {name}")
            except DataError as error:
                self.warnings.append(str(error))


def _is_stray(series: Any, main: Any) -> bool:
    """Whether an image says that it is a level of a plain pyramid, but tifffile does not count it as one."""
    page = series.keyframe
    return series is not main and main.kind not in notes.FORMATS and page.is_reduced and page.is_tiled


def _area(series: Any) -> int:
    sizes = dict(zip(series.axes, series.shape, strict=True))
    return int(sizes.get("Y", 0)) * int(sizes.get("X", 0))


def _is_colour(keyframe: Any) -> bool:
    """Whether the samples are red, green, blue, as stored or as decoded."""
    return keyframe.photometric in (_RGB, _YCBCR)
