"""Reads the tiles or strips of TIFF pages that a region needs; what is damaged is told, never filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from src_model.data.slide_formats.jpeg_damage import check_end, check_jpeg, check_restart
from src_model.data.slide_formats.level import Box, TileCache, tiles_under
from src_model.data.slide_formats.pyramid import paste
from src_model.data.slide_formats.tiff_rows import PlainPage, is_one_block

_JPEG = {6, 7, 34892, 33007}
_OLD_JPEG = 6
_JPEG_2000 = {33003, 33004, 33005, 34712}


@dataclass(frozen=True)
class Page:
    """Where the tiles of one page lie; the file need not stay open."""

    path: Path
    offsets: Sequence[int]
    counts: Sequence[int]
    jpeg_tables: bytes | None
    jpeg_header: bytes | None
    decode: Any
    compression: int

    @classmethod
    def of(cls, page: Any) -> Page:
        """Take over what is needed of a page of tifffile whose file is open."""
        keyframe = page.keyframe
        is_jpeg = keyframe.compression in _JPEG
        return cls(
            path=Path(page.parent.filehandle.path),
            offsets=page.dataoffsets,
            counts=page.databytecounts,
            jpeg_tables=page.jpegtables if is_jpeg else None,
            jpeg_header=keyframe.jpegheader if is_jpeg else None,
            decode=keyframe.decode,
            compression=int(keyframe.compression),
        )

    @property
    def end(self) -> int:
        """The last byte of its data."""
        return max(
            (offset + count for offset, count in zip(self.offsets, self.counts, strict=False)), default=0
        )

    def tile(self, file: BinaryIO, index: int) -> NDArray[Any] | None:
        """Decode one tile or strip: ``(Y, X, S)``, or ``None`` where the file leaves it out.

        Raises
        ------
        ValueError
            When it is damaged; codecs raise other kinds too.
        """
        if index >= len(self.offsets) or index >= len(self.counts):
            raise ValueError(f"tile {index} is missing from the list of tiles")
        offset, count = self.offsets[index], self.counts[index]
        if not offset or not count:
            return None
        file.seek(offset)
        data = file.read(count)
        if len(data) < count:
            raise ValueError(f"tile {index} ends after {len(data)} of its {count} bytes")
        if self.compression in _JPEG_2000:
            check_end(data)
        if self.compression not in _JPEG:
            tile, _, _ = self.decode(data, index)
        else:
            if self.jpeg_header is not None:
                check_restart(data)
            elif self.compression != _OLD_JPEG:
                check_jpeg(data)
            tile, _, _ = self.decode(data, index, jpegtables=self.jpeg_tables, jpegheader=self.jpeg_header)
        plane: NDArray[Any] = tile[0]
        return plane


class TiffPixels:
    """The pixels of one level, from one page or several.

    Parameters
    ----------
    pages
        One, or one for each channel, in order.
    keyframe
        The page of tifffile that describes all of them.
    axes
        ``YX``, ``YXC`` or ``CYX``, as the level is to be given.
    cache, key
        Where decoded tiles are kept, and what tells this level's from others.
    """

    def __init__(self, pages: Sequence[Page], keyframe: Any, axes: str, cache: TileCache, key: int) -> None:
        self._axes, self._cache, self._key = axes, cache, key
        self._pages: Sequence[Page | PlainPage] = pages
        self._separate, _, self._height, self._width, self._samples = keyframe.shaped
        if keyframe.is_tiled:
            self.tile = (keyframe.tilelength, keyframe.tilewidth)
        else:
            self.tile = (min(keyframe.rowsperstrip, self._height), self._width)
        if is_one_block(keyframe):
            plain = [PlainPage.of(page.path, page.offsets, keyframe) for page in pages]
            self._pages, self.tile = plain, (plain[0].rows, self._width)
        self._across = -(-self._width // self.tile[1])
        self._count = self._across * -(-self._height // self.tile[0])
        self.dtype = keyframe.dtype
        self._empty = 255 if axes == "YXC" and keyframe.dtype == np.uint8 else 0

    @property
    def channels(self) -> int:
        """How many planes and samples there are."""
        return len(self._pages) * int(self._separate * self._samples)

    @property
    def shape(self) -> tuple[int, ...]:
        """In the order of the axes."""
        sizes = {"Y": self._height, "X": self._width, "C": self.channels}
        return tuple(sizes[axis] for axis in self._axes)

    def read(self, box: Box) -> NDArray[Any]:
        """Decode the tiles that touch a region of the level."""
        spans = dict(zip(self._axes, box, strict=True))
        first, last = spans.get("C", (0, 1))
        rows, columns = spans["Y"], spans["X"]
        if self._samples > 1:
            planes = self._plane(0, rows, columns)[..., first:last]
        else:
            planes = np.concatenate([self._plane(n, rows, columns) for n in range(first, last)], axis=-1)
        if self._axes == "YX":
            return planes[..., 0]
        return np.moveaxis(planes, -1, 0) if self._axes == "CYX" else planes

    def _plane(self, plane: int, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
        """``(Y, X, S)`` of one page, or of one plane of a page that keeps its samples apart."""
        page, separate = self._pages[plane // self._separate], plane % self._separate
        box = (rows, columns, (0, self._samples))
        out = np.full([stop - start for start, stop in box], self._empty, self.dtype)
        height, width = self.tile
        with page.path.open("rb") as file:
            for row, column in tiles_under((rows, columns), self.tile):
                index = separate * self._count + row * self._across + column
                tile = self._cached(page, file, plane, index)
                paste(out, box, tile, (row * height, column * width, 0))
        return out

    def _cached(self, page: Page | PlainPage, file: BinaryIO, plane: int, index: int) -> NDArray[Any]:
        def decode() -> NDArray[Any]:
            tile = page.tile(file, index)
            return np.empty((0, 0, self._samples), self.dtype) if tile is None else tile

        return self._cache.get((self._key, plane, index), decode)
