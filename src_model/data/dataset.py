"""Training and validation images as samples that depend on nothing but seed, stage, epoch and index."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from src_model.config import AugmentConfig, DataConfig, ModelConfig, Normalisation
from src_model.data.augment import augment
from src_model.data.layouts import Case
from src_model.data.normalise import measure, standardise
from src_model.data.sample import Sample
from src_model.data.store import Stored, load_all
from src_model.errors import DataError

_ORDER, _SAMPLE = 0, 1
"""What a random generator is for; keeps their numbers apart."""


class TrainingSet:
    """Augmented squares of the training images.

    Every image is read, checked and kept in memory once. A sample is a pure function of (seed,
    stage, epoch, index), so a resumed run sees what an uninterrupted one would have seen. Samples
    may be made in several threads at once.

    Parameters
    ----------
    cases
        Pairs to learn from, loaded already or not.
    data
        ``sampling="resize"``: each image once an epoch, whole. ``"crop"``: squares at native
        resolution at random places, ``crops_per_image`` of each image; images smaller than the
        square are continued by their reflection.
    augment
        Probability of each augmentation.
    model
        Its channels and number of classes.
    seed
        Of the run.
    normalisation
        ``None`` = measured over these images (before augmentation).

    Raises
    ------
    DataError
        For the first pair that cannot be used, with the file's name; when there are no cases, or
        no mask has any foreground.
    """

    def __init__(
        self,
        cases: Sequence[Case | Stored],
        data: DataConfig,
        augment: AugmentConfig,
        model: ModelConfig,
        seed: int,
        normalisation: Normalisation | None = None,
    ) -> None:
        if not cases:
            raise DataError("There is no training image; choose a folder with more pairs.")
        self._stored = load_all(cases, data, model)
        if not any(pair.mask.any() for pair in self._stored):
            raise DataError(
                f"None of the {len(cases)} training masks, such as {self._stored[0].case.mask}, holds any "
                "foreground; draw objects with values above 0."
            )
        self._data, self._augment, self._seed = data, augment, seed
        self._repeats = data.crops_per_image if data.sampling == "crop" else 1
        self.normalisation = normalisation or measure(pair.unit() for pair in self._stored)
        """Standardisation of each channel, to be stored with the trained network."""

    @property
    def length_per_epoch(self) -> int:
        """Samples in one epoch."""
        return len(self._stored) * self._repeats

    def __len__(self) -> int:
        """Images, however many samples an epoch draws of each."""
        return len(self._stored)

    def order(self, stage: str | int, epoch: int) -> list[int]:
        """Indices of an epoch's samples, shuffled."""
        rng = self._generator(_ORDER, stage, epoch)
        return [int(index) for index in rng.permutation(self.length_per_epoch)]

    def orders(self, stage: str | int, epoch: int) -> list[list[int]]:
        """Indices that may share a batch, in lists: here there is only one."""
        return [self.order(stage, epoch)]

    def sample(self, stage: str | int, epoch: int, index: int) -> Sample:
        """The sample ``index`` (0 to ``length_per_epoch`` - 1), a square of ``image_size`` pixels."""
        pair = self._stored[index // self._repeats]
        rng = self._generator(_SAMPLE, stage, epoch, index)
        image, mask = _square(pair, self._data.image_size, rng)
        changed, classes = augment(np.moveaxis(image, -1, 0), mask, self._augment, rng)
        return _sample(np.moveaxis(changed, 0, -1), classes, self.normalisation, pair.case.id)

    def _generator(self, purpose: int, stage: str | int, *rest: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, zlib.crc32(str(stage).encode()), purpose, *rest])


class ValidationSet:
    """The validation images, whole and unchanged, in the order of ``cases``.

    With ``sampling="resize"`` they have ``image_size``, else their native resolution.

    Parameters
    ----------
    cases
        Pairs to score on, loaded already or not.
    data, model
        As for :class:`TrainingSet`.
    normalisation
        That of the training images.

    Raises
    ------
    DataError
        For the first pair that cannot be used; names the file.
    """

    def __init__(
        self,
        cases: Sequence[Case | Stored],
        data: DataConfig,
        model: ModelConfig,
        *,
        normalisation: Normalisation,
    ) -> None:
        self._stored = load_all(cases, data, model)
        self._normalisation = normalisation

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, index: int) -> Sample:
        pair = self._stored[index]
        return _sample(pair.unit(), pair.mask.astype(np.int64), self._normalisation, pair.case.id)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def _sample(
    unit: NDArray[np.float32], mask: NDArray[np.int64], normalisation: Normalisation, case_id: str
) -> Sample:
    image = np.moveaxis(standardise(unit, normalisation), -1, 0)
    return Sample(np.ascontiguousarray(image, dtype=np.float32), mask, case_id)


def _square(
    pair: Stored, side: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A square of the image ``(side, side, C)``, 0..1, and of the mask, at a random place."""
    height, width = pair.mask.shape
    top, left = (int(rng.integers(max(length - side, 0) + 1)) for length in (height, width))
    rows, columns = slice(top, top + side), slice(left, left + side)
    image, mask = pair.unit(rows, columns), pair.mask[rows, columns].astype(np.int64)
    gaps = [(gap // 2, gap - gap // 2) for gap in (side - length for length in mask.shape)]
    if any(sum(gap) for gap in gaps):
        image = np.pad(image, [*gaps, (0, 0)], mode="reflect")
        mask = np.pad(mask, gaps, mode="reflect")
    return image, mask
