"""The images of a run: found, divided into training and validation, and loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from src_model.config import TrainConfig
from src_model.data.dataset import TrainingSet, ValidationSet
from src_model.data.layouts import Case, find_cases
from src_model.data.splits import folds, train_validation


@dataclass(frozen=True)
class Sources:
    """What a run learns from."""

    training: TrainingSet
    validation: ValidationSet
    fingerprint: str
    """Changes when other cases are found or they are divided otherwise."""
    warnings: tuple[str, ...] = ()


def load_sources(config: TrainConfig) -> Sources:
    """Find the cases of a configuration, divide and load them.

    Raises
    ------
    DataError
        When there are no pairs, or an image or mask cannot be used; names the file.
    """
    data = config.data
    listing = find_cases(data.root, data.layout)
    if data.folds is None:
        training, validation = train_validation(listing.cases, data.validation_fraction, config.seed)
    else:
        training, validation = folds(listing.cases, data.folds, data.fold, config.seed)
    learned = TrainingSet(training, data, config.augment, config.model, config.seed)
    scored = ValidationSet(validation, data, config.model, normalisation=learned.normalisation)
    return Sources(learned, scored, fingerprint(training, validation), tuple(listing.problems))


def fingerprint(training: Iterable[Case], validation: Iterable[Case]) -> str:
    """A digest of which cases are used for what."""
    ids = [[case.id for case in training], [case.id for case in validation]]
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()
