"""Random changes of image and mask together, the same whenever the same generator is given.

The transforms are MONAI's. Each is made for one sample and seeded by it, so there is no shared
random state and any number of threads may augment at once. Shift, zoom, rotation and both
deformations are composed into one grid of coordinates and sampled once, which blurs less than one
after the other and costs less.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import AugmentConfig

if TYPE_CHECKING:
    from torch import Tensor

Pair = tuple[NDArray[np.float32], NDArray[np.int64]]

_SHIFT = 0.0625
"""Largest shift, as a share of the side."""
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
_GAMMA = 2.0
"""Largest gamma; its inverse is the smallest."""
_STAIN_STRENGTH = 0.25
"""Largest relative change of the amount of a stain."""
_STAIN_OFFSET = 0.02
"""Largest change of the amount of a stain where there is none, optical density."""


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
        New arrays; H and W are exchanged where an odd number of quarter turns was drawn.
    """
    import torch

    both = torch.from_numpy(np.concatenate([image, mask[np.newaxis]], dtype=np.float32))
    both = _mirror_and_turn(both, config, rng)
    grid = _grid((both.shape[1], both.shape[2]), config, rng)
    picture, classes = both[:-1], both[-1:]
    if grid is not None:
        picture, classes = _sampled(picture, grid, "bilinear"), _sampled(classes, grid, "nearest")
    if rng.random() < config.brightness_contrast:
        picture = _brightness_contrast(picture, rng)
    if rng.random() < config.gamma:
        picture = picture.clamp(0.0, 1.0) ** (_GAMMA ** float(rng.uniform(-1.0, 1.0)))
    if rng.random() < config.stain and _is_colored(picture):
        picture = _restained(picture, rng)
    return np.ascontiguousarray(picture.numpy()), classes[0].numpy().astype(np.int64)


def _mirror_and_turn(both: Tensor, config: AugmentConfig, rng: np.random.Generator) -> Tensor:
    from monai.transforms import Flip, Rotate90

    axes = [axis for axis in (0, 1) if rng.random() < config.flip]
    if axes:
        both = _plain(Flip(spatial_axis=axes)(both))
    if rng.random() < config.rotate90:
        both = _plain(Rotate90(k=int(rng.integers(1, 4)))(both))
    return both


def _grid(shape: tuple[int, int], config: AugmentConfig, rng: np.random.Generator) -> Tensor | None:
    """Where each pixel is taken from: ``(3, H, W)``, pixels from the centre; ``None`` = from its place."""
    from monai.transforms.utils import create_grid

    wanted = (config.grid_distortion, config.elastic, config.shift_scale_rotate)
    stretch, bend, move = (rng.random() < probability for probability in wanted)
    if not (stretch or bend or move):
        return None
    grid = _plain(create_grid(shape, backend="torch")).float()
    if stretch:
        grid = _stretched(grid, rng)
    if bend:
        grid = grid + _bend(shape, rng)
    return _moved(grid, shape, config.zoom, rng) if move else grid


def _stretched(grid: Tensor, rng: np.random.Generator) -> Tensor:
    """Grid distortion: the cells of a coarse grid become wider or narrower, and still fill the side."""
    import torch

    stretched = grid.clone()
    for axis, side in enumerate(grid.shape[1:]):
        widths = 1.0 + rng.uniform(-_GRID_STRETCH, _GRID_STRETCH, _GRID_CELLS)
        edges = (np.concatenate([[0.0], np.cumsum(widths)]) / widths.sum() - 0.5) * side
        line = np.interp(
            np.arange(side) - (side - 1) / 2, np.linspace(-side / 2, side / 2, len(edges)), edges
        )
        across = (side, 1) if axis == 0 else (1, side)
        stretched[axis] = torch.from_numpy(line.astype(np.float32)).reshape(across)
    return stretched


def _bend(shape: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Elastic deformation: displacements drawn at control points, smooth between them."""
    from monai.transforms import RandDeformGrid
    from monai.transforms.utils import create_control_grid
    from torch.nn.functional import interpolate

    side = float(min(shape))
    spacing = (max(side / _BEND_CELLS, 1.0),) * 2
    random = RandDeformGrid(spacing, (_BEND[0] * side, _BEND[1] * side))
    points = _plain(random.set_random_state(seed=int(rng.integers(2**31)))(shape)).float()
    points = points - _plain(create_control_grid(shape, spacing, backend="torch")).float()
    return interpolate(points[None], shape, mode="bicubic", align_corners=False)[0]


def _moved(grid: Tensor, shape: tuple[int, int], zoom: float, rng: np.random.Generator) -> Tensor:
    """Shift, zoom and rotation about the centre."""
    from monai.transforms import AffineGrid

    affine = AffineGrid(
        rotate_params=float(rng.uniform(-_ANGLE, _ANGLE)),
        translate_params=[float(rng.uniform(-_SHIFT, _SHIFT) * side) for side in shape],
        scale_params=[(1.0 + zoom) ** float(rng.uniform(-1.0, 1.0))] * 2,
    )
    return _plain(affine(grid=grid)[0])


def _sampled(values: Tensor, grid: Tensor, mode: str) -> Tensor:
    import torch
    from monai.transforms import Resample

    return _plain(Resample(mode=mode, padding_mode="reflection", dtype=torch.float32)(values, grid))


def _brightness_contrast(image: Tensor, rng: np.random.Generator) -> Tensor:
    from monai.transforms import ScaleIntensityFixedMean, ShiftIntensity

    contrast = ScaleIntensityFixedMean(factor=float(rng.uniform(-_CONTRAST, _CONTRAST)))
    brightness = ShiftIntensity(offset=float(rng.uniform(-_BRIGHTNESS, _BRIGHTNESS)))
    return _plain(brightness(contrast(image))).clamp(0.0, 1.0)


def _is_colored(image: Tensor) -> bool:
    return len(image) == 3 and not bool((image[0] == image[1]).all())


def _restained(image: Tensor, rng: np.random.Generator) -> Tensor:
    """More or less of each stain (Tellez et al., 2018): colours are turned to amounts of stain and back."""
    import torch
    from skimage.color import hed2rgb, rgb2hed

    amounts = rgb2hed(image.numpy(), channel_axis=0)
    strength = 1.0 + rng.uniform(-_STAIN_STRENGTH, _STAIN_STRENGTH, (3, 1, 1))
    offset = rng.uniform(-_STAIN_OFFSET, _STAIN_OFFSET, (3, 1, 1))
    colours = hed2rgb(amounts * strength + offset, channel_axis=0)
    return torch.from_numpy(np.asarray(colours, dtype=np.float32))


def _plain(values: Any) -> Tensor:
    """MONAI's tensor without its metadata."""
    import torch

    plain: Tensor = torch.as_tensor(getattr(values, "as_tensor", lambda: values)())
    return plain
