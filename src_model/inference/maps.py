"""Where the large maps of a network lie: in memory of the system, or in one block reserved for a work.

A processor's network makes and drops maps of many sizes. The system fills fresh memory with zeros, page by
page, which takes as long as the arithmetic; kept memory falls into pieces that no larger map fits
into, and grows. A block of its own has neither: it is filled once, and its free parts join again.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import threading
import weakref
from bisect import insort
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from src_model.memory import populate

STRIP_BYTES = 16 << 20
"""Of the widest map of an image while a layer runs on some rows after the other."""
_LEAST = 1 << 20
"""Bytes from which on a map lies in the block."""
_STEP = 4096


class Maps:
    """Makes the maps of one network; may be used from several threads, but reserved by one.

    Attributes
    ----------
    strip_bytes : int
        How many the widest map of an image may take in a layer that runs in strips.
    """

    def __init__(self) -> None:
        self.strip_bytes = STRIP_BYTES
        self._block: _Block | None = None

    @contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Inside, maps on the processor lie in a block of ``size`` bytes as long as there is room in it.

        Only what is used of it takes memory. It goes back to the system after the last of the maps. Within
        another block that is as large, nothing is reserved anew.
        """
        before = self._block
        if before is None or before.size < size:
            with contextlib.suppress(OSError):  # else each map is asked for by itself
                self._block = _Block(size)
        try:
            yield
        finally:
            self._block = before

    def take(self, size: int) -> None:
        """Take so many bytes of the block at once, so that nobody else has them when they are needed."""
        if self._block is not None:
            self._block.fill(size)

    @contextmanager
    def smaller_strips(self, share: float) -> Iterator[None]:
        """Inside, strips take only a share of their bytes, as inputs do that stand for larger ones."""
        usual, self.strip_bytes = self.strip_bytes, round(self.strip_bytes * share)
        try:
            yield
        finally:
            self.strip_bytes = usual

    def empty(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """A map (B, C, Y, X) of any values, channels last in memory."""
        block, size = self._block, math.prod(shape) * dtype.itemsize
        piece = block.take(size) if block and device.type == "cpu" and size >= _LEAST else None
        if piece is None:
            return torch.empty(tuple(shape), dtype=dtype, device=device, memory_format=torch.channels_last)
        count, channels, *sides = shape
        return piece.view(dtype).view(count, *sides, channels).permute(0, 3, 1, 2)


class _Block:
    """Memory that is given away in pieces: each time the first gap that is large enough."""

    def __init__(self, size: int) -> None:
        self.size = size
        private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}
        memory = mmap.mmap(-1, _rounded(size), **private)
        self._memory = np.frombuffer(memory, np.uint8)
        self._gaps: list[tuple[int, int]] = [(0, len(self._memory))]
        # A piece may be dropped in the middle of anything, so it is only noted then.
        self._dropped: deque[tuple[int, int]] = deque()
        self._lock = threading.Lock()

    def take(self, size: int) -> Tensor | None:
        """So many bytes (a flat tensor), whose place is free again when no tensor uses it; or ``None``."""
        wanted = _rounded(size)
        with self._lock:
            self._join()
            for number, (start, stop) in enumerate(self._gaps):
                if stop - start >= wanted:
                    self._gaps[number : number + 1] = [(start + wanted, stop)] * (stop - start > wanted)
                    break
            else:
                return None
        piece = self._memory[start : start + size]
        # The tensor's storage holds this very array, and so do all views of the tensor.
        weakref.finalize(piece, self._dropped.append, (start, start + wanted)).atexit = False
        return torch.from_numpy(piece)

    def fill(self, size: int) -> None:
        """Let the system give memory for the first so many bytes; what lies there stays."""
        size = min(_rounded(size), len(self._memory))
        if not populate(self._memory.ctypes.data, size):
            self._memory[:size:_STEP] |= 0

    def _join(self) -> None:
        while self._dropped:
            insort(self._gaps, self._dropped.popleft())
        joined: list[tuple[int, int]] = []
        for start, stop in self._gaps:
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], stop)
            else:
                joined.append((start, stop))
        self._gaps = joined


def _rounded(size: int) -> int:
    return -(-max(size, 1) // _STEP) * _STEP
