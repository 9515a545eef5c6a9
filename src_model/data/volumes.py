"""Reading and writing of NIfTI volumes: axes (C, Z, Y, X), canonical orientation, spacing in millimetres."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from src_model.errors import DataError, ImageError
from src_model.files import atomic_path

SUFFIXES = (".nii.gz", ".nii")
_CANONICAL = np.array([[0, 1], [1, 1], [2, 1]])
_MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_CHUNK = 1 << 20
_UNREADABLE = (
    ImageFileError,
    HeaderDataError,
    EOFError,
    zlib.error,
    OSError,
    ValueError,
    OverflowError,
    MemoryError,
)


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume in memory, and the grid of the file that it came from."""

    values: NDArray[Any]
    """``(C, Z, Y, X)``: X runs to the right, Y to the front, Z to the top of the patient."""
    spacing_mm: tuple[float, float, float]
    """Distance of neighbouring voxels along Z, Y and X, millimetres."""
    affine: NDArray[np.float64]
    """``(4, 4)``, of the file: from its voxel ``(i, j, k)`` to its world unit."""
    unit: str
    """World unit of ``affine``: ``mm``, ``micron``, ``meter`` or ``unknown`` (taken as mm)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(Z, Y, X)``."""
        depth, height, width = self.values.shape[1:]
        return depth, height, width


def is_volume_path(path: str | Path) -> bool:
    """Whether the name is that of a NIfTI file."""
    return str(path).lower().endswith(SUFFIXES)


def volume_stem(path: str | Path) -> str:
    """File name without ``.nii`` or ``.nii.gz``."""
    name = Path(path).name
    ending = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(ending)]


def read_volume(path: str | Path) -> Volume:
    """Read ``.nii`` or ``.nii.gz``.

    Parameters
    ----------
    path
        A file with three spatial axes, and channels (e.g. MR sequences) as a fourth where it has
        several.

    Returns
    -------
    Volume
        Values with the scaling of the file applied; integers stay integers where it has none.

    Raises
    ------
    DataError
        When the file is missing, empty, truncated, damaged, or no volume; names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    if not is_volume_path(path):
        raise DataError(f"{path} is not a NIfTI file; expected a name that ends in .nii or .nii.gz.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); use another copy.")
    try:
        _check_packing(path)
        image = nib.load(path)
        values = np.asarray(image.dataobj)
        unit = image.header.get_xyzt_units()[0]
        affine = np.asarray(image.affine, dtype=np.float64)
    except _UNREADABLE as error:
        raise DataError(
            f"{path} cannot be read as NIfTI: it is truncated or damaged ({_first_line(error)}); "
            "use another copy."
        ) from error
    values = _four_axes(path, values)
    _check_grid(path, affine)
    canonical = apply_orientation(values, _orientation(affine))
    spacing = np.linalg.norm(_canonical_affine(affine, values.shape[:3])[:3, :3], axis=0)
    x, y, z = (float(step) * _MM_PER_UNIT.get(unit, 1.0) for step in spacing)
    return Volume(np.ascontiguousarray(canonical.transpose(3, 2, 1, 0)), (z, y, x), affine, unit)


def read_depth(path: str | Path) -> int:
    """Number of planes along Z, by the header alone.

    Raises
    ------
    DataError
        When the header cannot be read, or gives no usable voxel size; names the file.
    """
    path = Path(path)
    try:
        image = nib.load(path)
        affine = np.asarray(image.affine, dtype=np.float64)
        shape = image.shape
    except _UNREADABLE as error:
        raise DataError(
            f"{path} cannot be read as NIfTI: it is truncated or damaged ({_first_line(error)}); "
            "use another copy."
        ) from error
    if len(shape) < 3:
        raise DataError(f"{path} has shape {shape}; expected three spatial axes.")
    _check_grid(path, affine)
    return int(shape[int(np.argmax(_orientation(affine)[:, 0] == 2))])


def read_mask_volume(path: str | Path) -> Volume:
    """Read a mask: one channel of whole numbers, returned as integers.

    Raises
    ------
    DataError
        As :func:`read_volume`, and when the file has several channels or holds fractions.
    """
    volume = read_volume(path)
    values = volume.values
    if len(values) > 1:
        raise DataError(f"The mask {path} has {len(values)} channels; expected one.")
    if values.dtype.kind not in "biu":
        whole = np.isfinite(values).all() and np.array_equal(values, np.rint(values))
        if not whole:
            raise DataError(f"The mask {path} holds fractions or NaN; expected whole class numbers.")
        values = values.astype(np.int64)
    return Volume(values, volume.spacing_mm, volume.affine, volume.unit)


def same_grid(first: Volume, second: Volume) -> bool:
    """Whether two volumes have the same number of voxels at the same places (to 0.01 of a voxel)."""
    tolerance = 0.01 * min(first.spacing_mm) / _MM_PER_UNIT.get(first.unit, 1.0)
    return first.shape == second.shape and np.allclose(first.affine, second.affine, rtol=0, atol=tolerance)


def write_mask_volume(path: str | Path, mask: NDArray[Any], like: Volume) -> Path:
    """Write a mask on the grid of the file that ``like`` was read from, by atomic rename.

    Parameters
    ----------
    path
        Ends in ``.nii`` or ``.nii.gz``.
    mask
        ``(Z, Y, X)`` whole numbers from 0, on the voxels of ``like.values``.
    like
        The volume that was segmented: the file gets its orientation and affine.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ImageError
        When the mask has another size than the volume, or cannot be stored.
    OutputError
        When the file cannot be written.
    """
    if not is_volume_path(path):
        raise ImageError(f"A mask volume must be named .nii or .nii.gz but got {path}.")
    if mask.shape != like.shape:
        raise ImageError(f"The mask has {mask.shape} voxels but the volume has {like.shape}.")
    return _write(Path(path), mask.astype(_label_type(mask)), like)


def write_volume(path: str | Path, values: NDArray[np.float32], like: Volume) -> Path:
    """Write numbers ``(C, Z, Y, X)`` on the grid of the file that ``like`` was read from.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    return _write(Path(path), values[0] if len(values) == 1 else np.moveaxis(values, 0, -1), like)


