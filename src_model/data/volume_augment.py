"""Random patches of volumes for training, image and mask together, repeatable from one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from monai import transforms as mt
from numpy.typing import NDArray

_KEYS = ("image", "mask")
_MODES = ("bilinear", "nearest")


@dataclass(frozen=True)
class VolumeAugment:
    """Probability of each change of a patch."""

    flip: float = 0.5
    """Mirror, for each axis; 0 where left and right must not be confused."""
    affine: float = 0.3
    """Turn by up to 15 degrees and zoom by up to 15 %."""
    intensity: float = 0.3
    """Scale and shift the intensities by up to 10 %."""
    noise: float = 0.15
    """Add Gaussian noise."""


def draw_patch(
    image: NDArray[np.float32],
    mask: NDArray[Any],
    size: tuple[int, int, int],
    augment: VolumeAugment,
    *,
    foreground_share: float,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Cut one random patch and change it.

    Parameters
    ----------
    image
        ``(C, Z, Y, X)``, standardised; mirrored with its mask where it is smaller than the patch.
    mask
        ``(Z, Y, X)`` class numbers.
    size
        Of the patch, voxels (Z, Y, X).
    augment
        How likely each change is.
    foreground_share
        Share of the patches that are centred on a voxel of the foreground.
    seed
        The same number gives the same patch.

    Returns
    -------
    tuple
        Image ``(C, *size)`` float32 and mask ``size`` int64.
    """
    steps = [_crop(size, foreground_share if mask.any() else 0.0), *_changes(augment)]
    compose = mt.Compose(steps)
    compose.set_random_state(seed=seed)
    patch = compose({"image": mirrored(image, size), "mask": mirrored(mask[None].astype(np.float32), size)})
    if isinstance(patch, list):  # a crop may return several patches
        patch = patch[0]
    drawn = np.asarray(patch["image"], dtype=np.float32)
    labels = np.rint(np.asarray(patch["mask"])[0]).astype(np.int64)
    return np.ascontiguousarray(drawn), np.ascontiguousarray(labels)


def mirrored(values: NDArray[Any], size: tuple[int, int, int]) -> NDArray[Any]:
    """``(C, Z, Y, X)`` continued by its mirror images, as often as needed, to at least ``size``."""
    missing = [max(0, side - length) for side, length in zip(size, values.shape[1:], strict=True)]
    if not any(missing):
        return values
    gaps = [(0, 0), *((count // 2, count - count // 2) for count in missing)]
    return np.pad(values, gaps, mode="reflect")


def _crop(size: tuple[int, int, int], foreground_share: float) -> Any:
    if foreground_share <= 0:
        return mt.RandSpatialCropd(_KEYS, roi_size=size, random_size=False)
    return mt.RandCropByPosNegLabeld(
        _KEYS,
        label_key="mask",
        spatial_size=size,
        pos=foreground_share,
        neg=1.0 - foreground_share,
        num_samples=1,
    )


def _changes(augment: VolumeAugment) -> list[Any]:
    turn = float(np.deg2rad(15.0))
    steps: list[Any] = [mt.RandFlipd(_KEYS, prob=augment.flip, spatial_axis=axis) for axis in range(3)]
    return [
        *steps,
        mt.RandAffined(
            _KEYS,
            prob=augment.affine,
            rotate_range=(turn,) * 3,
            scale_range=(0.15,) * 3,
            mode=_MODES,
            padding_mode="border",
        ),
        mt.RandScaleIntensityd("image", factors=0.1, prob=augment.intensity),
        mt.RandShiftIntensityd("image", offsets=0.1, prob=augment.intensity),
        mt.RandGaussianNoised("image", prob=augment.noise, std=0.1),
    ]
