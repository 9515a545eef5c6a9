"""Writes the report of an evaluation or a training: one page, in one file, that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined

from src_model.config import CLASS_COLORS, ClassInfo
from src_model.evaluation import report_tables as tables
from src_model.evaluation.report_examples import (
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    Example,
    data_uri,
    distinct,
    draw_outlines,
)
from src_model.evaluation.report_figures import (
    DOTS,
    MANY,
    best_epochs,
    dice_chart,
    expert_look,
    loss_chart,
    spread_chart,
    usage_charts,
)
from src_model.evaluation.report_history import Timeline
from src_model.evaluation.report_svg import page_colours
from src_model.files import atomic_write_text

if TYPE_CHECKING:
    from src_model.evaluation.table import ScoreTable

_GROUPS = {"best": "Best", "median": "In the middle", "worst": "Worst", "only": ""}

_WORDS = {
    "dice": "Twice the pixels that truth and prediction share, divided by the pixels of both; 0 to 1.",
    "iou": "The pixels that truth and prediction share, divided by the pixels in either; 0 to 1.",
    "precision": "Which part of the predicted pixels is true.",
    "recall": "Which part of the true pixels is predicted.",
    "hd95": "95 % of the distances between the outlines of truth and prediction are shorter.",
    "object_f1": "Objects found, against those missed and invented; an object is found at an IoU above 0.5.",
    "object_dice": "Dice of each object with its best counterpart, weighted by area, in both directions.",
}
_MORE_WORDS = (
    (
        "Empty masks",
        "A class that neither mask holds was rightly not found: 1, at a distance of 0. A class that only one "
        "of them holds scores 0, at the largest distance, the diagonal of the image.",
    ),
    ("±", "The sample standard deviation (n - 1), over images or over folds, as the table says."),
)
_SPREAD_FROM = 3
"""Fewer images have no distribution."""


@dataclass(frozen=True)
class Report:
    """All that a report tells; what is empty leaves no trace on the page."""

    title: str
    table: ScoreTable
    facts: tuple[tuple[str, str], ...] = ()
    """Names and values: model, data, split, resolution, seed, date, version."""
    examples: tuple[Example, ...] = ()
    """Images to show, in this order; see :func:`src_model.evaluation.report_examples.choose_examples`."""
    history: tuple[Mapping[str, Any], ...] = ()
    """Epochs as in ``EpochRecord.to_dict()``; those of several folds carry ``fold`` too."""
    notes: tuple[str, ...] = ()
    """Sentences that a reader must not miss, e.g. images that were left out."""
    classes: tuple[ClassInfo, ...] = ()
    """Foreground classes by number, from 1 on; their names are the labels of the scores."""


def write_report(path: str | Path, report: Report) -> Path:
    """Write ``report`` as one HTML file; equal reports give equal bytes.

    The page needs no network: images and drawings lie in it, and everything but the sorting of
    one table works without scripts. It follows the reader's light or dark theme.

    Raises
    ------
    OutputError
        When the file cannot be written; one that was there stays as it was.
    """
    page = render_report(report).encode("utf-8", "replace")  # file names may hold what is no letter
    return atomic_write_text(path, page.decode("utf-8"))


def render_report(report: Report) -> str:
    """The page as text."""
    source = resources.files("src_model.evaluation").joinpath("report.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
    return page.render(
        title=report.title,
        facts=report.facts,
        notes=report.notes,
        **_scores(report),
        **_training(report.history),
        **_pictures(report),
    )


def _scores(report: Report) -> dict[str, Any]:
    table = report.table
    colours = dict(_classes(report)) if len(table.labels) > 1 else {}
    dice = {label: list(table.of(label).per_case("dice").values()) for label in table.labels}
    most = max(map(len, dice.values()), default=0)
    return {
        "verdict": tables.verdict(table),
        "summary": tables.summary_table(table, colours) if most else None,
        "folds": tables.fold_table(table),
        "spread": spread_chart(dice) if most >= _SPREAD_FROM else None,
        "dots": DOTS[most > MANY],
        "images": tables.image_table(table) if most else None,
        "words": [(tables.NAMES[name], _WORDS[name]) for name in table.metrics] + [*_MORE_WORDS]
        if most
        else [],
    }


def _training(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    timeline = Timeline.of(history)
    routers = usage_charts(timeline)
    looks = [expert_look(number) for number in range(timeline.usage()[1].shape[2])]
    several = len(timeline.folds) > 1
    folds = "Thin lines are the folds, thick ones their mean."
    return {
        "curves": [chart for chart in (loss_chart(timeline), dice_chart(timeline)) if chart],
        "curves_hint": folds if several else best_epochs(timeline),
        "routers": routers,
        "routers_of": " and over the folds" if several else "",
        "experts": [(f"expert {n}", page_colours(colour), dash) for n, (colour, dash) in enumerate(looks, 1)],
    }


def _pictures(report: Report) -> dict[str, Any]:
    classes = _classes(report)
    several = len(classes) > 1
    by_number = {number: colour for number, (_, colour) in enumerate(classes, start=1) if several}
    groups: dict[str, list[dict[str, Any]]] = {}
    for example in report.examples:
        words = [f"slice {example.plane + 1}"] if example.plane is not None else []
        words += [f"fold {example.fold}"] if example.fold is not None else []
        groups.setdefault(_GROUPS[example.rank], []).append(
            {
                "name": example.case,
                "words": words,
                "dice": f"{example.dice:.3f}",
                "truth": _outlined(example, example.truth, by_number, TRUTH_COLOUR),
                "prediction": _outlined(example, example.prediction, by_number, PREDICTION_COLOUR),
            }
        )
    single = (("truth", TRUTH_COLOUR), ("prediction", PREDICTION_COLOUR))
    return {
        "examples": [{"title": title, "pictures": pictures} for title, pictures in groups.items()],
        "legend": classes if several else single,
    }


def _outlined(example: Example, labels: Any, colours: Mapping[int, str], other: str) -> str:
    return data_uri(draw_outlines(example.image, labels, colours, other))


def _classes(report: Report) -> tuple[tuple[str, str], ...]:
    """Name and colour of each class, in the order of their numbers; no colour twice."""
    known = [(info.name, info.color) for info in report.classes]
    labels = [(name, CLASS_COLORS[n % len(CLASS_COLORS)]) for n, name in enumerate(report.table.labels)]
    classes = known or labels
    colours = distinct(colour for _, colour in classes)
    return tuple((name, colour) for (name, _), colour in zip(classes, colours, strict=True))
