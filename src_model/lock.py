"""A lock on a file, held by one process at a time and released by the system when that process dies.

It is one of the operating system on an open file, so neither a stale file nor a process number that
was given to another program can mislead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

_LOCKED_BYTE = 1 << 16
"""Which byte of the file is locked; beyond the text, which stays readable everywhere."""


@contextmanager
def lock_file(file: Path) -> Iterator[str | None]:
    """Try to lock ``file``, which is made where it is missing and stays when the block ends.

    Yields
    ------
    str or None
        ``None`` when this process holds the lock now, else the number of the process that does.

    Raises
    ------
    OSError
        When the folder cannot be made or the file not be opened.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b", buffering=0) as stream:
        if not _try_lock(stream):
            stream.seek(0)
            yield stream.read(_LOCKED_BYTE).decode(errors="replace").strip() or "unknown"
            return
        stream.truncate(0)
        with suppress(OSError):  # on a full disk the lock holds without the number
            stream.write(f"{os.getpid()}\n".encode())
        yield None


if sys.platform == "win32":
    import msvcrt

    def _try_lock(stream: FileIO) -> bool:
        try:
            stream.seek(_LOCKED_BYTE)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(stream: FileIO) -> bool:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
