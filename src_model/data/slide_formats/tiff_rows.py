"""Reads rows of a TIFF page that lies in the file as one uncompressed block, without the rest of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 1 << 20
"""How many bytes of a block are read at once."""


def is_one_block(keyframe: Any) -> bool:
    """Whether a page, or each plane of it, is a single strip of plain numbers."""
    plain = keyframe.compression == 1 and keyframe.predictor == 1 and keyframe.fillorder == 1
    whole = keyframe.bitspersample == 8 * keyframe.dtype.itemsize
    return bool(plain and whole and not keyframe.is_tiled and keyframe.rowsperstrip >= keyframe.imagelength)


@dataclass(frozen=True)
class PlainPage:
    """A page that is read some rows at a time."""

    path: Path
    offsets: Sequence[int]
    """Where each plane begins."""
    dtype: np.dtype[Any]
    """With the byte order of the file."""
    height: int
    width: int
    samples: int
    rows: int
    """How many are read at once."""

    @classmethod
    def of(cls, path: Path, offsets: Sequence[int], keyframe: Any) -> PlainPage:
        """Take over what is needed of a page of tifffile."""
        _, _, height, width, samples = keyframe.shaped
        rows = max(1, _AT_ONCE // (width * samples * keyframe.dtype.itemsize))
        dtype = keyframe.dtype.newbyteorder(keyframe.parent.byteorder)
        return cls(path, offsets, dtype, height, width, samples, min(rows, height))

    def tile(self, file: BinaryIO, index: int) -> NDArray[Any] | None:
        """Some rows: ``(Y, X, S)``, or ``None`` where the file leaves the plane out.

        Raises
        ------
        ValueError
            When the file ends before they do.
        """
        plane, part = divmod(index, -(-self.height // self.rows))
        if not self.offsets[plane]:
            return None
        first = part * self.rows
        count = min(self.rows, self.height - first)
        row_bytes = self.width * self.samples * self.dtype.itemsize
        file.seek(self.offsets[plane] + first * row_bytes)
        data = file.read(count * row_bytes)
        if len(data) < count * row_bytes:
            raise ValueError(f"the file ends within rows {first} to {first + count}")
        return np.frombuffer(data, self.dtype).reshape(count, self.width, self.samples)
