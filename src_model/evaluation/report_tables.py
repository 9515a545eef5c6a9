"""The tables of the report as text: scores of each class, of each fold and of each image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src_model.metrics.statistics import mean_and_deviation

if TYPE_CHECKING:
    from src_model.evaluation.scores import Score

METRICS: Mapping[str, str] = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "Precision",
    "recall": "Recall",
    "hd95": "HD95",
    "object_f1": "Object F1",
    "object_dice": "Object Dice",
}
"""Fields of a score and what they are called, in the order of the columns."""

NOTHING = "–"
"""Stands where there is no number."""

_UNITS = {"px": "px", "um": "µm", "mm": "mm"}


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


def summary_table(rows: Sequence[Score], colours: Mapping[str, str]) -> Table:
    """One line per class, mean +- standard deviation over the images, and one over all classes."""
    metrics = used_metrics(rows)
    labels = labels_of(rows)
    lines = [
        Row(label, _means(own, metrics), colour=colours.get(label, ""))
        for label in labels
        for own in [[row for row in rows if row.label == label]]
    ]
    if len(labels) > 1:
        lines.append(Row("all classes", _means(rows, metrics), total=True))
    images = len(cases_of(rows))
    caption = f"Mean ± standard deviation over {count(images, 'image')}."
    return Table(caption, ("class", *headings(rows, metrics)), tuple(lines))


def fold_table(rows: Sequence[Score]) -> Table | None:
    """One line per fold and one over the folds; ``None`` where there are not several."""
    folds = folds_of(rows)
    if len(folds) < 2:
        return None
    metrics = used_metrics(rows)
    parts = {fold: [row for row in rows if row.fold == fold] for fold in folds}
    lines = [
        Row(f"fold {fold}", (Cell(str(len(cases_of(own)))), *_means(own, metrics)))
        for fold, own in parts.items()
    ]
    totals = tuple(
        _mean_cell(metric, [mean for own in parts.values() if (mean := mean_of(own, metric)) is not None])
        for metric in metrics
    )
    lines.append(Row("over the folds", (Cell(str(len(cases_of(rows)))), *totals), total=True))
    caption = "Of each fold, mean ± standard deviation over its images; last, over the means of the folds."
    return Table(caption, ("fold", "images", *headings(rows, metrics)), tuple(lines))


def image_table(rows: Sequence[Score]) -> Table:
    """One line per image, the lowest Dice first; of several classes their mean and each one's Dice."""
    labels, metrics = labels_of(rows), used_metrics(rows)
    several, groups, folds = len(labels) > 1, any(r.group != r.case for r in rows), len(folds_of(rows)) > 1
    by_case = by_image(rows)
    lines = []
    for (case, fold), own in by_case.items():
        cells = [Cell(own[0].group, own[0].group)] if groups else []
        cells += [Cell(str(fold), str(fold))] if folds else []
        cells += [_cell(metric, _mean(values(own, metric))) for metric in metrics]
        if several:
            dice_of = {row.label: row.dice for row in own}
            cells += [_cell("dice", _finite(dice_of.get(label))) for label in labels]
        lines.append((_mean(values(own, "dice")), Row(case, tuple(cells))))
    lines.sort(key=lambda line: (math.inf if line[0] is None else line[0], line[1].name))
    extra = [*(["group"] if groups else []), *(["fold"] if folds else [])]
    columns = [*headings(rows, metrics), *([f"Dice {label}" for label in labels] if several else [])]
    note = " of the mean over the classes" if several else ""
    caption = f"The lowest Dice{note} first; a click on a heading sorts by that column."
    return Table(caption, ("image", *extra, *columns), tuple(row for _, row in lines))


