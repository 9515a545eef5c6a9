"""The chunks of an array of zarr, each a file: packed and unpacked by the thread that asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.slide_formats.level import one_line
from src_model.data.slide_formats.pyramid import paste
from src_model.errors import DataError
from src_model.tiling.plan import Box, each

PARTIAL = ".partial"
"""Ends the name of a chunk that is being written."""
_HEAD = 16
"""Bytes at the beginning of what Blosc packs; the last four say how many there are in all."""


class Chunks:
    """Reads and writes whole chunks of one array, as zarr itself would.

    zarr passes each chunk through three other threads, which takes ten times the time of packing it beside
    a network that keeps the processor busy.

    Parameters
    ----------
    folder
        Of the array.
    array
        Of zarr, (Y, X), with square chunks; one that is not packed by Blosc is left to zarr.
    """

    def __init__(self, folder: Path, array: Any) -> None:
        self._folder, self._array = folder, array
        self._blosc = _blosc_of(array)
        self.shape: tuple[int, int] = tuple(array.shape)
        self.side: int = array.chunks[0]
        self.dtype: np.dtype[Any] = array.dtype

    def place(self, row: int, column: int) -> Box:
        """The pixels of a chunk."""
        (height, width), y, x = self.shape, row * self.side, column * self.side
        return Box(y, x, min(self.side, height - y), min(self.side, width - x))

    def read(self, row: int, column: int) -> NDArray[Any]:
        """The pixels of a chunk; 0 where it is not stored. They must not be changed.

        Raises
        ------
        DataError
            When it is damaged, or the array's folder gone.
        """
        place, file = self.place(row, column), self._file(row, column)
        if self._blosc is None:
            return np.asarray(self._array[place.slices])
        try:
            values = self._unpacked(file.read_bytes())
        except FileNotFoundError:
            if not self._folder.is_dir():
                raise DataError(f"The folder {self._folder} is gone; segment the slide again.") from None
            return np.zeros((place.height, place.width), self.dtype)
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{file} cannot be read ({one_line(error)}); delete this mask and segment the slide again."
            ) from error
        within = values[: place.height, : place.width]
        return (
            within if within.shape == values.shape else within.copy()
        )  # what is kept is no larger than it is

    def read_box(self, box: Box) -> NDArray[Any]:
        """Any part of the array; see :meth:`read`."""
        values = np.zeros((box.height, box.width), self.dtype)
        for row, column in each(box.squares(self.side)):
            offset = (row * self.side, column * self.side)
            paste(values, ((box.y, box.y_end), (box.x, box.x_end)), self.read(row, column), offset)
        return values

    def write(self, row: int, column: int, values: NDArray[Any]) -> None:
        """Store all pixels of a chunk, as its file or, where all are 0, as none.

        Raises
        ------
        OSError
            When the disk is full or the array's folder gone.
        """
        if self._blosc is None:
            self._array[self.place(row, column).slices] = values
            return
        file = self._file(row, column)
        if not values.any():
            file.unlink(missing_ok=True)
            return
        if values.shape != (self.side, self.side):
            beyond = [(0, self.side - length) for length in values.shape]
            values = np.pad(values, beyond)
        packed = self._blosc.encode(np.ascontiguousarray(values, self.dtype.newbyteorder("<")))
        partial = file.with_name(file.name + PARTIAL)
        try:
            partial.write_bytes(packed)
        except FileNotFoundError:
            for folder in (file.parent.parent, file.parent):
                folder.mkdir(exist_ok=True)  # not those above, which are gone where the user removed them
            partial.write_bytes(packed)
        partial.replace(file)

    def write_box(self, box: Box, values: NDArray[Any]) -> None:
        """Store a box, from corner to corner of chunks or to the edge of the array; see :meth:`write`."""
        for row, column in each(box.squares(self.side)):
            part = values[self.place(row, column).moved(-box.y, -box.x).slices]
            self.write(row, column, part)

    def _unpacked(self, packed: bytes) -> NDArray[Any]:
        # Blosc itself believes what the head says, and reads on where a file was cut short.
        if len(packed) < _HEAD or int.from_bytes(packed[_HEAD - 4 : _HEAD], "little") != len(packed):
            raise ValueError(f"it has {len(packed)} bytes, not all of them")
        values = np.frombuffer(self._blosc.decode(packed), self.dtype.newbyteorder("<"))  # type: ignore[union-attr]
        return values.reshape(self.side, self.side)

    def _file(self, row: int, column: int) -> Path:
        return self._folder / "c" / str(row) / str(column)


def _blosc_of(array: Any) -> Any | None:
    """What packs the chunks of an array of this version; ``None`` = they are packed in another way."""
    from numcodecs import Blosc
    from zarr.codecs import BloscCodec

    if len(array.compressors) != 1 or not isinstance(array.compressors[0], BloscCodec):
        return None
    settings = array.compressors[0].to_dict()["configuration"]
    shuffle = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}
    return Blosc(settings["cname"], settings["clevel"], shuffle[settings["shuffle"]], settings["blocksize"])
