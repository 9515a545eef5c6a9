"""Training and validation images in memory; every sample is a pure function of its number.

The random choices of a sample depend on (seed, stage, epoch, index) alone, so an interrupted run
goes on exactly as if it had not been.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import AugmentConfig, DataConfig, ModelConfig, Normalisation
from src_model.data.augment import Augmenter
from src_model.data.image_io import check_image, read_image, read_mask
from src_model.data.layouts import Case
from src_model.data.normalise import Limits, match_channels, measure, standardise, to_unit, unit_limits
from src_model.errors import DataError, ImageError


@dataclass(frozen=True, eq=False)
class Sample:
    """One image as the network takes it, and its mask."""

    image: NDArray[np.float32]
    """``(C, H, W)``, standardised."""
    mask: NDArray[np.int64]
    """``(H, W)``: 0/1 for one class, else class numbers."""
    case_id: str


@dataclass(frozen=True, eq=False)
class Loaded:
    """One checked pair in memory."""

    case: Case
    image: NDArray[Any]
    """``(Y, X, C)`` as stored, or resized."""
    limits: Limits
    mask: NDArray[np.uint8]
    """``(Y, X)``"""


def load_case(case: Case, model: ModelConfig, *, side: int | None = None) -> Loaded:
    """Read and check one pair.

    Parameters
    ----------
    case
        Which pair.
    model
        Says how many channels and classes are expected.
    side
        Resize to this square; ``None`` keeps the size.

    Raises
    ------
    DataError
        When a file cannot be read, the sizes differ, the channels do not fit, or the mask holds
        an unknown class; names the file, the value and the remedy.
    """
    image, mask = read_image(case.image), read_mask(case.mask)
    try:
        check_image(image)
        image = _channels_last(image)
        match_channels(image[:1, :1].astype(np.float32), model.in_channels)
    except ImageError as error:
        raise DataError(f"{case.image} cannot be trained on. {error}") from error
    if image.shape[:2] != mask.shape:
        sizes = " but its mask {} is ".join("x".join(map(str, a.shape[:2])) for a in (image, mask))
        raise DataError(
            f"{case.image} is {sizes.format(case.mask)} pixels; image and mask must have the same size."
        )
    labels = _labels(mask, model.num_classes, case)
    limits = unit_limits(image)
    if side is not None and mask.shape != (side, side):
        image, labels = _resized(image, side), _resized_labels(labels, side)
    return Loaded(case, image, limits, labels)


class TrainingSet:
    """Augmented training samples.

    Parameters
    ----------
    cases
        The pairs; all are read, checked and kept in memory.
    config, augment, model
        How they reach the network.
    seed
        Of all random choices.
    normalisation
        ``None`` = measured on these images.

    Raises
    ------
    DataError
        See :func:`load_case`; also when ``cases`` is empty.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        config: DataConfig,
        augment: AugmentConfig,
        model: ModelConfig,
        seed: int,
        normalisation: Normalisation | None = None,
    ) -> None:
        if not cases:
            raise DataError("There is no image to train on.")
        self._crops = config.sampling == "crop"
        self._side, self._channels, self._seed = config.image_size, model.in_channels, seed
        self._loaded = [load_case(case, model, side=None if self._crops else self._side) for case in cases]
        self._repeats = config.crops_per_image if self._crops else 1
        self._augmenter = Augmenter(augment, self._side)
        self.normalisation = normalisation or measure(self._unit(item) for item in self._loaded)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._loaded)

    @property
    def length_per_epoch(self) -> int:
        """Number of samples that one epoch draws."""
        return len(self._loaded) * self._repeats

    def order(self, stage: str | int, epoch: int) -> list[int]:
        """Numbers of the samples of an epoch in their random order."""
        order = _generator(self._seed, stage, epoch, -1).permutation(self.length_per_epoch)
        return [int(index) for index in order]

    def sample(self, stage: str | int, epoch: int, index: int) -> Sample:
        """Sample ``index``, one of :meth:`order`; the same arguments give the same arrays."""
        item = self._loaded[index % len(self._loaded)]
        random = _generator(self._seed, stage, epoch, index)
        image, mask = item.image, item.mask
        if self._crops:
            image, mask = _random_crop(image, mask, self._side, random)
        unit = match_channels(to_unit(image, item.limits), self._channels)
        unit, labels = self._augmenter(unit, mask, int(random.integers(2**32)))
        return _sample(unit, labels, self.normalisation, item.case)

    def _unit(self, item: Loaded) -> NDArray[np.float32]:
        return match_channels(to_unit(item.image, item.limits), self._channels)


