"""Images and masks of a dataset, checked and kept in memory in their smallest form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import DataConfig, ModelConfig
from src_model.data.image_io import check_image, finite_range, read_image, read_mask
from src_model.data.layouts import Case
from src_model.data.normalise import Limits, match_channels, to_unit, unit_limits
from src_model.errors import DataError, ImageError

_MOST_CLASSES = 255
"""Classes are kept in 8 bits."""


@dataclass(frozen=True, eq=False)
class Stored:
    """One checked pair."""

    case: Case
    image: NDArray[Any]
    """``(Y, X, C)``, as stored on disk, or resized."""
    mask: NDArray[np.uint8]
    """``(Y, X)``; class numbers."""
    limits: Limits
    """Intensities of the whole image that become 0 and 1."""

    def unit(self, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float32]:
        """A part of the image, ``(Y, X, C)``, scaled to 0..1."""
        return to_unit(self.image[rows, columns], self.limits)


def load_all(cases: Sequence[Case], data: DataConfig, model: ModelConfig) -> list[Stored]:
    """Read and check every pair; with ``sampling="resize"`` they come back at ``image_size``.

    Raises
    ------
    DataError
        For the first image or mask that cannot be used; names the file.
    """
    stretch = data.intensity_range == "image"
    stored = [load(case, model, stretch=stretch) for case in cases]
    if data.sampling == "resize":
        return [_resized(pair, data.image_size) for pair in stored]
    return stored


def load(case: Case, model: ModelConfig, *, stretch: bool = False) -> Stored:
    """Read and check one pair at its native resolution.

    With one class every value but 0 of the mask is foreground; with more the values are the classes.
    ``stretch`` as in :func:`src_model.data.normalise.unit_limits`.

    Raises
    ------
    DataError
        When a file cannot be read, the sizes differ, the channels do not fit the network, a class
        is unknown, or an image without contrast has a mask with foreground.
    """
    ids = read_mask(case.mask)
    image = _with_channels(read_image(case.image), ids.shape, model.in_channels, case)
    _check(image, ids, case)
    limits = unit_limits(image, stretch=stretch)
    image = _fitted(image, limits, model.in_channels, case)
    mask = _classes(ids, model.num_classes, case)
    return Stored(case, image, mask, limits if image.dtype == np.uint8 else (0.0, 1.0))


def _with_channels(image: NDArray[Any], size: tuple[int, ...], channels: int, case: Case) -> NDArray[Any]:
    """``(Y, X, C)``; the mask's size tells which axes are Y and X."""
    if image.ndim == 2:
        image = image[..., np.newaxis]
    if image.ndim != 3:
        raise DataError(
            f"{case.image} has {image.ndim} axes ({_by(image.shape)}) but training takes flat images; save "
            "its planes as files of their own."
        )
    if image.shape[:2] == size:
        return image
    if image.shape[1:] == size:
        if len(image) not in (1, channels):
            raise DataError(
                f"{case.image} holds {len(image)} planes ({_by(image.shape)}) but the model takes {channels} "
                f"channels; save the planes as files of their own, or set model.in_channels={len(image)} if "
                "they are channels."
            )
        return np.moveaxis(image, 0, -1)
    found = image.shape[1:] if np.argmin(image.shape) == 0 else image.shape[:2]
    raise DataError(
        f"The image {case.image} has {_by(found)} pixels but its mask {case.mask.name} has {_by(size)}; "
        "export both at the same size."
    )


def _check(image: NDArray[Any], ids: NDArray[Any], case: Case) -> None:
    lowest, highest = finite_range(image) if image.dtype.kind in "buif" and image.size else (None, None)
    blank = lowest is not None and lowest == highest and image[..., 0].size > 1
    if blank and not ids.any():
        return  # an empty field is a fair example of background
    try:
        check_image(image)
    except ImageError as error:
        raise DataError(f"{case.image} cannot be trained on: {error}") from error


def _fitted(image: NDArray[Any], limits: Limits, in_channels: int, case: Case) -> NDArray[Any]:
    """The network's channels: uint8 where that loses nothing, else float32 in 0..1."""
    try:
        unit = match_channels(to_unit(image, limits), in_channels)
    except ImageError as error:
        raise DataError(f"{case.image} cannot be trained on: {error}") from error
    if image.dtype == np.uint8 and image.shape[-1] >= in_channels and in_channels != 1:
        return np.ascontiguousarray(image[..., :in_channels])
    if image.dtype == np.uint8 and image.shape[-1] == 1:
        return np.repeat(image, in_channels, axis=-1)
    return unit


def _classes(ids: NDArray[Any], num_classes: int, case: Case) -> NDArray[np.uint8]:
    if num_classes == 1:
        return (ids > 0).astype(np.uint8)
    highest = int(ids.max())
    if highest < num_classes:
        return ids.astype(np.uint8)
    if highest == 255 and not ((ids > 0) & (ids < 255)).any():
        raise DataError(
            f"The mask {case.mask} holds only 0 and 255 but the model has {num_classes} classes, 0 to "
            f"{num_classes - 1}; set model.num_classes=1 or save the class numbers."
        )
    if highest >= _MOST_CLASSES:
        raise DataError(
            f"The mask {case.mask} holds the value {highest}, too high for a class; set model.num_classes=1 "
            "if its values are numbers of objects."
        )
    raise DataError(
        f"The mask {case.mask} holds the class {highest} but the model has {num_classes} classes, 0 to "
        f"{num_classes - 1}; set model.num_classes={highest + 1} or mend the mask."
    )


def _resized(pair: Stored, side: int) -> Stored:
    """Both at ``side`` x ``side``: the image smoothed as it shrinks, the mask by the nearest pixel."""
    import torch
    from torch.nn.functional import interpolate

    image = torch.from_numpy(np.moveaxis(pair.image, -1, 0).astype(np.float32))[None]
    image = interpolate(image, (side, side), mode="bilinear", antialias=True, align_corners=False)
    mask = interpolate(torch.from_numpy(pair.mask)[None, None], (side, side), mode="nearest-exact")
    small = np.ascontiguousarray(np.moveaxis(image[0].numpy(), 0, -1))
    if pair.image.dtype == np.uint8:
        small = np.rint(small).clip(0, 255).astype(np.uint8)
    return Stored(pair.case, small, mask[0, 0].numpy(), pair.limits)


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
