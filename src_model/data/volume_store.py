"""Volumes and masks of a dataset, checked and made comparable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src_model.data.case import Case, OfCase
from src_model.data.leakage import image_digest
from src_model.data.usable import UnknownClassError
from src_model.data.volume_intensity import volume_to_unit
from src_model.data.volumes import read_mask_volume, read_volume, same_grid
from src_model.errors import DataError, ImageError


@dataclass(frozen=True, eq=False)
class StoredVolume(OfCase):
    """One checked volume with its mask."""

    case: Case
    unit: NDArray[np.float32]
    """``(C, Z, Y, X)``, each channel stretched to 0..1."""
    mask: NDArray[np.uint8]
    """``(Z, Y, X)``; class numbers."""
    spacing_mm: tuple[float, float, float]
    """Distance of neighbouring voxels along Z, Y and X, millimetres."""
    digest: str | None
    """Of the values as they were read, see :func:`src_model.data.leakage.image_digest`."""


def load_volume(case: Case, in_channels: int, num_classes: int) -> StoredVolume:
    """Read and check one volume and its mask.

    With one class every value but 0 of the mask is foreground.

    Raises
    ------
    DataError
        When a file cannot be read, the two do not lie on one grid, the channels do not fit, or a
        class is unknown; names the file.
    """
    image, mask = read_volume(case.image), read_mask_volume(case.mask)
    if image.shape != mask.shape:
        raise DataError(f"{case.image} has {image.shape} voxels but its mask {case.mask} has {mask.shape}.")
    if not same_grid(image, mask):
        raise DataError(f"The mask {case.mask} lies elsewhere than {case.image}: their affines differ.")
    if len(image.values) != in_channels:
        raise DataError(f"{case.image} has {len(image.values)} channels; expected {in_channels}.")
    labels = mask.values[0]
    if num_classes == 1:
        labels = labels > 0
    elif int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        outside = int(labels.max()) if int(labels.max()) >= num_classes else int(labels.min())
        raise UnknownClassError(
            f"The mask {case.mask} holds class {outside}; expected 0 to {num_classes - 1}."
        )
    try:
        unit = volume_to_unit(image.values)
    except ImageError as error:
        raise DataError(f"{case.image} cannot be trained on: {error}") from error
    digest = image_digest(image.values)
    return StoredVolume(case, unit, labels.astype(np.uint8), image.spacing_mm, digest)
