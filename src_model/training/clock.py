"""Time spent and time left; a pause does not count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from src_model.events import Control
from src_model.training.history import History
from src_model.training.stages import Stage

_OVERHEAD = 1.15
"""An epoch takes so many times its steps (validation, saving) until one was measured."""
_RATIO = 0.7
"""An epoch of a later stage takes so many times one of this stage until one was measured."""
_WARM_UP = 2
"""Steps before an estimate is made; the first one is slower than the others."""


class Clock:
    """Measures steps and epochs, and estimates the rest of a run from them.

    Parameters
    ----------
    stages
        Of the whole run.
    history
        Epochs that are done already; their times serve as first estimates.
    """

    def __init__(self, stages: Sequence[Stage], history: History) -> None:
        self._stages = tuple(stages)
        self._epochs = {stage.name: [record.seconds for record in history.of(stage)] for stage in stages}
        self._paused = 0.0
        self._epoch_start = self._step_start = self.now()
        self._steps: list[float] = []

    def now(self) -> float:
        """Seconds on a clock that stands still during a pause."""
        return time.perf_counter() - self._paused

    def wait(self, control: Control) -> None:
        """The control's check; time spent in it does not count."""
        before = time.perf_counter()
        try:
            control.check()
        finally:
            self._paused += time.perf_counter() - before

    def start_epoch(self) -> None:
        """An epoch begins."""
        self._epoch_start = self.now()
        self._steps = []

    def start_step(self) -> None:
        """A step begins."""
        self._step_start = self.now()

    def end_step(self) -> None:
        """The step is done."""
        self._steps.append(self.now() - self._step_start)

    def epoch_seconds(self) -> float:
        """Since the epoch began."""
        return self.now() - self._epoch_start

    def end_epoch(self, stage: Stage) -> None:
        """The epoch is done, saving included."""
        self._epochs[stage.name].append(self.epoch_seconds())

    def left(self, stage: Stage, epoch: int, step: int, steps: int) -> float | None:
        """Seconds until the run ends, after ``step`` of ``steps`` of ``epoch`` (both from 1).

        ``None`` while too little was measured.
        """
        if not self._epochs[stage.name] and len(self._steps) < _WARM_UP:
            return None
        per_step = statistics.median(self._steps)
        per_epoch = self._guess(stage, per_step * steps * _OVERHEAD)
        rest = max(per_epoch - self.epoch_seconds(), per_step * (steps - step))
        return rest + self._after(stage, epoch, per_epoch)

    def left_after(self, stage: Stage, epoch: int) -> float:
        """Seconds until the run ends, after ``epoch`` was ended."""
        return self._after(stage, epoch, self._guess(stage, self.epoch_seconds()))

    def _after(self, stage: Stage, epoch: int, per_epoch: float) -> float:
        """Seconds of all epochs that follow ``epoch``, in this stage and the later ones."""
        later = self._stages[self._stages.index(stage) + 1 :]
        here = max(stage.settings.epochs - epoch, 0) * per_epoch
        return here + sum(other.settings.epochs * self._guess(other, per_epoch * _RATIO) for other in later)

    def _guess(self, stage: Stage, otherwise: float) -> float:
        """Seconds of one epoch of ``stage`` where one was measured."""
        known = self._epochs[stage.name]
        return statistics.mean(known) if known else otherwise
