"""The volumes of a run: one set for each domain, divided into training and validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from src_model.config import (
    CLASS_COLORS,
    ClassInfo,
    DomainInfo,
    Normalisation,
    TrainConfig,
    VolumeConfig,
)
from src_model.data.decathlon import Decathlon
from src_model.data.leakage import refuse_leaks
from src_model.data.problems import Problem
from src_model.data.sample import Sample
from src_model.data.splits import Split, split_cases
from src_model.data.usable import load_usable
from src_model.data.volume_augment import VolumeAugment
from src_model.data.volume_set import VolumeSet
from src_model.data.volume_store import StoredVolume, load_volume
from src_model.errors import DataError


class _Domains:
    """The volumes of all domains.

    Parameters
    ----------
    sets
        One for each domain.
    """

    def __init__(self, sets: Sequence[VolumeSet]) -> None:
        self.sets = tuple(sets)

    def __len__(self) -> int:
        """Volumes, however many patches an epoch draws of each."""
        return sum(len(volumes.cases) for volumes in self.sets)


class DomainPatches(_Domains):
    """Patches of the training volumes of all domains under one numbering."""

    def __init__(self, sets: Sequence[VolumeSet]) -> None:
        super().__init__(sets)
        self._ends = tuple(accumulate(volumes.length_per_epoch for volumes in self.sets))

    @property
    def normalisation(self) -> Normalisation:
        """Of the first domain."""
        return self.sets[0].normalisation

    def orders(self, stage: str | int, epoch: int) -> list[list[int]]:
        """Indices of an epoch's patches, shuffled, one list for each domain."""
        return [
            [end - volumes.length_per_epoch + index for index in volumes.order(stage, epoch)]
            for volumes, end in zip(self.sets, self._ends, strict=True)
        ]

    def sample(self, stage: str | int, epoch: int, index: int) -> Sample:
        """The patch of that index; it names its domain."""
        place = next(number for number, end in enumerate(self._ends) if index < end)
        begin = self._ends[place] - self.sets[place].length_per_epoch
        return self.sets[place].sample(stage, epoch, index - begin)


class WholeVolumes(_Domains):
    """The validation volumes of all domains, whole and unchanged."""

    def __iter__(self) -> Iterator[Sample]:
        return (volumes.whole(place) for volumes in self.sets for place in range(len(volumes.cases)))


def load_divided(
    dataset: Decathlon, config: TrainConfig, domain: str
) -> tuple[Split[StoredVolume], list[Problem]]:
    """Volumes to learn from and volumes to score on, and what is wrong with those that are left out.

    Parameters
    ----------
    dataset
        Where the volumes are.
    config
        Of the run.
    domain
        Name of the dataset's domain.

    Raises
    ------
    DataError
        When too few can be used, or one volume stands on both sides.
    """
    sizes = config.model.options["domains"][domain]
    volumes, problems = load_usable(
        dataset.cases, lambda case: load_volume(case, sizes["in_channels"], sizes["num_classes"])
    )
    try:
        training, validation = split_cases(volumes, config.data, config.seed)
    except DataError as error:
        raise DataError(f"The dataset '{dataset.name}' cannot be divided: {error}") from error
    refuse_leaks(training, validation)
    return (training, validation), problems


def volume_sets(
    config: TrainConfig,
    datasets: Mapping[str, Decathlon],
    divided: Mapping[str, Split[StoredVolume]],
) -> tuple[DomainPatches, WholeVolumes, dict[str, DomainInfo]]:
    """Make the sets of each domain.

    Parameters
    ----------
    config
        Of the run.
    datasets, divided
        By the name of the domain: the dataset, and its cases to learn from and to score on.

    Returns
    -------
    tuple
        Patches to learn from, volumes to score on, and what a checkpoint should say of each domain.

    """
    largest = max(len(training) for training, _ in divided.values())
    learned, scored, infos = [], [], {}
    for name, (training, validation) in divided.items():
        sizes = config.model.options["domains"][name]
        common = {"patch_size": config.volume.patch_size, "domain": name, "seed": config.seed, **sizes}
        patches = VolumeSet(
            training,
            patches_per_epoch=config.volume.patches_per_volume * largest,
            foreground_share=config.volume.foreground_share,
            augment=_augment(config.volume),
            **common,
        )
        learned.append(patches)
        scored.append(VolumeSet(validation, normalisation=patches.normalisation, **common))
        infos[name] = DomainInfo(
            classes=_classes(datasets[name]),
            normalisation=patches.normalisation,
            spacing_mm=patches.spacing_mm,
            patch_size=config.volume.patch_size,
        )
    return DomainPatches(learned), WholeVolumes(scored), infos


def _augment(volume: VolumeConfig) -> VolumeAugment:
    return VolumeAugment(
        flip=volume.flip, affine=volume.affine, intensity=volume.intensity, noise=volume.noise
    )


def _classes(dataset: Decathlon) -> tuple[ClassInfo, ...]:
    return tuple(
        ClassInfo(name=name, color=CLASS_COLORS[number % len(CLASS_COLORS)])
        for number, name in enumerate(dataset.classes[1:])
    )