class ValidationSet:
    """Whole images without augmentation, in the order of the cases.

    With ``resize`` sampling they are resized like the training images, with ``crop`` they keep
    their size.

    Raises
    ------
    DataError
        See :func:`load_case`.
    """

    def __init__(
        self, cases: Sequence[Case], config: DataConfig, model: ModelConfig, normalisation: Normalisation
    ) -> None:
        side = None if config.sampling == "crop" else config.image_size
        self._channels, self._normalisation = model.in_channels, normalisation
        self._loaded = [load_case(case, model, side=side) for case in cases]

    def __len__(self) -> int:
        """Number of images."""
        return len(self._loaded)

    def __iter__(self) -> Iterator[Sample]:
        for item in self._loaded:
            unit = match_channels(to_unit(item.image, item.limits), self._channels)
            yield _sample(unit, item.mask.astype(np.int64), self._normalisation, item.case)


def _sample(
    unit: NDArray[np.float32], mask: NDArray[np.int64], normalisation: Normalisation, case: Case
) -> Sample:
    image = np.moveaxis(standardise(unit, normalisation), -1, 0)
    return Sample(np.ascontiguousarray(image), np.ascontiguousarray(mask), case.id)


def _generator(seed: int, stage: str | int, epoch: int, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(str(stage).encode()), epoch, index + 1])


def _random_crop(
    image: NDArray[Any], mask: NDArray[np.uint8], side: int, random: np.random.Generator
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """A square part; a smaller image is mirrored to the size first."""
    missing = [max(side - length, 0) for length in mask.shape]
    if any(missing):
        widths = [(n // 2, n - n // 2) for n in missing]
        image = np.pad(image, [*widths, (0, 0)], mode="symmetric")
        mask = np.pad(mask, widths, mode="symmetric")
    y, x = (int(random.integers(length - side + 1)) for length in mask.shape)
    return image[y : y + side, x : x + side], mask[y : y + side, x : x + side]


def _channels_last(image: NDArray[Any]) -> NDArray[Any]:
    if image.ndim == 2:
        return image[..., np.newaxis]
    if image.ndim == 3 and image.shape[0] < min(image.shape[1:]) and image.shape[0] <= 16:
        return np.moveaxis(image, 0, -1)
    if image.ndim != 3:
        shape = "x".join(map(str, image.shape))
        raise ImageError(f"It has {image.ndim} axes ({shape}); save each plane as an image of its own.")
    return image


def _labels(mask: NDArray[Any], num_classes: int, case: Case) -> NDArray[np.uint8]:
    if num_classes == 1:
        foreground: NDArray[np.uint8] = (mask != 0).astype(np.uint8)
        return foreground
    highest = int(mask.max())
    if highest >= num_classes:
        raise DataError(
            f"The mask {case.mask} holds class {highest} but classes 0 to {num_classes - 1} are expected; "
            "raise model.num_classes, or take 1 for foreground against background."
        )
    return mask.astype(np.uint8)


def _resized(image: NDArray[Any], side: int) -> NDArray[Any]:
    """Bilinear with antialiasing, as in segmentation; uint8 stays uint8."""
    import torch
    from torch.nn.functional import interpolate

    tensor = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0), dtype=np.float32))[None]
    small = interpolate(tensor, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    values: NDArray[np.float32] = np.moveaxis(small[0].numpy(), 0, -1)
    return np.rint(values).clip(0, 255).astype(np.uint8) if image.dtype == np.uint8 else values


def _resized_labels(mask: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The value at the centre of each new pixel."""
    rows, columns = (((np.arange(side) + 0.5) * length / side).astype(int) for length in mask.shape)
    return mask[np.ix_(rows, columns)]
