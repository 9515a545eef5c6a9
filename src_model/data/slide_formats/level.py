"""One resolution of a slide: an array that reads what it is indexed for, and nothing before."""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.errors import DataError, UTANetError

Box = tuple[tuple[int, int], ...]
"""For each axis the first pixel and the one after the last."""

CACHE_BYTES = 32 << 20
"""How much of a slide's decoded tiles is kept in memory."""
VIEW_STEP = 256
"""Height and width of what a viewer reads at once; larger ones hold the window up for longer at borders."""


class TileCache:
    """The tiles that were decoded last, for all levels of one slide; threads may share it."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._tiles: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = 0
        self._max_bytes = max_bytes

    def get(self, key: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The tile of ``key``, made where it is not at hand; it must not be written to."""
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
        tile = make()
        with self._lock:
            self._keep(key, tile)
        return tile

    def put(self, key: Hashable, tile: NDArray[Any]) -> None:
        """Keep the tile of ``key`` from now on, until others need the room."""
        with self._lock:
            self._drop(key)
            self._keep(key, tile)

    def forget(self, key: Hashable) -> None:
        """Drop the tile of ``key``, as it has changed."""
        with self._lock:
            self._drop(key)

    def _keep(self, key: Hashable, tile: NDArray[Any]) -> None:
        if key not in self._tiles and tile.nbytes <= self._max_bytes:
            self._tiles[key] = tile
            self._bytes += tile.nbytes
        while self._bytes > self._max_bytes:
            self._bytes -= self._tiles.popitem(last=False)[1].nbytes

    def _drop(self, key: Hashable) -> None:
        tile = self._tiles.pop(key, None)
        self._bytes -= 0 if tile is None else tile.nbytes


class Level:
    """An image that is read when it is indexed, by whole numbers and slices.

    It is enough of an array for napari, for ``numpy.asarray`` and for a plan of tiles.

    Parameters
    ----------
    shape
        In pixels, in the order of ``axes``.
    dtype
        Of the pixels.
    axes
        ``YX``, ``YXC`` (colours) or ``CYX`` (channels).
    read
        Reads a :data:`Box` that lies within the image.
    name
        What an error calls it, such as ``slide.svs, level 2``.
    tile
        Height and width of what is decoded at once.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        axes: str,
        read: Callable[[Box], NDArray[Any]],
        *,
        name: str,
        tile: tuple[int, int] = (256, 256),
    ) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.axes = axes
        self.name = name
        self.tile = tile
        self._read = read

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """What the whole level would take in memory."""
        return self.size * self.dtype.itemsize

    @property
    def size_yx(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.shape[self.axes.index("Y")], self.shape[self.axes.index("X")]

    @property
    def channels(self) -> int:
        """Number of colours or channels; 1 where there is no such axis."""
        return self.shape[self.axes.index("C")] if "C" in self.axes else 1

    @property
    def chunks(self) -> tuple[int, ...]:
        """What a viewer should read at once, for each axis, as arrays of zarr say it.

        napari reads whole chunks, and nothing anew while its view moves within them; without any it reads,
        and draws a second time, at each move. These are no tiles, which may be as wide as the slide.
        """
        return tuple(
            VIEW_STEP if axis in "YX" else length for axis, length in zip(self.axes, self.shape, strict=True)
        )

    def read_by(self, read: Callable[[Box], NDArray[Any]]) -> Level:
        """The same level, whose pixels come from elsewhere."""
        return Level(self.shape, self.dtype, self.axes, read, name=self.name, tile=self.tile)

    def channel(self, number: int) -> Level:
        """One channel of a level with axes ``CYX``, itself a level ``YX`` that is read when indexed."""
        if self.axes != "CYX" or not 0 <= number < self.channels:
            raise IndexError(
                f"Expected a channel below {self.channels} of axes CYX but got {number}, {self.axes}."
            )

        def read(box: Box) -> NDArray[Any]:
            values: NDArray[Any] = self._read(((number, number + 1), *box))[0]
            return values

        return Level(self.shape[1:], self.dtype, "YX", read, name=self.name, tile=self.tile)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Level({self.name}: {'x'.join(map(str, self.shape))} {self.axes}, {self.dtype})"

    def __deepcopy__(self, memo: object) -> Level:
        """Itself, as it cannot change; napari copies the data of a layer that is duplicated."""
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self.name} lies on disk; reading it makes a copy.")
        values: NDArray[Any] = self[...].astype(dtype or self.dtype, copy=False)
        return values

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part of the image.

        Raises
        ------
        IndexError
            For a key that is neither whole numbers nor slices, or lies outside.
        DataError
            When a tile cannot be read; names file, level and region.
        """
        keys = _full_key(key, self.ndim)
        box, inner = [], []
        for one, length in zip(keys, self.shape, strict=True):
            span, rest = _span(one, length)
            box.append(span)
            inner.append(rest)
        lengths = [stop - start for start, stop in box]
        values = self.read(tuple(box)) if all(lengths) else np.empty(lengths, self.dtype)
        part: NDArray[Any] = values[tuple(inner)]
        return part

    def read(self, box: Box) -> NDArray[Any]:
        """Read a region.

        Raises
        ------
        DataError
            When a tile cannot be read; names file, level and region.
        """
        try:
            return self._read(box)
        except UTANetError:  # of a finer level, which names itself
            raise
        except Exception as error:  # codecs raise many kinds for damaged tiles
            spans = dict(zip(self.axes, box, strict=True))
            (top, bottom), (left, right) = spans["Y"], spans["X"]
            raise DataError(
                f"{self.name} cannot be read in rows {top} to {bottom}, columns {left} to {right}: "
                f"{one_line(error)}; use another copy of the file."
            ) from error


def tiles_under(spans: Sequence[tuple[int, int]], tile: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Row and column of each tile that a region touches, row by row.

    Parameters
    ----------
    spans
        Of the region, for each axis as in :data:`Box`.
    tile
        Side of a tile along each of these axes, pixels.
    """
    return product(
        *(range(start // side, -(-stop // side)) for (start, stop), side in zip(spans, tile, strict=True))
    )


def one_line(error: BaseException) -> str:
    """What an error says, short and without a full stop."""
    return " ".join(str(error).split())[:160].rstrip(".") or type(error).__name__


def _full_key(key: Any, ndim: int) -> tuple[Any, ...]:
    """One index for each axis."""
    keys = key if isinstance(key, tuple) else (key,)
    dots = [n for n, one in enumerate(keys) if one is Ellipsis]
    if len(dots) > 1 or len(keys) - len(dots) > ndim:
        raise IndexError(f"Expected at most {ndim} indices and one '...' but got {len(keys)}.")
    missing = (slice(None),) * (ndim - len(keys) + len(dots))
    where = dots[0] if dots else len(keys)
    return keys[:where] + missing + keys[where + len(dots) :]


def _span(key: Any, length: int) -> tuple[tuple[int, int], Any]:
    """The pixels that a key needs, and the index into them that gives what it asks for."""
    if isinstance(key, slice):
        chosen = range(*key.indices(length))
        if not chosen:
            return (0, 0), slice(None)
        low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        return (low, high + 1), slice(None, None, chosen.step)
    try:
        index = operator.index(key)
    except TypeError:
        raise IndexError(f"Expected whole numbers and slices but got {key!r}.") from None
    if not -length <= index < length:
        raise IndexError(f"Index {index} lies outside of an axis of length {length}.")
    return (index % length, index % length + 1), 0