def verdict(rows: Sequence[Score]) -> str:
    """The result in one line."""
    dice = image_means(rows)
    if not dice:
        return "No image could be scored."
    labels, folds = labels_of(rows), folds_of(rows)
    of = f", mean of {len(labels)} classes" if len(labels) > 1 else ""
    if len(dice) == 1:
        return f"Dice {dice[0]:.3f} on 1 image{of}."
    text = f"Dice {_pair('dice', dice)} over {len(dice)} images{of}"
    if len(folds) > 1:
        parts = [mean_of([r for r in rows if r.fold == fold], "dice") for fold in folds]
        means = [mean for mean in parts if mean is not None]
        text += f"; {_pair('dice', means)} over {len(means)} folds"
    return f"{text}."


def by_image(rows: Iterable[Score]) -> dict[tuple[str, int | None], list[Score]]:
    """The scores of each image, of each fold in which it was scored."""
    images: dict[tuple[str, int | None], list[Score]] = {}
    for row in rows:
        images.setdefault((row.case, row.fold), []).append(row)
    return images


def image_dice(rows: Iterable[Score]) -> dict[tuple[str, int | None], float]:
    """Dice of each image, mean over its classes; what has none is left out."""
    means = {key: _mean(values(own, "dice")) for key, own in by_image(rows).items()}
    return {key: mean for key, mean in means.items() if mean is not None}


def image_means(rows: Iterable[Score]) -> list[float]:
    """Dice of each image, mean over its classes, in order."""
    return list(image_dice(rows).values())


def mean_of(rows: Sequence[Score], metric: str) -> float | None:
    """Mean over images of the mean over each image's classes; ``None`` where there is no number."""
    means = [_mean(values(own, metric)) for own in by_image(rows).values()]
    return _mean([mean for mean in means if mean is not None])


def values(rows: Iterable[Score], metric: str) -> list[float]:
    """The finite numbers of a metric."""
    found = (_finite(getattr(row, metric)) for row in rows)
    return [value for value in found if value is not None]


def used_metrics(rows: Sequence[Score]) -> tuple[str, ...]:
    """The metrics of which there is any number."""
    return tuple(metric for metric in METRICS if values(rows, metric))


def headings(rows: Sequence[Score], metrics: Iterable[str]) -> tuple[str, ...]:
    """Names of the metrics, with the unit of distances."""
    units = ", ".join(dict.fromkeys(_UNITS.get(row.hd95_unit, row.hd95_unit) for row in rows))
    return tuple(f"{METRICS[m]} ({units})" if m == "hd95" else METRICS[m] for m in metrics)


def labels_of(rows: Iterable[Score]) -> tuple[str, ...]:
    """Names of the classes in the order in which they come."""
    return tuple(dict.fromkeys(row.label for row in rows))


def folds_of(rows: Iterable[Score]) -> tuple[int, ...]:
    """Numbers of the folds."""
    return tuple(sorted({row.fold for row in rows if row.fold is not None}))


def cases_of(rows: Iterable[Score]) -> list[tuple[str, int | None]]:
    """The images."""
    return list(by_image(rows))


def count(number: int, word: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def _means(rows: Sequence[Score], metrics: Iterable[str]) -> tuple[Cell, ...]:
    """Mean +- standard deviation over the images, of the mean over each image's classes."""
    cells = []
    for metric in metrics:
        mixed = metric == "hd95" and len({row.hd95_unit for row in rows}) > 1
        means = [] if mixed else [_mean(values(own, metric)) for own in by_image(rows).values()]
        cells.append(_mean_cell(metric, [mean for mean in means if mean is not None]))
    return tuple(cells)


def _mean_cell(metric: str, numbers: Sequence[float]) -> Cell:
    return Cell(_pair(metric, numbers)) if numbers else Cell(NOTHING)


def _pair(metric: str, numbers: Sequence[float]) -> str:
    mean, deviation = mean_and_deviation(numbers)
    if len(numbers) == 1:
        return _number(metric, mean)
    return f"{_number(metric, mean)} ± {_number(metric, deviation)}"


def _cell(metric: str, value: float | None) -> Cell:
    return Cell(NOTHING) if value is None else Cell(_number(metric, value), f"{value:.6g}")


def _number(metric: str, value: float) -> str:
    return f"{value:.2f}" if metric == "hd95" else f"{value:.3f}"


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
