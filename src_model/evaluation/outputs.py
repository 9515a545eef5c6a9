"""Writes what an evaluation leaves behind: ``metrics.csv`` and ``report.html``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from src_model import __version__
from src_model.config import CLASS_COLORS, ClassInfo
from src_model.data.layouts import Listing
from src_model.errors import DataError
from src_model.evaluation.album import Album
from src_model.evaluation.plan import Plan
from src_model.evaluation.table import FILE_NAME, ScoreTable
from src_model.models.header import CheckpointInfo

if TYPE_CHECKING:
    from src_model.evaluation.report_examples import Example

REPORT_NAME = "report.html"
_PARTS = ("train", "training", "test", "data", "validation")
"""Names of folders that say nothing of the dataset."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What the report says of an evaluation, beside its scores."""

    plan: Plan
    info: CheckpointInfo
    checkpoint: str
    """Its file name, or ``in memory``."""
    settings: tuple[tuple[str, str], ...]
    """Name and value of each setting."""
    notes: tuple[str, ...]
    """Sentences that a reader must not miss."""


def write_outputs(folder: Path, table: ScoreTable, album: Album, about: About) -> tuple[Path, Path]:
    """Write the table and the report into a folder, each complete or not at all.

    Returns
    -------
    metrics, report : Path
        The two files.

    Raises
    ------
    OutputError
        When the folder is not writable or full.
    """
    from src_model.evaluation.report import Report, write_report  # draws, which few callers need

    metrics = table.write(folder / FILE_NAME)
    listing = about.plan.listing
    report = Report(
        title=f"{about.info.config['name']} on {_dataset(listing)}",
        table=table,
        facts=tuple(_facts(about)),
        examples=tuple(_examples(table, album)),
        history=about.info.history,
        notes=about.notes,
        classes=_classes(about.plan, about.info, table.labels),
    )
    return metrics, write_report(folder / REPORT_NAME, report)


def _dataset(listing: Listing) -> str:
    """What people call it: the public dataset, else the folder, with its parent where that says more."""
    if listing.layout not in ("pairs", "decathlon"):
        return listing.title
    root = listing.root
    return f"{root.parent.name}/{root.name}" if root.name.lower() in _PARTS else root.name


def _facts(about: About) -> Iterator[tuple[str, str]]:
    plan, listing = about.plan, about.plan.listing
    yield "Model", f"{about.info.config['name']}, stage {about.info.config['stage']} ({about.checkpoint})"
    if plan.domain is not None:
        yield "Domain", plan.domain
    yield "Data", f"{listing.root} ({listing.title})"
    if listing.split is not None:
        yield "Split", listing.split
    side = plan.side
    size = "native" if side is None else f"image and truth resized to {side} x {side} pixels, as in training"
    yield "Resolution", size
    if plan.pixel_size_um is not None:
        yield "Pixel size", f"{plan.pixel_size_um:g} µm, as that of the training images"
    yield from about.settings
    yield "Version", f"napari-utanet {__version__}"
    yield "Date", time.strftime("%Y-%m-%d %H:%M")


def _examples(table: ScoreTable, album: Album) -> Iterator[Example]:
    from src_model.evaluation.report_examples import choose_examples, to_example

    for choice in choose_examples(table):
        with suppress(DataError):  # a file that is gone by now leaves its picture out
            picture = album.open(choice.case)
            example = to_example(choice, picture.image, picture.truth, picture.prediction)
            yield replace(example, plane=picture.plane)


def _classes(plan: Plan, info: CheckpointInfo, labels: Sequence[str]) -> tuple[ClassInfo, ...]:
    own = info.domain(plan.domain).classes
    colours = [item.color for item in own] or CLASS_COLORS
    return tuple(
        ClassInfo(name=label, color=colours[number % len(colours)]) for number, label in enumerate(labels)
    )
