"""The journal of a label pyramid tells which chunks are written, so that a killed work can go on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src_model.data.label_chunks import PARTIAL

_NAME = "written.bin"
_RECORD = np.dtype("<u4")
_PAIR = 2 * _RECORD.itemsize


def remove_partial(folder: Path) -> None:
    """Remove the chunks of a pyramid that were begun and not ended."""
    with suppress(OSError):  # the folder may be gone
        for leftover in folder.rglob(f"*{PARTIAL}"):
            leftover.unlink(missing_ok=True)


class Journal:
    """Rows and columns of chunks, in the order in which they were written.

    Parameters
    ----------
    folder
        Of the pyramid.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _NAME

    def begin(self) -> None:
        """Make an empty one."""
        self._file.touch()

    def add(self, chunks: Iterable[tuple[int, int]]) -> None:
        """Note that these chunks are written.

        Raises
        ------
        OSError
            When the disk is full or the folder gone.
        """
        records = np.array(list(chunks), _RECORD)
        with self._file.open("ab", buffering=0) as stream:
            if stream.write(records.tobytes()) != records.nbytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def read(self) -> NDArray[np.uint32]:
        """All chunks that were noted, (N, 2); a last record that was cut off does not count."""
        return np.fromfile(self._file, _RECORD, count=self._whole() // _RECORD.itemsize).reshape(-1, 2)

    def mend(self) -> None:
        """Cut off a record that was begun and not ended."""
        os.truncate(self._file, self._whole())

    def end(self) -> None:
        """Remove it; the pyramid is complete."""
        self._file.unlink(missing_ok=True)

    def _whole(self) -> int:
        """Bytes of the records that are whole."""
        return self._file.stat().st_size // _PAIR * _PAIR
