"""Atomic writing: a file appears complete under its name, or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from src_model.errors import OutputError

TEMPORARY_SUFFIX = ".part"
"""Ends the name of every file that is still being written; leftovers may be deleted."""

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""The disk is full, or the user's share of it is."""


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


@contextlib.contextmanager
def atomic_folder(path: str | Path, *, replace: bool = True) -> Iterator[Path]:
    """Give a name beside ``path`` for a folder that takes its place when the block ends well.

    The block makes the folder. It is named like the files of :func:`atomic_path`; on any error it is
    removed, and a folder that already lay at ``path`` stays as it was. Otherwise that one is replaced;
    between two renames there is none for a moment.

    Parameters
    ----------
    path
        Where the folder shall appear. Missing parent folders are made.
    replace
        Whether to replace an earlier one, which is an error otherwise.

    Raises
    ------
    OutputError
        When the folder cannot be made or written to, or the disk is full; names the path.
    """
    target = Path(path)
    mark = secrets.token_hex(4)
    temporary = target.with_name(f".{target.stem}.{mark}{TEMPORARY_SUFFIX}{target.suffix}")
    earlier = target.with_name(f".{target.stem}.{mark}.earlier{TEMPORARY_SUFFIX}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if replace:
            _swap(temporary, target, earlier)
        else:
            _place(temporary, target)
    except OSError as error:
        raise _output_error(target, error) from error
    finally:
        for folder in (temporary, earlier):
            shutil.rmtree(folder, ignore_errors=True)


def atomic_write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` as UTF-8 to ``path`` by atomic rename and return the path."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def reason_of(error: BaseException) -> str:
    """What the system says went wrong, without the names of temporary files."""
    return getattr(error, "strerror", None) or str(error)


def remove_leftovers(folder: str | Path, of: str | Path | None = None) -> list[Path]:
    """Delete temporary files and folders that a killed process left in ``folder``; return their paths.

    With ``of`` only those of a file or folder of that name.
    """
    name = "" if of is None else glob.escape(Path(of).stem) + "."
    leftovers = sorted(Path(folder).glob(f".{name}*{TEMPORARY_SUFFIX}*"))
    for leftover in leftovers:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    return leftovers


def _publish(temporary: Path, target: Path) -> None:
    """Flush the file's bytes to disk and give it its final name."""
    with temporary.open("rb+") as stream:
        os.fsync(stream.fileno())
    temporary.replace(target)
    _sync_folder(target.parent)


def _swap(temporary: Path, target: Path, earlier: Path) -> None:
    """Put one folder in the place of another, which is kept under a third name; or leave all as it was."""
    if not target.exists():
        temporary.replace(target)
    else:
        target.replace(earlier)
        try:
            temporary.replace(target)
        except OSError:
            earlier.replace(target)
            raise
    _sync_folder(target.parent)


def _place(temporary: Path, target: Path) -> None:
    """Give a folder its final name, where nothing lies there."""
    try:
        temporary.rename(target)  # refused by the system where a folder lies there that is not empty
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise OutputError(
            f"{target} was just made by another program; wait for that one, or choose another folder."
        ) from error
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
    reason = reason_of(error)
    remedy = (
        "Free some space on that disk, or choose another folder."
        if error.errno in _FULL
        else "Choose a folder that exists, is writable and has free space."
    )
    return OutputError(f"Could not write {target}: {reason}. {remedy}")
