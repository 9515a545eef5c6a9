"""Files fetched once into the user's cache: checked, resumed where they broke off, never half there."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from src_model.errors import DownloadError

Progress = Callable[[int, int], None]
"""Takes the bytes there are so far and in total (0 = not known)."""

Steps = Generator[tuple[int, int], None, None]
"""Gives the same numbers, one pair at a time."""

_CHUNK = 1 << 18
_PARTIAL = ".part"
_RANGE_NOT_SATISFIABLE = 416


def cache_folder() -> Path:
    """The folder of this user's cache for fetched weights."""
    from platformdirs import user_cache_path

    return user_cache_path("napari-utanet", appauthor=False) / "weights"


def fetch(
    address: str,
    sha256: str,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    timeout: float = 20.0,
    attempts: int = 3,
) -> Path:
    """The file of that address, from the cache or fetched into it.

    Parameters
    ----------
    address, sha256, folder, timeout, attempts
        See :func:`fetching`.
    progress
        Called while bytes arrive.

    Raises
    ------
    DownloadError
        When the file cannot be fetched, or its checksum is another.
    """
    for done, total in fetching(address, sha256, folder=folder, timeout=timeout, attempts=attempts):
        if progress is not None:
            progress(done, total)
    return _target(address, folder)


def fetching(
    address: str,
    sha256: str,
    *,
    folder: Path | None = None,
    timeout: float = 20.0,
    attempts: int = 3,
) -> Steps:
    """The same step by step: whoever stops asking for the next step stops the download.

    What was interrupted or broken is kept beside the file (``.part``) and gone on from, within
    this call (up to ``attempts`` times) and in the next one.

    Parameters
    ----------
    address
        ``http://`` or ``https://``; its last part is the file's name.
    sha256
        Checksum of the file, or how it begins; hexadecimal.
    folder
        Where to; default :func:`cache_folder`.
    timeout
        Seconds without any byte after which the connection counts as broken.
    attempts
        How often to connect before giving up.

    Yields
    ------
    tuple of int
        Bytes there are so far and in total (0 = not known); nothing where the file is there.

    Raises
    ------
    DownloadError
        When the file cannot be fetched, or its checksum is another.
    """
    target = _target(address, folder)
    try:
        if target.is_file():
            _check(target, sha256, "delete it and try again")
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + _PARTIAL)
        yield from _receive_all(address, partial, timeout, attempts)
        _check(partial, sha256, "it was not kept; try again, or report it if it stays so", remove=True)
        partial.replace(target)
    except OSError as error:
        raise DownloadError(f"Could not keep {target}: {error.strerror or error}.") from error


def _target(address: str, folder: Path | None) -> Path:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        raise DownloadError(f"Expected an address http:// or https:// but got '{address}'.")
    return (folder or cache_folder()) / parts.path.rpartition("/")[2]


def _receive_all(address: str, partial: Path, timeout: float, attempts: int) -> Steps:
    """Fill ``partial`` to its end, connecting again where the connection breaks."""
    for attempt in range(1, attempts + 1):
        try:
            yield from _receive(address, partial, timeout)
            return
        except urllib.error.HTTPError as error:
            if error.code == _RANGE_NOT_SATISFIABLE and partial.is_file():
                partial.unlink()  # longer than the file: it belongs to another one
                continue
            _give_up(address, partial, f"the server answered {error.code} {error.reason}", error)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if attempt == attempts:
                _give_up(address, partial, str(getattr(error, "reason", "")) or str(error), error)
    _give_up(address, partial, "the server keeps refusing to go on with a broken download", None)


def _receive(address: str, partial: Path, timeout: float) -> Steps:
    """One connection: the rest of the file, or all of it where the server cannot go on."""
    there = partial.stat().st_size if partial.is_file() else 0
    yield there, 0
    headers = {"User-Agent": "napari-utanet", **({"Range": f"bytes={there}-"} if there else {})}
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout) as response:
        goes_on = response.status == http.HTTPStatus.PARTIAL_CONTENT
        there = there if goes_on else 0
        rest = int(response.headers.get("Content-Length") or 0)
        total = there + rest if rest else 0
        with partial.open("ab" if goes_on else "wb") as stream:
            while chunk := response.read1(_CHUNK):
                stream.write(chunk)
                there += len(chunk)
                yield there, total
            stream.flush()
            os.fsync(stream.fileno())
    if total and there < total:
        raise ConnectionError(f"the connection ended after {there} of {total} bytes")


def _check(path: Path, sha256: str, remedy: str, *, remove: bool = False) -> None:
    """Refuse a file of another checksum."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found.startswith(sha256.lower()):
        return
    if remove:
        path.unlink()
    raise DownloadError(
        f"The file {path} is damaged or not the original (its SHA-256 begins with {found[: len(sha256)]} "
        f"but expected {sha256}); {remedy}."
    )


def _give_up(address: str, partial: Path, reason: str, cause: Exception | None) -> NoReturn:
    host, name = urlsplit(address).netloc, partial.name.removesuffix(_PARTIAL)
    raise DownloadError(
        f"Could not fetch {address}: {reason}. Connect to {host} and try again (what arrived is kept), or "
        f"put the file {name} into {partial.parent} by hand, or go on without it."
    ) from cause
