"""The tables of the report as text: scores of each class, of each fold and of each image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from src_model.evaluation.scores import Score
from src_model.evaluation.table import ALL_CLASSES, ScoreTable, Summary

NAMES: Mapping[str, str] = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "Precision",
    "recall": "Recall",
    "hd95": "HD95",
    "object_f1": "Object F1",
    "object_dice": "Object Dice",
}
"""What the metrics are called."""

NOTHING = "–"
"""Stands where there is no number."""

_UNITS = {"px": "px", "um": "µm", "mm": "mm"}

Place = tuple[str, int | None]
"""A case and the fold in which it was scored."""


@dataclass(frozen=True)
class Cell:
    """A number as it is shown, and as it is sorted."""

    text: str
    value: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    name: str
    cells: tuple[Cell, ...]
    total: bool = False
    colour: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first name of ``head`` stands over the names of the rows."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]


def verdict(table: ScoreTable) -> str:
    """The result in one line."""
    dice = _overall(table).get("dice")
    if dice is None:
        return "No image could be scored."
    several = f", mean of {len(table.labels)} classes" if len(table.labels) > 1 else ""
    over = f"on {count(1, 'image')}" if dice.count == 1 else f"over {count(dice.count, 'image')}"
    text = f"Dice {_pair(dice)} {over}{several}"
    if dice.folds:
        text += f"; {_fold_pair(dice)} over {count(dice.folds, 'fold')}"
    return f"{text}."


def summary_table(table: ScoreTable, colours: Mapping[str, str]) -> Table:
    """One line per class, mean +- standard deviation over the images, and one over all classes.

    Parameters
    ----------
    table
        At least one row.
    colours
        Of the classes that have one, by name.
    """
    found = {(one.label, one.metric): one for one in table.summary()}
    rows = tuple(
        Row(
            label,
            tuple(_pair_cell(found.get((label, metric))) for metric in table.metrics),
            total=label == ALL_CLASSES,
            colour=colours.get(label, ""),
        )
        for label in dict.fromkeys(label for label, _ in found)
    )
    images = len(table.cases)
    over = f"Mean ± standard deviation over {images} images." if images > 1 else "The scores of 1 image."
    return Table(over, ("class", *headings(table)), rows)


def fold_table(table: ScoreTable) -> Table | None:
    """One line per fold and one over the folds; ``None`` where there are not several.

    Of several classes the mean over the classes of each image counts.
    """
    if len(table.folds) < 2:
        return None
    rows = []
    for fold in table.folds:
        own = table.of_fold(fold)
        found = _overall(own)
        cells = tuple(_pair_cell(found.get(metric)) for metric in table.metrics)
        rows.append(Row(f"fold {fold}", (Cell(str(len(own.cases))), *cells)))
    over = _overall(table)
    totals = tuple(_fold_cell(over.get(metric)) for metric in table.metrics)
    rows.append(Row("over the folds", (Cell(str(len(table.cases))), *totals), total=True))
    caption = "Of each fold, mean ± standard deviation over its images; last, over the means of the folds."
    return Table(caption, ("fold", "images", *headings(table)), tuple(rows))


def image_table(table: ScoreTable) -> Table:
    """One line per image, the lowest Dice first; of several classes their mean and each one's Dice."""
    images = by_image(table)
    groups = any(row.group != row.case for row in table.rows)
    folds, several = bool(table.folds), len(table.labels) > 1
    rows = []
    for (case, fold), own in images.items():
        cells = [Cell(own[0].group, own[0].group)] if groups else []
        cells += [_fold_number(fold)] if folds else []
        cells += [_cell(metric, _mean(own, metric)) for metric in table.metrics]
        if several:
            dice = {row.label: row.dice for row in own}
            cells += [_cell("dice", dice.get(label)) for label in table.labels]
        rows.append((_mean(own, "dice") or 0.0, Row(case, tuple(cells))))
    rows.sort(key=lambda item: (item[0], item[1].name))
    extra = (*(["group"] if groups else []), *(["fold"] if folds else []))
    classes = tuple(f"Dice {label}" for label in table.labels) if several else ()
    of = ", mean over its classes," if several else ""
    caption = f"The image with the lowest Dice{of} comes first; a click on a heading sorts by that column."
    return Table(caption, ("image", *extra, *headings(table), *classes), tuple(row for _, row in rows))


def by_image(table: ScoreTable) -> dict[Place, list[Score]]:
    """The scores of each image, in each fold in which it was scored."""
    images: dict[Place, list[Score]] = {}
    for row in table.rows:
        images.setdefault((row.case, row.fold), []).append(row)
    return images


def image_dice(table: ScoreTable) -> dict[Place, float]:
    """Dice of each image, mean over its classes."""
    return {place: math.fsum(row.dice for row in own) / len(own) for place, own in by_image(table).items()}


def headings(table: ScoreTable) -> tuple[str, ...]:
    """Names of the metrics in use, with the unit of distances."""
    unit = _UNITS.get(table.hd95_unit, table.hd95_unit)
    return tuple(f"{NAMES[name]} ({unit})" if name == "hd95" else NAMES[name] for name in table.metrics)


def count(number: int, word: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def _overall(table: ScoreTable) -> dict[str, Summary]:
    """By metric, of the only class or of all classes."""
    wanted = ALL_CLASSES if len(table.labels) > 1 else next(iter(table.labels), "")
    return {one.metric: one for one in table.summary() if one.label == wanted}


def _pair_cell(summary: Summary | None) -> Cell:
    return Cell(NOTHING if summary is None else _pair(summary))


def _fold_cell(summary: Summary | None) -> Cell:
    return Cell(NOTHING if summary is None or not summary.folds else _fold_pair(summary))


def _pair(summary: Summary) -> str:
    mean = _number(summary.metric, summary.mean)
    return mean if summary.count == 1 else f"{mean} ± {_number(summary.metric, summary.deviation)}"


def _fold_pair(summary: Summary) -> str:
    numbers = (summary.fold_mean or 0.0, summary.fold_deviation or 0.0)
    return " ± ".join(_number(summary.metric, number) for number in numbers)


def _cell(metric: str, value: float | None) -> Cell:
    return Cell(NOTHING) if value is None else Cell(_number(metric, value), f"{value:.6g}")


def _fold_number(fold: int | None) -> Cell:
    return Cell(NOTHING) if fold is None else Cell(str(fold), str(fold))


def _number(metric: str, value: float) -> str:
    return f"{value:.2f}" if metric == "hd95" else f"{value:.3f}"


def _mean(rows: Iterable[Score], metric: str) -> float | None:
    values: Sequence[float] = [v for row in rows if (v := getattr(row, metric)) is not None]
    return math.fsum(values) / len(values) if values else None
