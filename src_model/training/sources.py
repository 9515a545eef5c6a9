"""What a run learns from: found, divided into training and validation, and loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Protocol

from src_model.config import DomainInfo, Normalisation, TrainConfig
from src_model.data.dataset import TrainingSet, ValidationSet
from src_model.data.decathlon import DESCRIPTION
from src_model.data.layouts import find_cases
from src_model.data.sample import Sample
from src_model.data.splits import split_cases
from src_model.errors import ConfigError
from src_model.models.header import read_checkpoint_info
from src_model.models.registry import list_models, models_with_domains
from src_model.training.domains import known_domains, read_datasets
from src_model.training.steps import spread
from src_model.training.volume_sources import divide, load_volumes


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

    def batches(self, stage: str, epoch: int, size: int) -> list[Sequence[int]]:
        """Indices of each step of an epoch, ``size`` or fewer; the domains take turns."""
        by_domain = [spread(order, size) for order in self.training.orders(stage, epoch)]
        return [batch for turn in zip_longest(*by_domain) for batch in turn if batch is not None]


def load_sources(config: TrainConfig) -> Sources:
    """Find the cases of a configuration, divide and load them.

    Raises
    ------
    ConfigError
        When the dataset is one of volumes and the network is not, or the reverse.
    DataError
        When there are no cases, or an image or mask cannot be used; names the file.
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
    listing = find_cases(data.root, data.layout)
    training, validation = split_cases(listing.cases, data, config.seed)
    start = config.model.stage1_from
    before = None if start is None else read_checkpoint_info(start).normalisation
    learned = TrainingSet(training, data, config.augment, config.model, config.seed, before)
    scored = ValidationSet(validation, data, config.model, normalisation=learned.normalisation)
    return Sources(learned, scored, fingerprint(_ids(training), _ids(validation)), tuple(listing.problems))


def _load_volumes(config: TrainConfig) -> Sources:
    datasets = read_datasets(config.data, config.model.name)
    divided = {name: divide(dataset, config.data, config.seed) for name, dataset in datasets.items()}
    learned, scored, infos = load_volumes(config, datasets, divided)
    used = [(name, _ids(part)) for name, parts in divided.items() for part in parts]
    return Sources(
        learned,
        scored,
        fingerprint(*used),
        tuple(problem for dataset in datasets.values() for problem in dataset.problems),
        {**known_domains(config.model), **infos},
    )


class _Case(Protocol):
    @property
    def id(self) -> str: ...


def _ids(cases: Iterable[_Case]) -> list[str]:
    return [case.id for case in cases]


def fingerprint(*parts: object) -> str:
    """A digest of which cases are used for what."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
