"""What one training run tells the Train dock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_utanet.controllers.train_view import TrainView
from napari_utanet.wording import duration, time_left
from src_model import events as ev
from src_model.config import TrainConfig
from src_model.evaluation.events import CaseScored

PROGRESS_STEPS = 1000
"""Resolution of the progress bar."""


class TrainListener:
    """Turns events into progress, curves and sentences.

    Parameters
    ----------
    view
        The dock.
    config
        Of the run; tells how many epochs there are.
    on_finished
        Called with the checkpoint of a complete run, and of no other.
    on_idle
        Called last, however the run ended.
    """

    def __init__(
        self,
        view: TrainView,
        config: TrainConfig,
        on_finished: Callable[[Path], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._view = view
        self._config = config
        self._on_finished = on_finished
        self._on_idle = on_idle
        self._stages: list[tuple[str, int]] = []
        self._notes: list[str] = []
        self._concluded = False

    def on_event(self, event: object) -> None:
        """One event of the engine."""
        if isinstance(event, ev.StepFinished):
            self._step(event)
        elif isinstance(event, ev.EpochFinished):
            self._epoch(event)
        elif isinstance(event, ev.Downloading):
            self._downloading(event)
        elif isinstance(event, ev.RunStarted):
            self._started(event)
        elif isinstance(event, ev.Warned):
            self._notes.append(event.message)
            self._view.set_note("\n".join(self._notes[-2:]))
        elif isinstance(event, ev.StageFinished):
            self._view.set_status(f"{_stage(event.stage)} done: best Dice {event.best_dice:.3f}.")
        elif isinstance(event, CaseScored):
            text = f"Scoring the images held out, {event.done} of {event.total}"
            self._view.set_progress(event.done, event.total, text)
        elif isinstance(event, ev.RunStopped):
            self._concluded = True
            self._view.set_status(event.message)
        elif isinstance(event, ev.RunFinished):
            self._concluded = True
            self._view.set_progress(1, 1, "")
            self._on_finished(event.checkpoint)
            report = ""
            if event.report is not None:  # by its name: a long path would widen the dock
                report = f" Scores and pictures: {event.report.name} in the run folder '{event.run.name}'."
            self._view.set_status(
                f"Done in {duration(event.seconds)}: Dice {event.dice:.2f} on the images held out. "
                f"The model is chosen in UTANet: Segment.{report}"
            )

    def on_error(self, message: str) -> None:
        """The run failed."""
        self._concluded = True
        self._view.set_status(message, error=True)

    def on_end(self) -> None:
        """The thread has ended."""
        if not self._concluded:
            self._view.set_status("Stopped before the first epoch.")
        self._on_idle()

    def _downloading(self, event: ev.Downloading) -> None:
        if event.complete:
            self._view.set_progress(0, 0, "")
        elif event.total:
            share = event.done / event.total
            text = f"Fetching {event.name}, {100 * share:.0f} %"
            self._view.set_progress(round(PROGRESS_STEPS * share), PROGRESS_STEPS, text)
        else:
            self._view.set_progress(0, 0, f"Fetching {event.name}")

    def _started(self, event: ev.RunStarted) -> None:
        config = self._config
        settings = {"1": config.stage1, "joint": config.stage1, "2": config.stage2, "3": config.stage3}
        self._stages = [(name, settings[name].epochs) for name in event.stages]
        self._view.start_curves(self._stages)
        begin = f"Resumed after {event.resumed_from}" if event.resumed_from else "Started"
        self._view.set_status(
            f"{begin} on {event.device}: {event.train_images} images to train on, "
            f"{event.validation_images} held out."
        )

    def _step(self, event: ev.StepFinished) -> None:
        within = event.step / max(event.steps, 1)
        total = sum(epochs for _, epochs in self._stages) or event.epochs
        done = self._before(event.stage) + event.epoch - 1 + within
        text = f"{_stage(event.stage)} · epoch {event.epoch} of {event.epochs}"
        left = time_left(event.seconds_left)
        self._view.set_progress(
            round(PROGRESS_STEPS * done / total), PROGRESS_STEPS, f"{text} · {left}" if left else text
        )

    def _epoch(self, event: ev.EpochFinished) -> None:
        self._view.add_epoch(event)
        if event.expert_usage is not None:
            self._view.set_usage(event.expert_usage)
        self._view.set_status(
            f"Dice {event.dice:.3f}, loss {event.validation_loss:.3f} on the images held out, after "
            f"{_stage(event.stage).lower()}, epoch {event.epoch}."
        )

    def _before(self, stage: str) -> int:
        """Epochs of the stages before ``stage``."""
        names = [name for name, _ in self._stages]
        position = names.index(stage) if stage in names else 0
        return sum(epochs for _, epochs in self._stages[:position])


def _stage(name: str) -> str:
    return f"Stage {name}" if name.isdigit() else name.capitalize()
