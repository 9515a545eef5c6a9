"""Volumes of one domain for training: validated once, then patches as a pure function of their number."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from src_model.config import Normalisation
from src_model.data.case import Case
from src_model.data.sample import Sample
from src_model.data.volume_augment import VolumeAugment, draw_patch
from src_model.data.volume_intensity import measure_volumes, standardise_volume
from src_model.data.volume_store import StoredVolume, load_volume
from src_model.errors import ConfigError, DataError


class VolumeSet:
    """Patches of the volumes of one domain.

    Parameters
    ----------
    cases
        Volumes with masks, loaded already or read at once; kept in memory.
    patch_size
        Voxels (D, H, W) of a patch.
    num_classes
        1: every class above 0 is foreground; more: the masks may hold 0 to ``num_classes - 1``.
    in_channels
        Channels that every volume must have.
    seed
        Start of every random choice.
    normalisation
        To standardise with; ``None`` = measured on these volumes.
    patches_per_epoch
        How many patches one epoch draws, from one volume after the other; ``None`` = one of each.
    foreground_share
        Share of the patches that are centred on foreground.
    augment
        How likely each change of a patch is.
    domain
        Name of the domain, given on to the samples.

    Attributes
    ----------
    normalisation : Normalisation
        In use.
    length_per_epoch : int
        Patches in one epoch.
    spacing_mm : tuple of float
        Median voxel size (Z, Y, X), millimetres.

    Raises
    ------
    ConfigError
        When a setting is out of its bounds.
    DataError
        When a file cannot be used; names it.
    """

    def __init__(
        self,
        cases: Iterable[Case | StoredVolume],
        *,
        patch_size: tuple[int, int, int],
        num_classes: int,
        in_channels: int = 1,
        seed: int = 0,
        normalisation: Normalisation | None = None,
        patches_per_epoch: int | None = None,
        foreground_share: float = 0.5,
        augment: VolumeAugment | None = None,
        domain: str | None = None,
    ) -> None:
        given = tuple(cases)
        self.cases = tuple(case.case if isinstance(case, StoredVolume) else case for case in given)
        self.length_per_epoch = len(self.cases) if patches_per_epoch is None else patches_per_epoch
        _check_settings(self.cases, patch_size, self.length_per_epoch, foreground_share)
        self.patch_size, self.seed = patch_size, seed
        self.foreground_share = foreground_share
        self.augment = VolumeAugment() if augment is None else augment
        self.domain = domain
        loaded = [
            case if isinstance(case, StoredVolume) else load_volume(case, in_channels, num_classes)
            for case in given
        ]
        self.normalisation = normalisation or measure_volumes(volume.unit for volume in loaded)
        self._volumes = [(standardise_volume(v.unit, self.normalisation), v.mask) for v in loaded]
        depth, height, width = np.median([volume.spacing_mm for volume in loaded], axis=0).tolist()
        self.spacing_mm: tuple[float, float, float] = (depth, height, width)

    def order(self, stage: str | int, epoch: int) -> list[int]:
        """Indices of one epoch in the order of training: a permutation."""
        rng = np.random.default_rng([self.seed, _number(stage), epoch])
        return [int(index) for index in rng.permutation(self.length_per_epoch)]

    def sample(self, stage: str | int, epoch: int, index: int) -> Sample:
        """One patch; the same arguments give the same patch in every process.

        Parameters
        ----------
        stage, epoch
            Of the training.
        index
            From 0 to ``length_per_epoch - 1``; ``index % len(cases)`` is the volume.

        Raises
        ------
        IndexError
            When there is no such index.
        """
        if not 0 <= index < self.length_per_epoch:
            raise IndexError(f"Expected an index below {self.length_per_epoch} but got {index}.")
        place = index % len(self.cases)
        image, mask = self._volumes[place]
        seed = int(np.random.default_rng([self.seed, _number(stage), epoch, index]).integers(2**32))
        patch, labels = draw_patch(
            image, mask, self.patch_size, self.augment, foreground_share=self.foreground_share, seed=seed
        )
        return Sample(patch, labels, self.cases[place].id, self.domain)

    def whole(self, place: int) -> Sample:
        """The whole volume of the case at ``place``, unchanged but standardised."""
        image, mask = self._volumes[place]
        return Sample(image, mask.astype(np.int64), self.cases[place].id, self.domain)


def _check_settings(
    cases: tuple[Case, ...], patch_size: Any, patches_per_epoch: int, foreground_share: float
) -> None:
    if not cases:
        raise DataError("There is no volume to train on; give at least one case.")
    if len(patch_size) != 3 or min(patch_size) < 1:
        raise ConfigError(f"patch_size must be three sizes (D, H, W) of at least 1 but got {patch_size}.")
    if patches_per_epoch < 1:
        raise ConfigError(f"patches_per_epoch must be at least 1 but got {patches_per_epoch}.")
    if not 0 <= foreground_share <= 1:
        raise ConfigError(f"foreground_share must be from 0 to 1 but got {foreground_share}.")


def _number(stage: str | int) -> int:
    return zlib.crc32(str(stage).encode())
