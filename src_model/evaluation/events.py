"""What an evaluation tells while it works; of the same kind as the events of the other engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src_model.events import Event

if TYPE_CHECKING:
    from src_model.evaluation.scores import Score
    from src_model.evaluation.table import Summary


@dataclass(frozen=True, kw_only=True)
class EvaluationStarted(Event):
    """The cases are found and the network is ready."""

    data: Path
    layout: str
    """How the dataset is laid out."""
    split: str | None
    """Which part of the dataset; ``None`` = it is not divided."""
    cases: int
    """Images or volumes that will be scored."""
    model: str
    labels: tuple[str, ...]
    """Foreground classes by name."""
    resolution: str
    """``native`` or ``training``."""
    device: str


@dataclass(frozen=True, kw_only=True)
class CaseScored(Event):
    """``done`` of ``total`` images or volumes are through; those that were left out count too."""

    case: str
    done: int
    total: int
    scores: tuple[Score, ...]
    """One for each foreground class."""
    seconds_left: float


@dataclass(frozen=True, kw_only=True)
class EvaluationFinished(Event):
    """Last event: every case that can be used is scored."""

    rows: tuple[Score, ...]
    """One for each class of each case."""
    summary: tuple[Summary, ...]
    """Means and deviations of each metric, per class and over the classes."""
    left_out: tuple[str, ...]
    """Names of the cases that could not be used."""
    trained_on: tuple[str, ...]
    """Names of the cases that the network was trained on, as far as the checkpoint tells."""
    metrics: Path | None
    """``metrics.csv``, where a folder was given."""
    report: Path | None
    """``report.html``, where a folder was given."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class EvaluationStopped(Event):
    """Last event after a stop: ``rows`` holds what was scored; nothing was written."""

    rows: tuple[Score, ...]
    message: str
