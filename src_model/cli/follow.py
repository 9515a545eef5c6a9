"""Listens to an engine's events: a progress bar, plain lines, or JSON lines; Ctrl-C stops gently."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from src_model import events as ev
from src_model.evaluation.events import CaseScored, EvaluationStarted, EvaluationStopped
from src_model.studies.events import ArmStarted, StudyStopped

console = Console(stderr=True, highlight=False)
"""Progress and notes go to standard error."""

results = Console(highlight=False)
"""What a command was asked for goes to standard output."""


_MB = 1_000_000


class Listener(Protocol):
    """Anything that shows events."""

    def show(self, event: ev.Event) -> None: ...


class JsonLines:
    """One JSON object a line on standard output, nothing else there."""

    def show(self, event: ev.Event) -> None:
        sys.stdout.write(json.dumps(event.to_dict()) + "\n")
        sys.stdout.flush()


class Bars:
    """A live progress bar on a terminal, one plain line per finished part elsewhere."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None)

    def show(self, event: ev.Event) -> None:
        match event:
            case ev.StepFinished():
                self._bar(
                    f"stage {event.stage}, epoch {event.epoch}/{event.epochs}, loss {event.loss:.3f}"
                    f"{_left(event.seconds_left)}",
                    event.step,
                    event.steps,
                )
            case ev.TileFinished() | ev.SlideTileFinished():
                self._bar(f"{event.source}{_left(event.seconds_left)}", event.done, event.total)
            case ev.SlidePhase():
                self._bar(f"{event.source}, {event.phase}", event.done, event.total)
            case CaseScored():
                self._bar(f"scored {event.case}{_left(event.seconds_left)}", event.done, event.total)
            case ev.CaseChecked():
                self._bar("checking", event.done, event.total)
            case ev.Downloading():
                self._bar(f"fetching {event.name} (MB)", event.done // _MB, event.total // _MB or None)
        line = describe(event)
        if line is not None:
            style = {ev.Warned: "yellow", ev.RunFinished: "green"}.get(type(event))
            self._progress.console.print(line, style=style, markup=False, soft_wrap=True)

    def _bar(self, text: str, done: int, total: int | None) -> None:
        self._progress.update(self._task, description=text, completed=done, total=total)


def describe(event: ev.Event) -> str | None:
    """One line for a person, or ``None`` for events that only move the bar."""
    match event:
        case ev.Warned():
            return f"Note: {event.message}"
        case ev.Downloading() if event.complete:
            return f"Fetched {event.name} ({event.total / _MB:.0f} MB)"
        case ev.RunStarted():
            resumed = f", going on from {event.resumed_from}" if event.resumed_from else ""
            return (
                f"Training {event.model} on {event.device} ({event.precision}): {event.train_images} images, "
                f"{event.validation_images} for validation{resumed}"
            )
        case ev.EpochFinished():
            return (
                f"stage {event.stage} epoch {event.epoch:>3}/{event.epochs}  loss {event.train_loss:.4f}  "
                f"validation Dice {event.dice:.4f}  IoU {event.iou:.4f}  {event.seconds:.0f} s"
            )
        case ev.StageFinished():
            return (
                f"Stage {event.stage} done in {event.seconds:.0f} s; "
                f"best Dice {event.best_dice:.4f} (epoch {event.best_epoch})"
            )
        case ev.RunFinished():
            report = "" if event.report is None else f"; report: {event.report}"
            score = f"validation Dice {event.dice:.4f}"
            return f"Done in {event.seconds:.0f} s: {event.checkpoint} ({score}){report}"
        case ev.ImageSegmented():
            objects = "" if event.objects is None else f", {event.objects} objects"
            return f"{event.path or event.source}: {event.foreground:.1%} foreground{objects}"
        case ev.SlideStarted():
            height, width = event.shape
            size = "" if event.pixel_size_um is None else f" of {event.pixel_size_um:.3g} micrometres"
            done = f", {event.done} of them done" if event.done else ""
            tiles = "1 tile" if event.tiles == 1 else f"{event.tiles} tiles"
            needs = f"{event.memory_bytes / 1e9:.1f} GB of memory, {event.disk_bytes / 1e6:,.0f} MB on disk"
            return (
                f"{event.source}: {width} x {height} pixels{size} in {tiles}{done}; takes at "
                f"most about {needs}"
            )
        case ev.SlideFinished():
            objects = "" if event.count is None else f", {event.count} objects"
            return f"{event.mask}: {event.foreground:.1%} foreground{objects}"
        case EvaluationStarted():
            split = f", split '{event.split}'" if event.split else ""
            return (
                f"Scoring {event.model} on {event.device}: {event.cases} cases of {event.data} "
                f"({event.layout}{split}), {event.resolution} resolution"
            )
        case CaseScored():
            dice = sum(score.dice for score in event.scores) / len(event.scores)
            return f"{event.case}: Dice {dice:.4f}"
        case ArmStarted():
            return f"Run {event.done + 1} of {event.total}: {event.title}, fold {event.fold} of {event.folds}"
        case (
            EvaluationStopped()
            | StudyStopped()
            | ev.RunStopped()
            | ev.SegmentationStopped()
            | ev.SlideStopped()
        ):
            return event.message
        case _:
            return None


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f", {minutes}:{rest:02d} left"


def follow(events: Iterable[ev.Event], control: ev.Control, *, as_json: bool) -> ev.Event | None:
    """Drain ``events`` while showing them; the last event is returned.

    The first Ctrl-C (or SIGTERM) asks the engine to stop at its next safe point; a second one
    interrupts at once.
    """
    last: ev.Event | None = None
    with _gentle_stop(control), _listener(as_json) as listener:
        for last in events:
            listener.show(last)
    return last


@contextmanager
def _listener(as_json: bool) -> Iterator[Listener]:
    if as_json:
        yield JsonLines()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bars(progress)


@contextmanager
def _gentle_stop(control: ev.Control) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        if control.state == "stopping":
            raise KeyboardInterrupt
        control.stop()
        console.print("Stopping at the next safe point; press Ctrl-C again to end at once.")

    before: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
