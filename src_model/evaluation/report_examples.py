"""Which images the report shows, and how: outlines of the truth and of the prediction, side by side."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from src_model.evaluation.report_tables import Place, image_dice
from src_model.evaluation.table import ScoreTable

Rank = Literal["best", "median", "worst", "only"]

TRUTH_COLOUR, PREDICTION_COLOUR = "#00e5ff", "#ffb000"
"""Outlines of a single class: cyan and amber, which everybody can tell apart and no stain has."""

_SIDE = 512
"""Longest side of a picture in pixels; larger images are made smaller, small ones larger."""
_QUALITY = 88


@dataclass(frozen=True)
class Choice:
    """An image worth a look."""

    rank: Rank
    case: str
    fold: int | None
    dice: float


@dataclass(frozen=True)
class Example:
    """An image with its truth and its prediction, ready to be drawn."""

    case: str
    image: NDArray[np.uint8]
    """``(H, W, 3)``, of a volume the slice with most truth."""
    truth: NDArray[Any]
    """``(H, W)``, whole numbers: classes, or objects of a single class; 0 = background."""
    prediction: NDArray[Any]
    """As ``truth``."""
    dice: float
    rank: Rank = "only"
    fold: int | None = None
    plane: int | None = None
    """Which slice of a volume, counted from 0."""


def choose_examples(table: ScoreTable, each: int = 2) -> tuple[Choice, ...]:
    """The images with the best, the middle and the worst Dice, mean over the classes of each.

    Parameters
    ----------
    table
        Scores; an image that was scored in several folds counts once in each.
    each
        So many of each kind, fewer where there are not enough images; none is chosen twice.

    Returns
    -------
    tuple of Choice
        The best, then the median, then the worst ones; the higher Dice first. Of equal scores the
        first by name comes first.
    """
    dice = image_dice(table)
    ranked = sorted(dice, key=lambda place: (-dice[place], place[0], place[1] or 0))
    count = min(each, max(1, len(ranked) // 3))
    middle = (len(ranked) - count) // 2
    parts: list[tuple[Rank, list[Place]]]
    if len(ranked) < 2:
        parts = [("only", ranked)]
    elif len(ranked) == 2:
        parts = [("best", ranked[:1]), ("worst", ranked[1:])]
    else:
        parts = [
            ("best", ranked[:count]),
            ("median", ranked[middle : middle + count]),
            ("worst", ranked[-count:]),
        ]
    return tuple(Choice(rank, *place, dice[place]) for rank, places in parts for place in places)


def to_example(choice: Choice, image: NDArray[Any], truth: NDArray[Any], prediction: NDArray[Any]) -> Example:
    """Bring an image or a volume into the form that is drawn.

    Parameters
    ----------
    choice
        What it is.
    image
        ``(Y, X)``, ``(Y, X, C)``, ``(Z, Y, X)`` or ``(Z, Y, X, C)``, any type. Bytes are kept; else
        the 1st to the 99th percentile of the finite values become black to white. Of two or more than three
        channels the first counts.
    truth, prediction
        ``(Y, X)`` or ``(Z, Y, X)``, whole numbers.

    Raises
    ------
    ValueError
        When the shapes do not fit.
    """
    if (
        truth.shape != prediction.shape
        or image.shape[: truth.ndim] != truth.shape
        or truth.ndim not in (2, 3)
    ):
        raise ValueError(
            f"The image {choice.case} has shape {image.shape}, its truth {truth.shape} and its prediction "
            f"{prediction.shape}; expected the same axes (Z,) Y, X."
        )
    plane = None
    if truth.ndim == 3:
        area = np.count_nonzero(truth, axis=(1, 2))
        area = area if area.any() else np.count_nonzero(prediction, axis=(1, 2))
        plane = int(area.argmax()) if area.any() else len(truth) // 2
        image, truth, prediction = image[plane], truth[plane], prediction[plane]
    return Example(
        case=choice.case,
        image=_to_rgb(image),
        truth=truth,
        prediction=prediction,
        dice=choice.dice,
        rank=choice.rank,
        fold=choice.fold,
        plane=plane,
    )


def draw_outlines(
    image: NDArray[np.uint8], labels: NDArray[Any], colours: Mapping[int, str], other: str
) -> NDArray[np.uint8]:
    """Draw the edges of labelled regions into an image.

    Parameters
    ----------
    image
        ``(H, W, 3)``.
    labels
        ``(H, W)``; 0 = background. Regions of different numbers that touch are divided by a line.
    colours
        Number of a region -> ``#rrggbb``.
    other
        Colour of the numbers that are not in ``colours``.

    Returns
    -------
    ndarray
        ``(h, w, 3)`` with a longest side of 512 pixels. Lines are two pixels wide, at the region's
        inner side, with a dark seam outside that shows them on any image.
    """
    height, width = _drawn_size(labels.shape)
    picture = Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BICUBIC)
    rows = (np.arange(height) + 0.5) * labels.shape[0] // height
    columns = (np.arange(width) + 0.5) * labels.shape[1] // width
    regions = labels[np.ix_(rows.astype(np.intp), columns.astype(np.intp))]
    drawn = np.array(picture)
    inside = regions > 0
    differs = ndimage.minimum_filter(regions, size=3) != ndimage.maximum_filter(regions, size=3)
    edge = ndimage.binary_dilation(inside & differs, np.ones((3, 3), bool))
    line, seam = edge & inside, edge & ~inside
    drawn[seam] = drawn[seam] // 4
    for number in np.unique(regions[line]):
        drawn[line & (regions == number)] = _rgb(colours.get(int(number), other))
    return drawn


def data_uri(picture: NDArray[np.uint8]) -> str:
    """A picture ``(H, W, 3)`` as a ``data:`` address that a page carries in itself."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="JPEG", quality=_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def distinct(colours: Iterable[str]) -> tuple[str, ...]:
    """The colours, those that repeat replaced by others as long as there are any."""
    free = iter(_MORE)
    used: list[str] = []
    for colour in colours:
        own = colour.lower()
        while own in used:
            own = next(free, "")
        used.append(own or colour.lower())
    return tuple(used)


_MORE = (
    "#ffffff", "#8c564b", "#7df9ff", "#1b7837", "#ffc2d9", "#0b3c8c", "#c8b6ff",
    "#808000", "#9e9e9e", "#7f0000", "#00ff7f", "#ff00ff",
)  # fmt: skip


def _to_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """``(H, W)`` or ``(H, W, C)`` of any type as ``(H, W, 3)`` bytes."""
    planes = image if image.ndim == 3 else image[..., None]
    planes = planes[..., :3] if planes.shape[-1] in (3, 4) else planes[..., :1]
    if planes.dtype != np.uint8:
        values = planes.astype(np.float64)
        finite = values[np.isfinite(values)]
        low, high = np.percentile(finite, [1, 99]) if finite.size else (0.0, 1.0)
        scaled = np.nan_to_num((values - low) / ((high - low) or 1.0), nan=0.0, posinf=1.0, neginf=0.0)
        planes = (255 * scaled.clip(0, 1)).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(planes, (*planes.shape[:2], 3)))


def _drawn_size(shape: Sequence[int]) -> tuple[int, int]:
    scale = _SIDE / max(shape)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
