"""Random changes of an image and its mask together, the same for the same seed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import AugmentConfig

_SHIFT = 0.0625
"""Of the side."""
_ZOOM = 0.1
_TURN = np.pi / 12
_ELASTIC_SPACING = 24
_ELASTIC_MAGNITUDE = (1.0, 3.0)
_GRID_CELLS = 5
_GRID_DISTORTION = 0.2
_CONTRAST = 0.2
_BRIGHTNESS = 0.15

_KEYS = ("image", "mask")
_INTERPOLATION = ("bilinear", "nearest")


class Augmenter:
    """Flips, quarter turns, shift-scale-rotate, elastic and grid distortion, brightness-contrast.

    What leaves the picture is mirrored back in, for image and mask alike, so no background is
    invented. The transforms are MONAI's.

    Parameters
    ----------
    config
        Probability of each.
    side
        Of the square pictures, pixels.
    """

    def __init__(self, config: AugmentConfig, side: int) -> None:
        self._pipeline: Any = _pipeline(config, side)

    def __call__(
        self, image: NDArray[np.float32], mask: NDArray[Any], seed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Change one picture.

        Parameters
        ----------
        image
            ``(Y, X, C)``, 0 to 1.
        mask
            ``(Y, X)``, whole numbers below 2^24.
        seed
            Decides everything; 32 bits.

        Returns
        -------
        image, mask
            Of the same shapes; no value of the mask is new.
        """
        pair = {
            "image": np.ascontiguousarray(np.moveaxis(image, -1, 0)),
            "mask": np.ascontiguousarray(mask[np.newaxis], dtype=np.float32),
        }
        self._pipeline.set_random_state(seed=seed)
        result = self._pipeline(pair)
        changed = np.asarray(result["image"], dtype=np.float32)
        labels = np.asarray(result["mask"], dtype=np.float32)[0]
        return np.moveaxis(changed, 0, -1).clip(0.0, 1.0), np.rint(labels).astype(np.int64)


def _pipeline(config: AugmentConfig, side: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MONAI's optional dependencies, while it is imported
        from monai.transforms import (
            Compose,
            Rand2DElasticd,
            RandAffined,
            RandFlipd,
            RandGridDistortiond,
            RandRotate90d,
            RandScaleIntensityFixedMeand,
            RandShiftIntensityd,
        )
    both: dict[str, Any] = {"keys": _KEYS, "mode": _INTERPOLATION, "padding_mode": "reflection"}
    spacing = (_ELASTIC_SPACING, _ELASTIC_SPACING)
    return Compose(
        [
            RandFlipd(_KEYS, prob=config.flip, spatial_axis=0),
            RandFlipd(_KEYS, prob=config.flip, spatial_axis=1),
            RandRotate90d(_KEYS, prob=config.rotate90, max_k=3),
            RandAffined(
                prob=config.shift_scale_rotate,
                rotate_range=_TURN,
                scale_range=(_ZOOM, _ZOOM),
                translate_range=(_SHIFT * side, _SHIFT * side),
                **both,
            ),
            Rand2DElasticd(prob=config.elastic, spacing=spacing, magnitude_range=_ELASTIC_MAGNITUDE, **both),
            RandGridDistortiond(
                prob=config.grid_distortion,
                num_cells=_GRID_CELLS,
                distort_limit=(-_GRID_DISTORTION, _GRID_DISTORTION),
                **both,
            ),
            RandScaleIntensityFixedMeand("image", prob=config.brightness_contrast, factors=_CONTRAST),
            RandShiftIntensityd("image", prob=config.brightness_contrast, offsets=_BRIGHTNESS),
        ]
    )
