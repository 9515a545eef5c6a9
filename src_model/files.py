"""Atomic writing: a file appears complete under its name, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from src_model.errors import OutputError

TEMPORARY_SUFFIX = ".part"
"""Ends the name of every file that is still being written; leftovers may be deleted."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block ends well.

    The temporary file is named ``.<stem>.<random>.part<suffix>`` so that writers which look at
    the suffix work. On success it is flushed to disk and renamed; on any error it is removed and
    a file that already lay at ``path`` stays as it was.

    Parameters
    ----------
    path
        Where the file shall appear. Missing parent folders are made.

    Raises
    ------
    OutputError
        When the folder cannot be made or written to, or the disk is full; names the path.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
    except OSError as error:
        raise _output_error(target, error) from error
    try:
        yield temporary
        temporary.chmod(mode)  # some writers make their file readable by its owner alone
        _publish(temporary, target)
    except OSError as error:
        raise _output_error(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def atomic_write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` as UTF-8 to ``path`` by atomic rename and return the path."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Delete temporary files that a killed process left in ``folder``; return their paths."""
    leftovers = sorted(p for p in Path(folder).glob(f".*{TEMPORARY_SUFFIX}*") if p.is_file())
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return leftovers


def _publish(temporary: Path, target: Path) -> None:
    """Flush the file's bytes to disk and give it its final name."""
    with temporary.open("rb+") as stream:
        os.fsync(stream.fileno())
    temporary.replace(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _output_error(target: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(
        f"Could not write {target}: {reason}. Choose a folder that exists, is writable and has free space."
    )
