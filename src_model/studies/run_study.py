"""Trains every arm of a study on every fold and scores it on what the fold holds out."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src_model.config import TrainConfig
from src_model.errors import ConfigError, OutputError, Stopped
from src_model.evaluation.events import EvaluationFinished
from src_model.evaluation.table import FILE_NAME
from src_model.events import Control, Event, RunFinished, Warned
from src_model.lock import lock_file
from src_model.models.header import read_checkpoint_info
from src_model.nested import merge
from src_model.studies.events import ArmStarted, StudyFinished, StudyStopped
from src_model.studies.study import Arm, Scoring, Study
from src_model.training.run_folder import RunFolder
from src_model.training.scoring import score
from src_model.training.stages import plan_stages
from src_model.training.trainer import train

_WAIT = 2.0
"""Seconds between two looks at what other processes have done."""


@dataclass(frozen=True)
class _Part:
    """One arm on one fold."""

    name: str
    arm: Arm
    fold: int
    config: TrainConfig
    scores: dict[Path, Scoring]
    """The further ways to score it, by the folder for the scores."""
    after: _Part | None
    """The one whose stage 1 it starts from."""

    @property
    def complete(self) -> bool:
        return all((folder / FILE_NAME).is_file() for folder in (self.config.out, *self.scores))

    @property
    def ready(self) -> bool:
        return not self.complete and (self.after is None or self.after.complete)

    @property
    def lock(self) -> Path:
        return self.config.out.with_name(f".{self.config.out.name}.lock")


def run_study(
    study: Study, settings: dict[str, Any], out: str | Path, *, control: Control | None = None
) -> Iterator[Event]:
    """Train and score every arm on every fold; a call with the same arguments goes on where one ended.

    Each run lies in ``out/ARM/fold-N`` with its own ``metrics.csv`` of the images that were held out;
    the scores at K mixed experts in ``out/ARM-topK/fold-N``, with flips in ``out/ARM-flips/fold-N``, at
    native resolution in ``out/ARM-native/fold-N``. So ``utanet compare out/ARM out/OTHER`` compares two arms
    over all images. The arms of one fold share its images, and stage 1 where they say so.

    Several processes may be given the same arguments at once: each takes the next run that none of the
    others is at, and all end when the study is complete.

    Parameters
    ----------
    study
        The arms.
    settings
        A configuration of a training, nested; ``data.folds`` says how many folds there are.
    out
        Folder of the study.

    Yields
    ------
    Event
        ``ArmStarted``, the events of the run and of its scoring, and at last ``StudyFinished``, or
        ``StudyStopped`` after a stop.

    Raises
    ------
    ConfigError
        When the settings ask for no folds, or an arm's settings do not fit.
    UTANetError
        As :func:`src_model.training.trainer.train` and :func:`src_model.evaluation.evaluate.evaluate`.
    """
    out = Path(out)
    control = control or Control()
    parts = _parts(study, settings, out)
    waits = False
    while not all(part.complete for part in parts):
        worked = False
        for part in parts:
            if not part.ready:
                continue
            with _locked(part) as mine:
                if not mine or part.complete:
                    continue
                worked = True
                yield ArmStarted(
                    arm=part.name,
                    title=part.arm.title,
                    fold=part.fold + 1,
                    folds=int(settings["data"]["folds"]),
                    done=_done(parts),
                    total=len(parts),
                )
                if not (yield from _complete(part, control)):
                    yield _stopped(out, parts)
                    return
        if worked:
            continue
        if not waits:
            waits = True
            yield Warned(
                message="What is left of this study is trained by other processes; waiting for them."
            )
        try:
            control.check()
        except Stopped:
            yield _stopped(out, parts)
            return
        time.sleep(_WAIT)
    yield StudyFinished(out=out)


def _done(parts: Sequence[_Part]) -> int:
    return sum(part.complete for part in parts)


def _stopped(out: Path, parts: Sequence[_Part]) -> StudyStopped:
    message = (
        f"The study was stopped; {_done(parts)} of {len(parts)} runs are complete. Start it again to go on."
    )
    return StudyStopped(out=out, message=message)


@contextmanager
def _locked(part: _Part) -> Iterator[bool]:
    """Whether this process, and no other, works on a part while the block runs."""
    with ExitStack() as stack:
        try:
            owner = stack.enter_context(lock_file(part.lock))
        except OSError as error:
            raise OutputError(
                f"Cannot write {part.lock}: {error.strerror}; choose a folder that can be written to."
            ) from error
        yield owner is None


def _parts(study: Study, settings: dict[str, Any], out: Path) -> list[_Part]:
    """Every arm of the first fold, then of the second, and so on; all checked before any work."""
    folds = settings.get("data", {}).get("folds")
    if not isinstance(folds, int) or folds < 2:
        raise ConfigError(f"A study needs folds but data.folds is {folds!r}; ask for at least 2, usually 5.")
    parts: list[_Part] = []
    for fold in range(folds):
        of_fold: dict[str, _Part] = {}
        for name, arm in study.arms.items():
            folder = f"fold-{fold + 1}"
            values = merge(settings, arm.settings)
            own: dict[str, Any] = {
                "out": out / name / folder,
                "data": {"fold": fold},
                "resume": False,
                "report": True,
            }
            if arm.after is not None:
                before = RunFolder(out / arm.after / folder).model
                own["model"] = {"stage1_from": before}
            config = TrainConfig.parse(merge(values, own))
            plan_stages(config)
            further = arm.scorings(name, config.model.top_k)
            scores = {out / scoring.name / folder: scoring for scoring in further}
            after = None if arm.after is None else of_fold[arm.after]
            of_fold[name] = _Part(name, arm, fold, config, scores, after)
        parts += of_fold.values()
    return parts


def _complete(part: _Part, control: Control) -> Generator[Event, None, bool]:
    """Train and score one arm on one fold; returns whether it was not stopped."""
    folder = RunFolder(part.config.out)
    if not (part.config.out / FILE_NAME).is_file():
        resume = folder.config.exists() or folder.state.exists()
        last: Event | None = None
        for last in train(part.config.model_copy(update={"resume": resume}), control=control):
            yield last
        if not isinstance(last, RunFinished) or last.report is None:
            return False  # what was trained is kept, and scored by the next call
    held_out = read_checkpoint_info(folder.model).training["held_out"][0]
    for target, scoring in part.scores.items():
        if (target / FILE_NAME).is_file():
            continue
        last = None
        for last in score(
            part.config,
            folder.model,
            part.config.data.root,
            held_out,
            target,
            control,
            top_k=scoring.top_k,
            flips=scoring.flips,
            resolution=scoring.resolution,
        ):
            yield last
        if not isinstance(last, EvaluationFinished):
            return False
    with suppress(OSError):
        folder.state.unlink()  # complete: nothing will be resumed, and it is three times the model
    return True
