"""Reading the image and the mask of a case, whatever files they lie in."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.arrays import IMAGE, MASK, read_h5_plane, read_npz
from src_model.data.case import Case
from src_model.data.headers import read_header
from src_model.data.image_io import read_image, read_mask, whole_numbers
from src_model.data.outlines import fill_outlines, read_outlines
from src_model.data.volumes import is_volume_path, read_depth, read_mask_volume, read_volume
from src_model.errors import DataError

_OUTLINES, _SLICE, _VOLUME = ".xml", ".npz", ".h5"


def read_case_image(case: Case) -> NDArray[Any]:
    """The image of a flat case as it is stored.

    Returns
    -------
    ndarray
        As :func:`src_model.data.image_io.read_image`; of a NIfTI file the plane ``(Y, X)``, or
        ``(Y, X, C)`` where it has several channels, X to the patient's right and Y to the front.

    Raises
    ------
    DataError
        When the file cannot be read, or the case names no plane of a volume; names the file.
    """
    if is_volume_path(case.image):
        values: NDArray[Any] = _image_volume(*_version(case.image))[:, _plane(case)]
        return np.asarray(values[0]) if len(values) == 1 else np.moveaxis(values, 0, -1)
    return _array(case.image, IMAGE, case)


def read_case_mask(case: Case, shape: tuple[int, int] | None = None) -> NDArray[Any]:
    """The mask of a flat case as whole numbers.

    Parameters
    ----------
    case
        Its ``lookup`` is applied.
    shape
        Height and width of the image, for outlines; ``None`` = as the image's header says.

    Returns
    -------
    ndarray
        ``(Y, X)``, an unsigned integer type; 0 is background.

    Raises
    ------
    DataError
        When the file cannot be read, is no mask, or holds a number beyond ``lookup``; names the file.
    """
    if is_volume_path(case.mask):
        mask: NDArray[Any] = _mask_volume(*_version(case.mask))[_plane(case)]
        if int(mask.min(initial=0)) < 0:
            raise DataError(f"The mask {case.mask} holds {int(mask.min())}; expected whole numbers from 0.")
        mask = mask.astype(np.uint32)
    elif is_outlined(case):
        mask = fill_outlines(read_outlines(case.mask), shape or _size_of(case)).mask
    elif case.mask.suffix.lower() in (_SLICE, _VOLUME):
        mask = whole_numbers(_array(case.mask, MASK, case), case.mask)
    else:
        mask = read_mask(case.mask)
    if case.lookup is None:
        return mask
    highest = int(mask.max(initial=0))
    if highest >= len(case.lookup):
        raise DataError(f"The mask {case.mask} holds {highest}; expected 0 to {len(case.lookup) - 1}.")
    table = np.array(case.lookup, np.uint8)
    return np.asarray(table[mask])


def is_outlined(case: Case) -> bool:
    """Whether the mask is a file of outlines, one around each object."""
    return case.mask.suffix.lower() == _OUTLINES


def middle_plane(case: Case) -> Case:
    """The middle plane of a case that is a whole NIfTI volume.

    Raises
    ------
    DataError
        When its header cannot be read.
    """
    return replace(case, plane=read_depth(case.image) // 2)


def forget_volumes() -> None:
    """Free the volumes that are kept because cases are planes of them."""
    _image_volume.cache_clear()
    _mask_volume.cache_clear()


def _array(path: Path, name: str, case: Case) -> NDArray[Any]:
    suffix = path.suffix.lower()
    if suffix == _SLICE:
        return _flat(read_npz(path, name), path)
    if suffix == _VOLUME:
        return read_h5_plane(path, name, _plane(case))
    return read_image(path)


def _flat(array: NDArray[Any], path: Path) -> NDArray[Any]:
    if array.ndim != 2:
        raise DataError(f"{path} holds {array.ndim} axes {array.shape}; expected a slice (Y, X).")
    return array


def _plane(case: Case) -> int:
    if case.plane is None:
        raise DataError(
            f"{case.image} is a volume, which a network for flat images cannot take; choose one for volumes."
        )
    return case.plane


def _size_of(case: Case) -> tuple[int, int]:
    header = read_header(case.image)
    size: tuple[int, ...] = read_image(case.image).shape[:2] if header is None else header.size
    return size[0], size[1]


def _version(path: Path) -> tuple[Path, int]:
    """A file and when it was changed, so that a newer one is read again."""
    return path, path.stat().st_mtime_ns if path.is_file() else 0


@lru_cache(maxsize=1)
def _image_volume(path: Path, _changed: int) -> NDArray[Any]:
    return np.asarray(read_volume(path).values)


@lru_cache(maxsize=1)
def _mask_volume(path: Path, _changed: int) -> NDArray[Any]:
    return np.asarray(read_mask_volume(path).values[0])
