"""Frozen progress events and the control token: all that an engine and its listener share.

Engines (training, segmentation) are generators of these events. Events are plain picklable data
without tensors, so the same stream serves a dock, a progress bar, a log and a test.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from src_model.errors import Stopped
from src_model.event import Event as Event
from src_model.slide_events import SlideFinished as SlideFinished
from src_model.slide_events import SlidePhase as SlidePhase
from src_model.slide_events import SlideStarted as SlideStarted
from src_model.slide_events import SlideStopped as SlideStopped
from src_model.slide_events import SlideTileFinished as SlideTileFinished

if TYPE_CHECKING:
    from src_model.data.integrity import Integrity

ExpertUsage = tuple[tuple[float, ...], ...]
"""Mean router probability, one row per router, one column per expert."""


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something the user should know, with its remedy; the work goes on."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Downloading(Event):
    """A file is fetched once into the user's cache."""

    name: str
    """What is fetched, e.g. ``"ImageNet weights"``."""
    done: int
    """Bytes."""
    total: int
    """Bytes; 0 = not known yet."""

    @property
    def complete(self) -> bool:
        """Whether the file is there, whole and checked."""
        return 0 < self.total == self.done


# --- training -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """Training begins or goes on; sizes, device and plan are settled."""

    run: Path
    model: str
    device: str
    precision: str
    train_images: int
    validation_images: int
    stages: tuple[str, ...]
    resumed_from: str | None = None
    """``"stage 1, epoch 3"`` when the run goes on from saved state, else ``None``."""


@dataclass(frozen=True, kw_only=True)
class StepFinished(Event):
    """One optimiser step."""

    stage: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    seconds_left: float | None
    """Estimate for the whole run; ``None`` until one can be made."""


@dataclass(frozen=True, kw_only=True)
class EpochFinished(Event):
    """One pass over the training images and one validation."""

    stage: str
    epoch: int
    epochs: int
    train_loss: float
    segmentation_loss: float
    balance_loss: float
    validation_loss: float
    dice: float
    """Mean foreground Dice over the validation images or volumes, 0 to 1."""
    iou: float
    learning_rate: float
    expert_usage: ExpertUsage | None
    seconds: float
    seconds_left: float
    domain_dice: dict[str, float] | None = None
    """Mean Dice of each domain, for a network that has domains; ``dice`` is their mean."""


@dataclass(frozen=True, kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint that Segment can open lies at ``path``."""

    path: Path
    stage: str
    epoch: int
    dice: float


@dataclass(frozen=True, kw_only=True)
class StageFinished(Event):
    """All epochs of one stage are done."""

    stage: str
    best_dice: float
    best_epoch: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """Last event of a complete run."""

    run: Path
    checkpoint: Path
    dice: float
    seconds: float
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class RunStopped(Event):
    """Last event of a run that was asked to stop; everything up to the last epoch is kept."""

    run: Path
    checkpoint: Path | None
    message: str


# --- datasets -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CaseChecked(Event):
    """One more case of a dataset was read and checked."""

    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class DatasetChecked(Event):
    """The whole dataset was checked; last event."""

    report: Integrity


# --- segmentation ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SegmentationStarted(Event):
    """One image begins."""

    source: str
    tiles: int
    device: str


@dataclass(frozen=True, kw_only=True)
class TileFinished(Event):
    """``done`` of ``total`` tiles of the current image are segmented."""

    source: str
    done: int
    total: int
    seconds_left: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSegmented(Event):
    """One image is done.

    ``mask`` has the image's planes, ``(..., H, W)``: uint8 classes, or uint32 objects when
    instances were asked for. ``probability`` is float32 ``(K, ..., H, W)`` with one entry per
    foreground class (K = number of classes without the background), or ``None``. Both are
    ``None`` when the result was written to ``path`` instead.
    """

    source: str
    mask: np.ndarray | None
    probability: np.ndarray | None
    path: Path | None
    foreground: float
    """Share of foreground pixels, 0 to 1."""
    objects: int | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SegmentationFinished(Event):
    """Last event: every image is done. ``results`` is in the order of the sources."""

    results: tuple[ImageSegmented, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SegmentationStopped(Event):
    """Last event after a cancel: ``results`` holds the images that were complete."""

    results: tuple[ImageSegmented, ...]
    message: str


# --- control --------------------------------------------------------------------------------

ControlState = Literal["running", "paused", "stopping"]


@dataclass
class Control:
    """Pause, resume, stop and make-way token; any thread may set it, the engine checks it between steps."""

    _go: threading.Event = field(default_factory=threading.Event, repr=False)
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _way_until: float = field(default=-math.inf, repr=False)

    def __post_init__(self) -> None:
        self._go.set()

    @property
    def state(self) -> ControlState:
        """What was last asked for."""
        if self._stop.is_set():
            return "stopping"
        return "running" if self._go.is_set() else "paused"

    def pause(self) -> None:
        """Hold the engine at its next step."""
        self._go.clear()

    def resume(self) -> None:
        """Let a paused engine go on."""
        self._go.set()

    def stop(self) -> None:
        """End the engine at its next step, also when it is paused."""
        self._stop.set()
        self._go.set()

    def make_way(self, seconds: float = 0.3) -> None:
        """Leave a processor to others for so long from now; for the length of the moves of a view."""
        self._way_until = time.monotonic() + seconds

    @property
    def makes_way(self) -> bool:
        """Whether engines that compute on the processors should leave one free."""
        return time.monotonic() < self._way_until

    def check(self) -> None:
        """Called by engines between two steps: block while paused.

        Raises
        ------
        Stopped
            When a stop was asked for.
        """
        self._go.wait()
        if self._stop.is_set():
            raise Stopped("The work was stopped on request.")
