"""Lets a network learn a few images or volumes by heart, by the project's own stages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src_model.config import AugmentConfig, TrainConfig
from src_model.data.dataset import TrainingSet, ValidationSet
from src_model.data.decathlon import read_decathlon
from src_model.data.image_io import read_image, read_mask
from src_model.data.layouts import find_cases
from src_model.data.volume_augment import VolumeAugment
from src_model.data.volume_set import VolumeSet
from src_model.models.base import SegmentationModel
from src_model.training.sources import Sources
from src_model.training.stage_work import Compute, StageWork
from src_model.training.stages import plan_stages
from src_model.training.volume_sources import DomainPatches, WholeVolumes

NUCLEI = Path(__file__).parents[1] / "sample_data" / "nuclei" / "train"
PER_STAIN = 4
COLOURFUL = 5
"""Mean difference between the largest and the smallest channel above which a picture is stained."""
HIPPOCAMPI = 4
PATCH = (32, 48, 32)
SMALL_VOLUME_NETWORK = {"base_channels": 16, "poolings": (3, 3, 3)}
STILL = AugmentConfig(**dict.fromkeys(AugmentConfig.model_fields, 0.0))
STILL_VOLUME = VolumeAugment(flip=0, affine=0, intensity=0, noise=0)


class Settings(NamedTuple):
    """How a network learns; what a report must have in common to count as done."""

    passes: int
    """Over the images at most, in each stage; a step each where all images are one batch."""
    every: int
    """Passes between two looks at the Dice."""
    enough: float
    """Dice at which the last stage ends early."""
    before: float
    """Dice at which a stage ends early that another follows: what it freezes must leave room."""
    rates: tuple[float, ...]
    """Learning rate of each stage; it follows a cosine down to 0."""
    side: int
    """Of the windows, pixels; 0 for volumes."""
    batch: int
    device: str


class Point(NamedTuple):
    """One look at a network that learns."""

    stage: str
    step: int
    """Of the stage, from 1."""
    loss: float
    dice: float
    """Mean over the images that it learns, in evaluation mode."""


class Lesson:
    """One network that learns one set of images.

    Parameters
    ----------
    config, sources
        What is learned, and by what; the sources are scored on what they learn from.
    settings
        How.

    Attributes
    ----------
    model : SegmentationModel
        In the stage of the last point.
    """

    model: SegmentationModel

    def __init__(self, config: TrainConfig, sources: Sources, settings: Settings) -> None:
        self.config, self.sources, self.settings = config, sources, settings
        self.compute = Compute.resolve(config)
        self.images = [sample.case_id for sample in sources.validation]

    def points(self) -> Iterator[Point]:
        """Learn, in two stages with a mixture; each ends with its last step, or when it is good enough."""
        base = None
        stages = plan_stages(self.config).stages
        for stage in stages:
            work = StageWork(
                self.config,
                stage,
                self.sources,
                self.compute,
                micro_batch=self.settings.batch,
                base=base,
                between=lambda: None,
            )
            self.model = work.model
            enough = self.settings.enough if stage is stages[-1] else self.settings.before
            yield from self._stage(work, enough)
            base = work.model.state_dict()

    def _stage(self, work: StageWork, enough: float) -> Iterator[Point]:
        step = 0
        for epoch in range(1, self.settings.passes + 1):
            work.start_epoch()
            batches = work.batches(epoch)
            for number, indices in enumerate(batches, start=1):
                work.step(indices, epoch, number, len(batches))
                step += 1
            if epoch % self.settings.every == 0 or epoch == self.settings.passes:
                record = work.end_epoch(epoch, time.perf_counter)
                yield Point(work.stage.name, step, record.segmentation_loss, record.dice)
                if record.dice >= enough:
                    return


def flat_lesson(name: str, settings: Settings, folder: Path) -> Lesson:
    """Windows of nuclei, four of each stain."""
    pairs = write_windows(folder / f"windows-{settings.side}", settings.side)
    data = {"root": pairs, "image_size": settings.side}
    config = _config(name, settings, data, {"name": name}, folder)
    cases = find_cases(pairs).cases
    learned = TrainingSet(cases, config.data, STILL, config.model, config.seed)
    scored = ValidationSet(cases, config.data, config.model, normalisation=learned.normalisation)
    return Lesson(config, Sources(learned, scored, fingerprint=""), settings)


def volume_lesson(name: str, settings: Settings, folder: Path, volumes: Path) -> Lesson:
    """Patches of four hippocampi, scored on the whole volumes."""
    found = read_decathlon(volumes)
    domain = {"in_channels": 1, "num_classes": len(found.classes)}
    options = {**SMALL_VOLUME_NETWORK, "domains": {"hippocampus": domain}}
    config = _config(name, settings, {"root": volumes}, {"name": name, "options": options}, folder)
    cases = VolumeSet(
        found.cases[:HIPPOCAMPI], patch_size=PATCH, augment=STILL_VOLUME, domain="hippocampus", **domain
    )
    sources = Sources(DomainPatches([cases]), WholeVolumes([cases]), fingerprint="")
    return Lesson(config, sources, settings)


def _config(
    name: str, settings: Settings, data: dict[str, Any], model: dict[str, Any], folder: Path
) -> TrainConfig:
    stages = [
        {"epochs": settings.passes, "learning_rate": rate, "weight_decay": 0.0} for rate in settings.rates
    ]
    return TrainConfig.parse(
        {
            "data": data,
            "out": folder / name,
            "model": model,
            "volume": {"patch_size": PATCH},
            "stage1": stages[0],
            "stage2": stages[-1],
            "batch_size": settings.batch,
            "augment": STILL,
            "device": settings.device,
            "precision": "auto" if settings.side else "float32",
        }
    )


def write_windows(folder: Path, side: int) -> Path:
    """Cut a window out of the first images of each stain; returns the folder of pairs.

    It is the window of ``side`` x ``side`` pixels, on a grid of 16, that holds most foreground.
    """
    chosen: dict[bool, int] = {True: 0, False: 0}
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for case in find_cases(NUCLEI).cases:
        image, mask = read_image(case.image), read_mask(case.mask)
        stained = bool(np.ptp(image.astype(int), axis=-1).mean() > COLOURFUL)
        chosen[stained] += 1
        if chosen[stained] <= PER_STAIN:
            window = _fullest(mask > 0, side)
            Image.fromarray(image[window]).save(folder / "images" / f"{case.id}.png")
            Image.fromarray(mask[window].astype(np.uint16)).save(folder / "labels" / f"{case.id}.png")
    return folder


def _fullest(foreground: NDArray[np.bool_], side: int) -> tuple[slice, slice]:
    places = [
        (slice(top, top + side), slice(left, left + side))
        for top in range(0, max(foreground.shape[0] - side, 0) + 1, 16)
        for left in range(0, max(foreground.shape[1] - side, 0) + 1, 16)
    ]
    return max(places, key=lambda place: int(foreground[place].sum()))
