"""Scores a network on a dataset: a generator of events, the last of which carries the table."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from src_model.data.problems import name_some
from src_model.data.read_case import forget_volumes
from src_model.errors import CheckpointError, DataError, ImageError, Stopped
from src_model.evaluation.album import Album
from src_model.evaluation.events import CaseScored, EvaluationFinished, EvaluationStarted, EvaluationStopped
from src_model.evaluation.judge import Judge, Judged
from src_model.evaluation.outputs import About, write_outputs
from src_model.evaluation.plan import make_plan
from src_model.evaluation.scores import Score
from src_model.evaluation.subjects import Subject
from src_model.evaluation.table import ScoreTable
from src_model.events import Control, Event, Warned
from src_model.inference.network import Network
from src_model.inference.request import Request
from src_model.inference.sources import check_writable
from src_model.memory import kept_memory
from src_model.models.checkpoint import Checkpoint
from src_model.models.header import CheckpointInfo, read_checkpoint_info


def evaluate(
    data: str | PathLike[str],
    checkpoint: Checkpoint | str | PathLike[str],
    *,
    layout: str = "auto",
    split: str | None = None,
    out: str | PathLike[str] | None = None,
    control: Control | None = None,
    device: str = "auto",
    precision: str = "auto",
    top_k: int | None = None,
    threshold: float = 0.5,
    resolution: str = "native",
    cases: Sequence[str] | None = None,
    flips: bool = False,
    domain: str | int | None = None,
    mask_endings: tuple[str, ...] = (),
) -> Iterator[Event]:
    """Segment every image or volume of a dataset and score it against its mask.

    Nothing happens before the first event is asked for. Closing the iterator ends the work. Each case is
    segmented exactly as :func:`src_model.inference.predictor.segment` does it, so the scores are those of
    what a user gets. The metrics, and what they are worth for empty masks, are those of
    :func:`src_model.evaluation.scores.score_masks`.

    Planes of a volume (one file, many slices) are segmented one by one and scored together as one
    volume. HD95 is in millimetres for NIfTI volumes, in micrometres for images at native resolution
    where the checkpoint knows the pixel size of its training images, which these are taken to have too,
    else in pixels. Where the masks number objects and the network has one class, objects are counted too, as
    ``segment(instances=True)`` separates them.

    Parameters
    ----------
    data
        Folder of the dataset.
    checkpoint
        A checkpoint or its path.
    layout
        How the folder is laid out; ``auto`` recognises it.
    split
        Which part of it, e.g. ``test``; ``None`` = the folder itself, or its ``test`` part where the
        folder is divided and no ``cases`` are named.
    out
        Folder for ``metrics.csv`` and ``report.html``; ``None`` = nothing is written.
    control
        Token to pause and stop, checked between the layers of the network.
    device, precision, top_k, threshold, flips
        See :func:`src_model.inference.predictor.segment`.
    resolution
        ``native``: against the masks as they are stored. ``training``: image and mask are resized to the
        side that the network was trained on (of papers that report so); only for networks trained on
        whole resized images.
    cases
        Ids of the cases to score; ``None`` = all.
    domain
        For a network that serves several; ``None`` = the one named like the dataset.
    mask_endings
        What follows an image's name in its mask's name, where it is none of the known endings.

    Yields
    ------
    Event
        ``EvaluationStarted``; for each case ``TileFinished`` per piece and ``CaseScored``; at the end
        ``EvaluationFinished``, or ``EvaluationStopped`` after a stop. ``Warned`` names a case that was left
        out (the others go on), and images that the network was trained on.

    Raises
    ------
    ConfigError, CheckpointError, DeviceError, ModelError, OutputError
        When a setting, the checkpoint, the device or the output folder cannot be used.
    DataError
        When the dataset cannot be used, or none of its cases.
    """
    request = Request(threshold=threshold, top_k=top_k, trained_size=resolution == "training")
    info = _describe(checkpoint)
    plan = make_plan(
        Path(data),
        info,
        layout=layout,
        split=split,
        ids=cases,
        resolution=resolution,
        domain=domain,
        mask_endings=mask_endings,
    )
    if out is not None:
        check_writable(Path(out))
    control = control or Control()
    network = Network(
        checkpoint,
        device=device,
        precision=precision,
        top_k=top_k,
        domain=plan.domain,
        control=control,
        flips=flips,
    )
    yield EvaluationStarted(
        data=plan.listing.root,
        layout=plan.listing.layout,
        split=plan.listing.split,
        cases=len(plan.subjects),
        model=str(info.config["name"]),
        labels=plan.labels,
        resolution=resolution,
        device=str(network.device),
    )
    about = About(
        plan=plan,
        info=info,
        checkpoint="in memory" if isinstance(checkpoint, CheckpointInfo) else Path(checkpoint).name,
        settings=_settings(network, threshold, flips),
        notes=plan.notes,
    )
    judge = Judge(plan, network, request, control)
    with kept_memory():
        yield from _Work(about, judge, None if out is None else Path(out)).events()


def _settings(network: Network, threshold: float, flips: bool) -> tuple[tuple[str, str], ...]:
    settings = []
    if network.model.num_experts:
        chosen = f"top-{network.model.top_k}, as trained" if network.top_k is None else f"top-{network.top_k}"
        settings.append(("Experts", chosen))
    if network.foreground_classes == 1:
        settings.append(("Threshold", f"{threshold:g}"))
    settings.append(("Flips", "mean of four mirrorings" if flips else "off"))
    return tuple(settings)


def _describe(checkpoint: Checkpoint | str | PathLike[str]) -> CheckpointInfo:
    if isinstance(checkpoint, CheckpointInfo):
        return checkpoint
    if isinstance(checkpoint, (str, PathLike)):
        return read_checkpoint_info(Path(checkpoint))
    raise CheckpointError(
        f"Expected a checkpoint or the path of one but got {type(checkpoint).__name__}; "
        "open a file with load_checkpoint."
    )


class _Work:
    """One evaluation under way."""

    def __init__(self, about: About, judge: Judge, out: Path | None) -> None:
        self._about, self._plan, self._judge, self._out = about, about.plan, judge, out
        self._learned = frozenset(about.info.training.get("image_hashes") or ())
        self._notes = list(about.notes)
        self._begun = time.perf_counter()
        self._rows: list[Score] = []
        self._left_out: list[str] = []
        self._trained_on: list[str] = []
        self._album = Album(about.plan.side)

    def events(self) -> Iterator[Event]:
        yield from (Warned(message=note) for note in self._notes)
        failures: list[Exception] = []
        total = len(self._plan.subjects)
        try:
            for done, subject in enumerate(self._plan.subjects, start=1):
                outcome = yield from self._one(subject)
                if not isinstance(outcome, Judged):
                    failures.append(outcome)
                    yield self._note(f"{subject.name} was left out: {outcome}")
                    continue
                elapsed = time.perf_counter() - self._begun
                yield CaseScored(
                    case=subject.name,
                    done=done,
                    total=total,
                    scores=outcome.scores,
                    seconds_left=elapsed / done * (total - done),
                )
        except Stopped:
            scored = total_of(self._rows)
            message = f"Stopped on request; {scored} of {total} cases were scored and nothing was written."
            yield EvaluationStopped(rows=tuple(self._rows), message=message)
            return
        finally:
            forget_volumes()
        if not self._rows:
            raise DataError(
                f"None of the {total} cases of {self._plan.listing.root} could be scored; the first one's "
                f"reason: {failures[0]}"
            )
        yield from self._conclude()

    def _note(self, message: str) -> Warned:
        self._notes.append(message)
        return Warned(message=message)

    def _one(self, subject: Subject) -> Generator[Event, None, Judged | DataError | ImageError]:
        """Score one subject; the outcome is its result or why there is none."""
        try:
            judged = yield from self._judge.judge(subject)
        except (DataError, ImageError) as reason:
            self._left_out.append(subject.name)
            return reason
        self._rows += judged.scores
        self._album.keep(subject, judged)
        if self._learned.intersection(judged.digests):
            self._trained_on.append(subject.name)
        return judged

    def _conclude(self) -> Iterator[Event]:
        if self._trained_on:
            count = len(self._trained_on)
            yield self._note(
                f"The model was trained on {count} of these {total_of(self._rows)} cases "
                f"({name_some(map(Path, self._trained_on))}), so their scores say nothing about new images; "
                "evaluate on images that it has not seen."
            )
        table = ScoreTable(self._rows)
        metrics = report = None
        if self._out is not None:
            about = replace(self._about, notes=tuple(self._notes))
            metrics, report = write_outputs(self._out, table, self._album, about)
        yield EvaluationFinished(
            rows=table.rows,
            summary=table.summary(),
            left_out=tuple(self._left_out),
            trained_on=tuple(self._trained_on),
            metrics=metrics,
            report=report,
            seconds=time.perf_counter() - self._begun,
        )


def total_of(rows: Sequence[Score]) -> int:
    """How many cases the rows are of."""
    return len({row.case for row in rows})
