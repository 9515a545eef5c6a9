"""What one case of a dataset shows when it is read: sizes, numbers in the mask, oddities of its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.case import Case
from src_model.data.headers import read_header, states_voxel_size
from src_model.data.image_io import IMAGE_SUFFIXES, check_image
from src_model.data.leakage import image_digest
from src_model.data.outlines import fill_outlines, read_outlines
from src_model.data.problems import Problem, by
from src_model.data.read_case import is_outlined, read_case_image, read_case_mask
from src_model.data.usable import unusable
from src_model.data.volumes import read_mask_volume, read_volume, same_grid
from src_model.errors import DataError, ImageError

_FEW_VALUES = 3
"""Distinct values that a picture has which may be a mask."""


@dataclass(frozen=True)
class Inspected:
    """One case."""

    case: Case
    problems: tuple[Problem, ...] = ()
    shape: tuple[int, ...] | None = None
    """``(Y, X)`` or ``(Z, Y, X)``; ``None`` where it cannot be used."""
    pixels: str = ""
    """Channels and type, e.g. ``3 channels, uint8``."""
    values: dict[int, int] = field(default_factory=dict)
    """How many pixels of the mask have each number, background too."""
    spacing_mm: tuple[float, float, float] | None = None
    """Of a volume, along Z, Y and X."""
    digest: str | None = None
    """Of the image, see :func:`src_model.data.leakage.image_digest`."""

    @property
    def usable(self) -> bool:
        """Whether it can be trained on."""
        return self.shape is not None


def inspect_case(case: Case, dims: int, num_classes: int | None) -> Inspected:
    """Read a case and say what it holds.

    Parameters
    ----------
    case
        An image or, with ``dims`` 3, a volume.
    dims
        2 or 3.
    num_classes
        Of the network that is to be trained, where known: a mask with a higher number is left out.
    """
    try:
        found = _volume(case) if dims == 3 else _image(case)
    except DataError as error:
        return Inspected(case, (unusable(case, error),))
    problems = list(found.problems)
    highest = max(found.values, default=0)
    if num_classes is not None and num_classes > 1 and highest >= num_classes:
        what = f"it holds the number {highest} but there are {num_classes} classes, 0 to {num_classes - 1}"
        return Inspected(case, (*problems, Problem(case.mask, what)))
    if not highest and case.plane is None:
        problems.append(Problem(case.mask, "it is empty: every pixel is background", "note"))
    return Inspected(
        case, tuple(problems), found.shape, found.pixels, found.values, found.spacing_mm, found.digest
    )


def _image(case: Case) -> Inspected:
    image = read_case_image(case)
    plane = image if image.ndim == 2 else image[..., 0]
    try:
        mask = read_case_mask(case, (image.shape[0], image.shape[1]))
    except DataError as error:
        if plane.dtype == np.uint8 and len(np.unique(plane)) <= _FEW_VALUES:
            raise DataError(f"{error} Image and mask seem to be exchanged.") from error
        raise
    image = _channels_last(image, mask.shape, case)
    if mask.any():
        try:
            check_image(image)
        except ImageError as error:
            raise DataError(f"{case.image} cannot be trained on: {error}") from error
    return Inspected(
        case,
        (*_oddities(case.image), *_oddities_of_mask(case, mask.shape)),
        mask.shape,
        _described(image.shape[-1] if image.ndim > 2 else 1, image.dtype),
        _count(mask),
        digest=image_digest(image),
    )


def _channels_last(image: NDArray[Any], size: tuple[int, ...], case: Case) -> NDArray[Any]:
    if image.shape[:2] == size:
        return image
    if image.ndim == 3 and image.shape[1:] == size:
        return np.moveaxis(image, 0, -1)
    has, needs = by(image.shape[:2]), by(size)
    raise DataError(f"The image {case.image} has {has} pixels but its mask {case.mask.name} has {needs}.")


def _volume(case: Case) -> Inspected:
    image, mask = read_volume(case.image), read_mask_volume(case.mask)
    if image.shape != mask.shape:
        raise DataError(
            f"{case.image} has {by(image.shape)} voxels but its mask {case.mask.name} has {by(mask.shape)}"
        )
    if not same_grid(image, mask):
        raise DataError(f"The mask {case.mask} lies elsewhere than its image: the affines differ")
    if int(mask.values.min()) < 0:
        raise DataError(f"{case.mask} holds {int(mask.values.min())}; expected whole numbers from 0")
    problems = []
    spacing = " x ".join(f"{step:g}" for step in image.spacing_mm)
    if not states_voxel_size(case.image):
        problems.append(
            Problem(case.image, f"its header gives no voxel size, so {spacing} mm are taken", "note")
        )
    elif image.unit == "unknown":
        what = f"its header gives no unit of its voxel size, so {spacing} (Z, Y, X) are taken as millimetres"
        problems.append(Problem(case.image, what, "note"))
    return Inspected(
        case,
        tuple(problems),
        image.shape,
        _described(len(image.values), image.values.dtype),
        _count(mask.values),
        image.spacing_mm,
        image_digest(image.values),
    )


def _count(mask: NDArray[Any]) -> dict[int, int]:
    values, counts = np.unique(mask, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _oddities(path: Path) -> list[Problem]:
    """What is unusual of a picture but can be used."""
    header = read_header(path) if path.suffix.lower() in IMAGE_SUFFIXES else None
    if header is None:
        return []
    found = []
    if header.mode == "CMYK":
        found.append("it is stored in print colours (CMYK) and is converted to RGB")
    if header.mode == "P":
        found.append("it has a palette and is converted to RGB")
    if header.turned:
        found.append("its EXIF tag says that it must be turned, and it is")
    if header.bits == 16:
        found.append("it has 16 bits: its 0.1 and 99.9 percentiles become black and white")
    return [Problem(path, what, "note") for what in found]


def _oddities_of_mask(case: Case, shape: tuple[int, ...]) -> list[Problem]:
    if is_outlined(case):
        filled = fill_outlines(read_outlines(case.mask), (shape[0], shape[1]))
        found = {
            "outlines lie outside of the image and are left out": filled.outside,
            "outlines reach over the border and are cut there": filled.clipped,
            "outlines enclose no pixel of their own and are left out": filled.empty,
        }
        return [
            Problem(case.mask, f"{number} of its {what}", "note") for what, number in found.items() if number
        ]
    header = read_header(case.mask) if case.mask.suffix.lower() in IMAGE_SUFFIXES else None
    if header is not None and header.turned:
        return [Problem(case.mask, "its EXIF tag says that it must be turned, and it is", "note")]
    return []


def _described(channels: int, dtype: np.dtype[Any]) -> str:
    return f"{channels} channel{'s' if channels > 1 else ''}, {dtype}"
