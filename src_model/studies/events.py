"""Events of a study, beside those of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from src_model.events import Event


@dataclass(frozen=True, kw_only=True)
class ArmStarted(Event):
    """One arm begins or goes on in one fold."""

    arm: str
    title: str
    fold: int
    """Counted from 1."""
    folds: int
    done: int
    """Runs of the whole study that are complete."""
    total: int


@dataclass(frozen=True, kw_only=True)
class StudyFinished(Event):
    """Last event: every arm is trained and scored on every fold."""

    out: Path


@dataclass(frozen=True, kw_only=True)
class StudyStopped(Event):
    """Last event after a stop; what was complete is kept, and the same call goes on."""

    out: Path
    message: str
