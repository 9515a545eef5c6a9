"""The end of a run: its model is scored on what was held out, and the report is written."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from src_model.config import TrainConfig
from src_model.errors import UTANetError
from src_model.events import Control, Event, Warned
from src_model.models.header import read_checkpoint_info


def write_reports(
    config: TrainConfig, checkpoint: Path, control: Control
) -> Generator[Event, None, Path | None]:
    """Score the images held out and write ``metrics.csv`` and ``report.html`` beside the model.

    A run on several datasets gets a folder for each, named after the dataset's folder. What is there
    already is not made again. Where scoring fails, which costs nothing but the report, a warning says why.

    Returns
    -------
    Path or None
        The (first) report.
    """
    roots = (config.data.root, *config.data.more_roots)
    held_out: Sequence[Sequence[str]] = read_checkpoint_info(checkpoint).training.get("held_out", ())
    reports: list[Path | None] = []
    for root, cases in zip(roots, held_out, strict=False):
        folder = config.out if len(roots) == 1 else config.out / root.name
        try:
            reports.append((yield from _write_report(config, checkpoint, root, cases, folder, control)))
        except UTANetError as error:
            yield Warned(message=f"The model is complete but its report could not be written: {error}")
    return next(iter(reports), None)


def _write_report(
    config: TrainConfig,
    checkpoint: Path,
    root: Path,
    cases: Sequence[str],
    folder: Path,
    control: Control,
) -> Generator[Event, None, Path | None]:
    from src_model.evaluation.events import EvaluationFinished
    from src_model.evaluation.outputs import REPORT_NAME
    from src_model.evaluation.table import FILE_NAME

    if (folder / FILE_NAME).is_file() and (folder / REPORT_NAME).is_file():
        return folder / REPORT_NAME
    last: Event | None = None
    for last in score(config, checkpoint, root, cases, folder, control):
        if not isinstance(last, EvaluationFinished):
            yield last
    return last.report if isinstance(last, EvaluationFinished) else None


def score(
    config: TrainConfig,
    checkpoint: Path,
    root: Path,
    cases: Sequence[str],
    folder: Path,
    control: Control,
    *,
    top_k: int | None = None,
    flips: bool = False,
    resolution: str | None = None,
) -> Iterator[Event]:
    """Score some cases of a run's dataset as the run's configuration says.

    Yields and raises what :func:`src_model.evaluation.evaluate.evaluate` does.
    """
    from src_model.evaluation.evaluate import evaluate

    return evaluate(
        root,
        checkpoint,
        layout=config.data.layout,
        mask_endings=config.data.mask_endings,
        cases=cases,
        resolution=resolution or config.report_resolution,
        top_k=top_k,
        flips=flips,
        out=folder,
        device=config.device,
        precision=config.precision,
        control=control,
    )
