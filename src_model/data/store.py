"""Images and masks of a dataset, checked and kept in memory in their smallest form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import DataConfig, ModelConfig
from src_model.data import usable
from src_model.data.case import Case, OfCase
from src_model.data.image_io import check_image, finite_range
from src_model.data.leakage import image_digest
from src_model.data.normalise import Limits, match_channels, to_unit, unit_limits
from src_model.data.problems import Problem, by
from src_model.data.read_case import forget_volumes, read_case_image, read_case_mask
from src_model.data.usable import UnknownClassError
from src_model.errors import DataError, ImageError

_MOST_CLASSES = 255
"""Classes are kept in 8 bits."""


@dataclass(frozen=True, eq=False)
class Stored(OfCase):
    """One checked pair."""

    case: Case
    image: NDArray[Any]
    """``(Y, X, C)``, as stored on disk, or resized."""
    mask: NDArray[np.uint8]
    """``(Y, X)``; class numbers."""
    limits: Limits
    """Intensities of the whole image that become 0 and 1."""
    digest: str | None
    """Of the image as it was read, see :func:`src_model.data.leakage.image_digest`."""

    def unit(self, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float32]:
        """A part of the image, ``(Y, X, C)``, scaled to 0..1."""
        return to_unit(self.image[rows, columns], self.limits)


def load_usable(
    cases: Sequence[Case], data: DataConfig, model: ModelConfig
) -> tuple[list[Stored], list[Problem]]:
    """Read and check every pair, and leave out those that cannot be used.

    Returns
    -------
    stored : list of Stored
        With ``sampling="resize"`` at ``image_size``.
    problems : list of Problem
        One for each pair that is left out.

    Raises
    ------
    DataError
        For the first pair, where none can be used, or where most masks hold a class that the network
        does not have.
    """
    stored, problems = usable.load_usable(cases, lambda case: _load_as_asked(case, data, model))
    forget_volumes()
    return stored, problems


def load_all(pairs: Sequence[Case | Stored], data: DataConfig, model: ModelConfig) -> list[Stored]:
    """Read and check every pair; those that were loaded already are taken as they are.

    Raises
    ------
    DataError
        For the first image or mask that cannot be used; names the file.
    """
    return [pair if isinstance(pair, Stored) else _load_as_asked(pair, data, model) for pair in pairs]


def _load_as_asked(case: Case, data: DataConfig, model: ModelConfig) -> Stored:
    """At its native resolution, or with ``sampling="resize"`` at ``image_size``."""
    pair = load(case, model, stretch=data.intensity_range == "image")
    return _resized(pair, data.image_size) if data.sampling == "resize" else pair


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
    read = read_case_image(case)
    ids = read_case_mask(case, (read.shape[0], read.shape[1]) if read.ndim > 1 else None)
    image = _with_channels(read, ids.shape, model.in_channels, case)
    _check(image, ids, case)
    limits = case.window or unit_limits(image, stretch=stretch)
    image = _fitted(image, limits, model.in_channels, case)
    mask = _classes(ids, model.num_classes, case)
    return Stored(case, image, mask, limits if image.dtype == np.uint8 else (0.0, 1.0), image_digest(read))


def _with_channels(image: NDArray[Any], size: tuple[int, ...], channels: int, case: Case) -> NDArray[Any]:
    """``(Y, X, C)``; the mask's size tells which axes are Y and X."""
    if image.ndim == 2:
        image = image[..., np.newaxis]
    if image.ndim != 3:
        raise DataError(
            f"{case.image} has {image.ndim} axes ({by(image.shape)}) but training takes flat images; save "
            "its planes as files of their own."
        )
    if image.shape[:2] == size:
        return image
    if image.shape[1:] == size:
        if len(image) not in (1, channels):
            raise DataError(
                f"{case.image} holds {len(image)} planes ({by(image.shape)}) but the model takes {channels} "
                f"channels; save the planes as files of their own, or set model.in_channels={len(image)} if "
                "they are channels."
            )
        return np.moveaxis(image, 0, -1)
    found = image.shape[1:] if np.argmin(image.shape) == 0 else image.shape[:2]
    raise DataError(
        f"The image {case.image} has {by(found)} pixels but its mask {case.mask.name} has {by(size)}; "
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
        raise UnknownClassError(
            f"The mask {case.mask} holds only 0 and 255 but the model has {num_classes} classes, 0 to "
            f"{num_classes - 1}; set model.num_classes=1 or save the class numbers."
        )
    if highest >= _MOST_CLASSES:
        raise UnknownClassError(
            f"The mask {case.mask} holds the value {highest}, too high for a class; set model.num_classes=1 "
            "if its values are numbers of objects."
        )
    raise UnknownClassError(
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
    return replace(pair, image=small, mask=mask[0, 0].numpy())
