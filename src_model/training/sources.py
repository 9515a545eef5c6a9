"""What a run learns from: found, divided into training and validation, and loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, zip_longest
from pathlib import Path
from typing import Protocol

from src_model.config import CLASS_COLORS, ClassInfo, DomainInfo, Normalisation, TrainConfig
from src_model.data.dataset import TrainingSet, ValidationSet
from src_model.data.decathlon import DESCRIPTION
from src_model.data.layouts import find_cases
from src_model.data.leakage import Hashed, refuse_leaks
from src_model.data.problems import summarise
from src_model.data.sample import Sample
from src_model.data.splits import split_cases
from src_model.data.store import load_usable
from src_model.errors import ConfigError, DataError
from src_model.models.header import read_checkpoint_info
from src_model.models.registry import list_models, models_with_domains
from src_model.training.domains import known_domains, read_datasets
from src_model.training.steps import spread
from src_model.training.volume_sources import load_divided, volume_sets


class Learned(Protocol):
    """Samples to learn from, each a pure function of stage, epoch and index."""

    @property
    def normalisation(self) -> Normalisation:
        """To be stored with the trained network."""

    def __len__(self) -> int:
        """Images or volumes."""

    def orders(self, stage: str | int, epoch: int) -> list[list[int]]:
        """Indices of an epoch's samples; only those of one list may share a batch."""

    def sample(self, stage: str | int, epoch: int, index: int) -> Sample:
        """The sample of that index."""


class Scored(Protocol):
    """Whole images or volumes to score on."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sample]: ...


@dataclass(frozen=True)
class Sources:
    """What a run learns from."""

    training: Learned
    validation: Scored
    fingerprint: str
    """Changes when other cases are found or they are divided otherwise."""
    warnings: tuple[str, ...] = ()
    domains: Mapping[str, DomainInfo] = field(default_factory=dict)
    """Of a network with domains: what its checkpoint should say of each, the older ones too."""
    image_hashes: tuple[str, ...] = ()
    """Digest of each image that is learned from, see :func:`src_model.data.leakage.image_digest`."""
    classes: tuple[ClassInfo, ...] = ()
    """Foreground classes as the dataset names them; empty where it does not, or names other ones."""
    held_out: tuple[tuple[str, ...], ...] = ()
    """Ids of the cases to score on, of each dataset."""

    def batches(self, stage: str, epoch: int, size: int) -> list[Sequence[int]]:
        """Indices of each step of an epoch, ``size`` or fewer; the domains take turns."""
        by_domain = [spread(order, size) for order in self.training.orders(stage, epoch)]
        return [batch for turn in zip_longest(*by_domain) for batch in turn if batch is not None]


def load_sources(config: TrainConfig) -> Sources:
    """Find the cases of a configuration, load those that can be used, and divide them.

    Raises
    ------
    ConfigError
        When the dataset is one of volumes and the network is not, or the reverse.
    DataError
        When there are no cases, or too few can be used, or the same picture would be learned from
        and scored on; names the file.
    """
    if config.model.name in models_with_domains():
        return _load_volumes(config)
    data = config.data
    if data.layout == "decathlon" or (data.layout == "auto" and (data.root / DESCRIPTION).is_file()):
        raise ConfigError(
            f"{data.root} holds volumes of the Medical Segmentation Decathlon but the network "
            f"'{config.model.name}' takes flat images; choose one for volumes: "
            f"{', '.join(list_models(dims=3))}."
        )
    listing = find_cases(data.root, data.layout, mask_endings=data.mask_endings)
    pairs, unusable = load_usable(listing.cases, data, config.model)
    _check_there(data.root)
    training, validation = split_cases(pairs, data, config.seed)
    refuse_leaks(training, validation)
    start = config.model.stage1_from
    before = None if start is None else read_checkpoint_info(start).normalisation
    learned = TrainingSet(training, data, config.augment, config.model, config.seed, before)
    scored = ValidationSet(validation, data, config.model, normalisation=learned.normalisation)
    return Sources(
        learned,
        scored,
        fingerprint(_ids(training), _ids(validation)),
        summarise((*listing.findings, *unusable)),
        image_hashes=_digests(training),
        classes=_classes(listing.classes, config.model.num_classes),
        held_out=(tuple(_ids(validation)),),
    )


def _load_volumes(config: TrainConfig) -> Sources:
    datasets = read_datasets(config.data, config.model.name)
    loaded = {name: load_divided(dataset, config, name) for name, dataset in datasets.items()}
    _check_there(config.data.root, *config.data.more_roots)
    divided = {name: parts for name, (parts, _) in loaded.items()}
    learned, scored, infos = volume_sets(config, datasets, divided)
    found = [problem for dataset in datasets.values() for problem in dataset.findings]
    unusable = [problem for _, problems in loaded.values() for problem in problems]
    used = [(name, _ids(part)) for name, parts in divided.items() for part in parts]
    return Sources(
        learned,
        scored,
        fingerprint(*used),
        summarise((*found, *unusable)),
        {**known_domains(config.model), **infos},
        tuple(digest for training, _ in divided.values() for digest in _digests(training)),
        held_out=tuple(tuple(_ids(validation)) for _, validation in divided.values()),
    )


def _check_there(*roots: Path) -> None:
    """Refuse to learn from what was read of a folder before it vanished."""
    for root in roots:
        if not root.is_dir():
            raise DataError(
                f"The folder {root} vanished while its images were read; put it back and start again."
            )


def _classes(names: Sequence[str], num_classes: int) -> tuple[ClassInfo, ...]:
    """Named and coloured, if they are as many as the network's."""
    if len(names) != max(num_classes - 1, 1):
        return ()
    return tuple(
        ClassInfo(name=name, color=color) for name, color in zip(names, cycle(CLASS_COLORS), strict=False)
    )


class _Case(Protocol):
    @property
    def id(self) -> str: ...


def _ids(cases: Iterable[_Case]) -> list[str]:
    return [case.id for case in cases]


def _digests(images: Iterable[Hashed]) -> tuple[str, ...]:
    return tuple(image.digest for image in images if image.digest is not None)


def fingerprint(*parts: object) -> str:
    """A digest of which cases are used for what."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