def _write(path: Path, values: NDArray[Any], like: Volume) -> Path:
    """Write ``(Z, Y, X)`` or ``(Z, Y, X, C)`` by atomic rename."""
    stored = values.transpose(2, 1, 0, *range(3, values.ndim))
    inverse = ornt_transform(_CANONICAL, io_orientation(like.affine))
    image = nib.Nifti1Image(np.ascontiguousarray(apply_orientation(stored, inverse)), like.affine)
    image.header.set_xyzt_units(like.unit)
    content = image.to_bytes()
    with atomic_path(path) as temporary:
        if str(path).lower().endswith(".gz"):
            content = gzip.compress(content, compresslevel=6, mtime=0)
        temporary.write_bytes(content)
    return path


def _check_packing(path: Path) -> None:
    """Read a packed file to its end, where its checksum is, which nibabel does not look at."""
    if path.name.lower().endswith(".gz"):
        with gzip.open(path) as stream:
            while stream.read(_CHUNK):
                pass


def _four_axes(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    """``(X, Y, Z, C)`` of a file with three or four axes; a fifth may hold the channels."""
    if values.ndim == 5 and values.shape[3] == 1:
        values = values[:, :, :, 0, :]
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or 0 in values.shape:
        raise DataError(
            f"{path} has shape {values.shape}; expected three spatial axes, and channels if several."
        )
    if values.dtype.kind not in "biuf":
        raise DataError(f"{path} holds values of type {values.dtype}; expected plain numbers.")
    native: NDArray[Any] = values.astype(values.dtype.newbyteorder("="))  # a copy: frees the file
    return native


def _check_grid(path: Path, affine: NDArray[np.float64]) -> None:
    block = affine[:3, :3]
    if not np.isfinite(affine).all() or abs(np.linalg.det(block)) < 1e-12:
        raise DataError(
            f"The header of {path} gives no usable voxel size (affine {block.tolist()}); "
            "mend the header or use another copy."
        )


def _orientation(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(ornt_transform(io_orientation(affine), _CANONICAL))


def _canonical_affine(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    canonical: NDArray[np.float64] = affine @ np.asarray(inv_ornt_aff(_orientation(affine), shape))
    return canonical


def _label_type(mask: NDArray[Any]) -> type[np.generic]:
    if mask.dtype.kind not in "biu":
        raise ImageError(f"A mask must hold whole numbers but got {mask.dtype}.")
    if mask.size and mask.min() < 0:
        raise ImageError(f"A mask must hold numbers from 0 but got {int(mask.min())}.")
    largest = int(mask.max(initial=0))
    for kind in (np.uint8, np.uint16, np.int32):
        if largest <= np.iinfo(kind).max:
            return kind
    raise ImageError(f"The mask holds {largest}; numbers up to {np.iinfo(np.int32).max} can be stored.")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
