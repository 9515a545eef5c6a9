"""Masks of whole slides: an OME-Zarr pyramid that is written chunk by chunk and read while it grows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import ClassInfo
from src_model.data.label_chunks import Chunks
from src_model.data.label_journal import Journal, remove_partial
from src_model.data.label_levels import GrowingLevels
from src_model.data.label_metadata import (
    OWN,
    classes_of,
    describe,
    make_group,
    open_group,
    pack,
    pixel_size_of,
    unpack,
)
from src_model.data.slide_formats.level import Box as Spans
from src_model.data.slide_formats.level import Level, one_line
from src_model.errors import DataError, OutputError
from src_model.files import atomic_folder, reason_of
from src_model.tiling.plan import Box, each

CHUNK = 512
_CONFIDENCE = "confidence"


class LabelPyramid:
    """Classes or numbers of objects of a whole slide.

    Each level has half the pixels of the one before along each axis. A pixel is the most frequent
    of the four below it; the largest value of those that are. Chunks that hold only 0 are not stored.
    A chunk of a coarser level is stored when all of it is known; the coarsest levels, at most 4,096
    pixels wide, are kept in memory and stored when the whole is known. A journal tells which chunks of
    the finest level are done, so that a killed work can go on.

    Several threads may read; one writes. Made by :meth:`create` or :meth:`open`.
    """

    def __init__(self, path: Path, group: Any, wanted: NDArray[np.bool_] | None) -> None:
        self.path = path
        described = dict(group.attrs)["ome"]["multiscales"][0]["datasets"]
        arrays = [Chunks(path / dataset["path"], group[dataset["path"]]) for dataset in described]
        self._group, self._journal = group, Journal(path)
        self.shape, self.chunk, self.dtype = arrays[0].shape, arrays[0].side, arrays[0].dtype
        self.wanted = np.ones(_grid(self.shape, self.chunk), bool) if wanted is None else wanted
        self._waiting = self.wanted.copy()
        self._growing = GrowingLevels(arrays, self._waiting)
        self.levels: tuple[Level, ...] = tuple(
            self._level(number, array.shape) for number, array in enumerate(arrays)
        )

    @classmethod
    def create(
        cls,
        path: Path,
        shape: tuple[int, int],
        *,
        dtype: Any = np.uint8,
        chunk: int = CHUNK,
        scale: tuple[float, float] = (1.0, 1.0),
        pixel_size_um: float | None = None,
        classes: Sequence[ClassInfo] = (),
        provenance: Mapping[str, Any] | None = None,
        wanted: NDArray[np.bool_] | None = None,
        confidence: bool = False,
        name: str | None = None,
    ) -> LabelPyramid:
        """Make an empty one.

        Parameters
        ----------
        path
            Folder that does not exist yet.
        shape
            Of the finest level (Y, X), pixels.
        dtype, chunk
            Of the pixels, and the side of a chunk.
        scale, pixel_size_um, classes
            See :func:`src_model.data.label_metadata.describe`.
        provenance
            How it comes about, plain data; kept as it is.
        wanted
            Which chunks of the finest level will be written; the others stay 0. ``None`` = all.
        confidence
            Whether there is also a map of the finest level that says how sure each pixel is.
        name
            Of the picture; ``None`` = that of the folder.

        Raises
        ------
        OutputError
            When the folder cannot be written.
        """
        own = {"scale": list(scale), "provenance": dict(provenance or {}), "complete": False}
        if wanted is not None:
            own["skipped"] = pack(~wanted)
        title = (name or path.stem).removesuffix(".ome")
        with atomic_folder(path, replace=False) as folder:
            extra = [_CONFIDENCE] if confidence else []
            group, levels = make_group(folder, shape, dtype=dtype, chunk=chunk, extra=extra)
            group.attrs.update(describe(levels, title, scale, pixel_size_um, classes, own))
            Journal(folder).begin()
        return cls(path, open_group(path), wanted)

    @classmethod
    def open(cls, path: str | Path) -> LabelPyramid:
        """Open one as it is; a work that was interrupted can be gone on with.

        Raises
        ------
        DataError
            When there is none, or it is damaged.
        """
        path = Path(path)
        try:
            group = open_group(path)
            own = dict(group.attrs)[OWN]
            skipped = own.get("skipped")
            shape, chunk = group["0"].shape, group["0"].chunks[0]
            wanted = None if skipped is None else ~unpack(skipped, _grid(shape, chunk))
            pyramid = cls(path, group, wanted)
            pyramid._recall(complete=bool(own["complete"]))
        except Exception as error:  # zarr raises many kinds for folders that are not its own
            raise DataError(
                f"{path} is no mask of a slide or is damaged ({one_line(error)}); segment the slide again."
            ) from error
        return pyramid

    @property
    def attributes(self) -> dict[str, Any]:
        """What this program noted beside the description of OME-Zarr."""
        return dict(dict(self._group.attrs)[OWN])

    @property
    def provenance(self) -> dict[str, Any]:
        """As given to :meth:`create`, and what :meth:`note` added."""
        return dict(self.attributes["provenance"])

    @property
    def complete(self) -> bool:
        """Whether :meth:`finish` has been reached."""
        return bool(self.attributes["complete"])

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the slide's finest level that one of the finest level here covers, rows and columns."""
        y, x = self.attributes["scale"]
        return float(y), float(x)

    @property
    def pixel_size_um(self) -> float | None:
        """Side of a pixel of the finest level, micrometres."""
        return pixel_size_of(dict(self._group.attrs))

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Name and colour of what the values 1, 2, ... stand for; empty for numbers of objects."""
        return classes_of(dict(self._group.attrs))

    def note(self, **values: Any) -> None:
        """Add to the provenance.

        Raises
        ------
        OutputError
            When the disk is full or the folder gone.
        """
        with self._writing():
            self._group.attrs[OWN] = self.attributes | {"provenance": self.provenance | values}

    @property
    def overview(self) -> int:
        """Number of the first level that is kept in memory while the pyramid grows."""
        return self._growing.overview

    def is_done(self, box: Box) -> bool:
        """Whether nothing of a box of the finest level waits to be written."""
        return not self._waiting[self._growing.chunks(box)].any()

    def read(self, box: Box) -> NDArray[Any]:
        """A part of the finest level; 0 where nothing was written."""
        return self._growing.read(0, box)

    def write(self, box: Box, values: NDArray[Any]) -> NDArray[Any]:
        """Write a part of the finest level, and what of the coarser ones is known by that.

        Parameters
        ----------
        box
            From corner to corner of chunks, or to the edge of the image.
        values
            (height, width).

        Returns
        -------
        ndarray
            The box as the level :attr:`overview` shows it.

        Raises
        ------
        OutputError
            When the disk is full or the folder gone.
        """
        overview = self._growing.reduced(values)
        with self._writing():
            self._growing.store(box, values)
            self._growing.show(box, overview, values)
            self._growing.store_parents(box)
            self._journal.add(each(self._growing.chunks(box)))
        return overview

    def write_confidence(self, box: Box, values: NDArray[np.uint8]) -> None:
        """Write how sure the pixels of a box are, 0 to 255; before :meth:`write`, which makes it known."""
        with self._writing():
            self._confidence.write_box(box, values)

    def read_confidence(self, box: Box) -> NDArray[np.uint8]:
        """What :meth:`write_confidence` wrote, 0 elsewhere."""
        return self._confidence.read_box(box)

    @cached_property
    def _confidence(self) -> Chunks:
        return Chunks(self.path / _CONFIDENCE, self._group[_CONFIDENCE])

    def grow(self, box: tuple[int, int, int, int], overview: NDArray[Any]) -> None:
        """Show a part that was written through another object of this pyramid.

        Parameters
        ----------
        box
            First row, first column, height and width; pixels of the finest level.
        overview
            What :meth:`write` returned for it.
        """
        self._growing.show(Box(*box), overview)

    def finish(self) -> None:
        """Write the coarsest levels, and mark the pyramid complete.

        Raises
        ------
        OutputError
            When the disk is full or the folder gone.
        """
        with self._writing():
            self._growing.store_rest()
            self._group.attrs[OWN] = self.attributes | {"complete": True}
            self._journal.end()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            (self.path / "zarr.json").stat()  # zarr would make a folder that is gone anew
            yield
        except OSError as error:
            remove_partial(self.path)
            raise OutputError(
                f"Could not write to {self.path}: {reason_of(error)}; what is written is kept: make space "
                "there, then do the same again."
            ) from error

    def _level(self, number: int, shape: tuple[int, ...]) -> Level:
        def read(spans: Spans) -> NDArray[Any]:
            (top, bottom), (left, right) = spans
            return self._growing.read(number, Box(top, left, bottom - top, right - left))

        name = f"{self.path}, level {number}"
        return Level(tuple(shape), self.dtype, "YX", read, name=name, tile=(self.chunk, self.chunk))

    def _recall(self, *, complete: bool) -> None:
        """Take up what lies on disk already."""
        if complete:
            self._waiting[...] = False
            self._growing.load_overviews()
            return
        self._waiting[tuple(self._journal.read().T)] = False
        self._growing.make_overviews()

    def mend(self) -> None:
        """Remove what a killed work left half-written; for the one who goes on writing only."""
        remove_partial(self.path)
        self._journal.mend()


def _grid(shape: tuple[int, ...], chunk: int) -> tuple[int, ...]:
    """Rows and columns of chunks."""
    return tuple(-(-side // chunk) for side in shape)
