"""Random changes of image and mask together, the same whenever the same generator is given.

The transforms are MONAI's. Each is made for one sample and seeded by it, so there is no shared
random state and any number of threads may augment at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import AugmentConfig

Pair = tuple[NDArray[np.float32], NDArray[np.int64]]

_SHIFT = 0.0625
"""Largest shift, as a share of the side."""
_ZOOM = 0.15
"""Largest change of size."""
_ANGLE = math.radians(30)
_BEND_CELLS = 5
"""Control points of the elastic deformation along a side."""
_BEND = (0.01, 0.025)
"""Displacement of a control point, as a share of the side."""
_GRID_CELLS = 4
_GRID_STRETCH = 0.25
"""Largest stretch of a cell of the grid."""
_BRIGHTNESS = 0.15
"""Largest change of brightness, of the range 0..1."""
_CONTRAST = 0.25


def augment(
    image: NDArray[np.float32], mask: NDArray[np.int64], config: AugmentConfig, rng: np.random.Generator
) -> Pair:
    """Change an image and its mask at random.

    What a shift, rotation or deformation would draw in from outside is a reflection of the inside,
    so no background is invented.

    Parameters
    ----------
    image
        ``(C, H, W)``, 0..1.
    mask
        ``(H, W)``; class numbers, which are kept whole.
    config
        Probability of each change.
    rng
        Source of every random choice; equal generators give equal results.

    Returns
    -------
    image, mask
        New contiguous arrays; H and W are exchanged where an odd number of quarter turns was drawn.
    """
    image, mask = _mirror_and_turn(image, mask, config, rng)
    for probability, make in (
        (config.shift_scale_rotate, _shift_scale_rotate),
        (config.elastic, _elastic),
        (config.grid_distortion, _grid_distortion),
    ):
        if rng.random() < probability:
            image, mask = _deform(image, mask, make(mask.shape, rng))
    if rng.random() < config.brightness_contrast:
        image = _brightness_contrast(image, rng)
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def _mirror_and_turn(
    image: NDArray[np.float32], mask: NDArray[np.int64], config: AugmentConfig, rng: np.random.Generator
) -> Pair:
    from monai.transforms import Flip, Rotate90

    moves: list[Any] = [Flip(spatial_axis=axis) for axis in (0, 1) if rng.random() < config.flip]
    if rng.random() < config.rotate90:
        moves.append(Rotate90(k=int(rng.integers(1, 4))))
    if not moves:
        return image, mask
    for move in moves:
        image, mask = move(image), move(mask[np.newaxis])[0]
    return _array(image), _array(mask)


def _deform(image: NDArray[np.float32], mask: NDArray[np.int64], warp: Callable[..., Any]) -> Pair:
    """Apply one deformation to both; the mask takes the nearest value, so it stays whole."""
    bent = _array(warp(image, mode="bilinear", padding_mode="reflection"))
    moved = warp(mask[np.newaxis].astype(np.float32), mode="nearest", padding_mode="reflection")
    return bent, _array(moved)[0].astype(np.int64)


def _shift_scale_rotate(shape: tuple[int, ...], rng: np.random.Generator) -> Callable[..., Any]:
    from monai.transforms import Affine

    return Affine(
        rotate_params=float(rng.uniform(-_ANGLE, _ANGLE)),
        translate_params=[float(rng.uniform(-_SHIFT, _SHIFT) * side) for side in shape],
        scale_params=[1.0 / (1.0 + float(rng.uniform(-_ZOOM, _ZOOM)))] * 2,
        image_only=True,
    )


def _elastic(shape: tuple[int, ...], rng: np.random.Generator) -> Callable[..., Any]:
    from monai.transforms import Rand2DElastic

    side = float(min(shape))
    spacing = max(math.ceil(side / _BEND_CELLS), 1)
    bend = Rand2DElastic((spacing, spacing), (_BEND[0] * side, _BEND[1] * side), prob=1.0)
    bend.set_random_state(seed=int(rng.integers(2**31)))
    bend.randomize(shape)

    def warp(array: NDArray[np.float32], **options: str) -> Any:
        return bend(array, randomize=False, **options)

    return warp


def _grid_distortion(shape: tuple[int, ...], rng: np.random.Generator) -> Callable[..., Any]:
    from monai.transforms import GridDistortion

    steps = []
    for _ in shape:
        stretch = 1.0 + rng.uniform(-_GRID_STRETCH, _GRID_STRETCH, _GRID_CELLS)
        stretch *= _GRID_CELLS / stretch.sum()  # the cells still fill the side
        steps.append((*map(float, stretch), 1.0))
    return GridDistortion(num_cells=_GRID_CELLS, distort_steps=steps)


def _brightness_contrast(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    from monai.transforms import ScaleIntensityFixedMean, ShiftIntensity

    contrast = ScaleIntensityFixedMean(factor=float(rng.uniform(-_CONTRAST, _CONTRAST)))
    brightness = ShiftIntensity(offset=float(rng.uniform(-_BRIGHTNESS, _BRIGHTNESS)))
    return np.clip(_array(brightness(contrast(image))), 0.0, 1.0)


def _array(values: Any) -> NDArray[Any]:
    """MONAI's tensors as a plain array."""
    return np.asarray(getattr(values, "array", values))
