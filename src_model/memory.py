"""Keeps the memory of large maps from one step to the next, instead of asking the system for it again.

The C library of Linux gives a freed block of some size back at once. A network frees its maps layer by
layer, so each is made of new pages that the system fills with zeros, which takes about as long as the
arithmetic on a processor.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psutil

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_KEEP = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1))
_DEFAULT = ((_MMAP_MAX, 65536), (_TRIM_THRESHOLD, 128 << 10))
"""Of glibc, ``mallopt(3)``."""

_POPULATE_WRITE = 23
"""Of Linux since 5.14, ``madvise(2)``."""
_STEP = 8 << 20
"""Bytes that are asked for at a time: meanwhile no other thread of the process gets any."""
_PIECE = 96 << 20
"""Bytes that the layers of a network take beside its large maps."""
_REST = 4
"""What is given back is soon asked for again, which takes the time of a twentieth of a large tile."""

_lock = threading.Lock()
_inside = 0


@contextmanager
def kept_memory() -> Iterator[None]:
    """Inside, what is freed is kept for the next map; after it all that is free goes back to the system.

    Holds for the whole process, as long as anyone is inside. Without effect but with glibc.
    """
    library = _glibc()
    if library is None:
        yield
        return
    _enter(library)
    try:
        yield
    finally:
        _leave(library)


def _enter(library: Any) -> None:
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _tell(library, _KEEP)


def _leave(library: Any) -> None:
    global _inside
    with _lock:
        _inside -= 1
        if not _inside:
            _tell(library, _DEFAULT)
            library.malloc_trim(0)


def _tell(library: Any, settings: tuple[tuple[int, int], ...]) -> None:
    for name, value in settings:
        library.mallopt(name, value)


def populate(address: int, size: int) -> bool:
    """Let the system give memory for a range now, but for what it has of a first and a last page.

    What lies there stays, and other threads run meanwhile. ``False`` where the system cannot.
    """
    library, page = _glibc(), mmap.PAGESIZE
    first, last = -(-address // page) * page, (address + size) // page * page
    return library is not None and all(
        library.madvise(start, min(_STEP, last - start), _POPULATE_WRITE) == 0
        for start in range(first, last, _STEP)
    )


class _Counts(ctypes.Structure):
    """Of glibc, ``mallinfo2(3)``."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _counts(library: Any) -> _Counts | None:
    """Of what is kept; ``None`` where the library is too old to tell."""
    return library.mallinfo2() if hasattr(library, "mallinfo2") else None


class MemoryLimit:
    """Gives free memory back where a process that keeps it has grown by more than it should.

    Blocks of many sizes leave gaps that nothing fits into; pages that lie in them cost nothing once they
    are given back.
    """

    def __init__(self) -> None:
        self._library, self._process = _glibc(), psutil.Process()
        self._most = math.inf
        self._rest = 0

    def take(self, size: int, beside: int) -> None:
        """Let so many bytes be kept free, from now on, and the process grow by some ``beside`` them.

        A long work grows as little as a short one then, and does not find half-way that others took the
        memory. For where memory is kept.
        """
        if self._library is None:
            return
        counts = _counts(self._library)
        missing = max(size - (counts.fordblks - counts.keepcost if counts else 0), 1)
        if piece := self._library.malloc(missing):
            if not populate(piece, missing):
                ctypes.memset(piece, 0, missing)
            self._library.free(piece)
        self._most = self._process.memory_info().rss + beside

    def keep(self) -> None:
        """To be called now and then, between large steps; of four calls one at most gives back."""
        self._rest -= 1
        if self._library is None or self._rest > 0:
            return
        room = self._most - self._process.memory_info().rss
        if room < _PIECE and room < max(_PIECE - self._in_one_piece(), 0):
            self._library.malloc_trim(0)
            self._rest = _REST

    def _in_one_piece(self) -> int:
        """Bytes that are free at the end of what is kept: where they are too few, it soon grows."""
        counts = _counts(self._library)
        return int(counts.keepcost) if counts else _PIECE


@cache
def _glibc() -> Any:
    """The C library, or ``None`` where it is another one."""
    if platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    library.free.argtypes = (ctypes.c_void_p,)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if hasattr(library, "mallinfo2"):  # since 2.33
        library.mallinfo2.restype = _Counts
    return library
