"""Reading the ``.npz`` and ``.h5`` files in which prepared CT slices and volumes lie."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from src_model.errors import DataError

IMAGE, MASK = "image", "label"
"""Names of the arrays."""

_UNREADABLE = (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error, RuntimeError)


def read_npz(path: Path, name: str) -> NDArray[Any]:
    """One array of an ``.npz`` file.

    Raises
    ------
    DataError
        When the file is missing or damaged, or holds no such array of plain numbers.
    """
    with _named(path, name), np.load(path, allow_pickle=False) as file:
        return _plain(file[name])


def read_h5_plane(path: Path, name: str, plane: int) -> NDArray[Any]:
    """One plane ``(Y, X)`` of a volume ``(Z, Y, X)``; the others are not read.

    Raises
    ------
    DataError
        When the file is missing or damaged, or holds no such volume.
    """
    import h5py

    with _named(path, name), h5py.File(path, "r") as file:
        return _plain(_volume(file, name)[plane])


def h5_depth(path: Path) -> int:
    """Number of planes of the image, which the mask must have too.

    Raises
    ------
    DataError
        When the file is missing or damaged, or the two differ.
    """
    import h5py

    with _named(path, IMAGE), h5py.File(path, "r") as file:
        image, mask = (_volume(file, name).shape for name in (IMAGE, MASK))
    if image != mask:
        raise DataError(f"{path} holds an image of shape {image} but a mask of {mask}; use another copy.")
    return int(image[0])


def _volume(file: Any, name: str) -> Any:
    volume = file[name]
    if len(volume.shape) != 3:
        raise ValueError(f"'{name}' has {len(volume.shape)} axes instead of three")
    return volume


def _plain(values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"it holds {array.dtype} values instead of numbers")
    return array


@contextmanager
def _named(path: Path, name: str) -> Iterator[None]:
    """Turn the errors of reading into one that names the file."""
    if not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    try:
        yield
    except KeyError as error:
        raise DataError(f"{path} holds no array '{name}'; expected '{IMAGE}' and '{MASK}'.") from error
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__
        raise DataError(f"{path} cannot be read ({reason}); use another copy of the file.") from error
