"""The scores of one image or volume: each metric, for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from src_model.metrics.instances import object_dice, object_f1
from src_model.metrics.pixel import dice, iou, precision, recall
from src_model.metrics.surface import hd95

FOREGROUND = "foreground"
"""Label of the only class of a network that does not name it."""

Unit = Literal["px", "um", "mm"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One class of one image or volume."""

    case: str
    """Of which image or volume."""
    group: str
    """Of which patient or slide."""
    label: str
    """Name of the class; ``foreground`` where a single class has none."""
    dice: float
    """0 to 1."""
    iou: float
    """0 to 1."""
    precision: float
    """0 to 1."""
    recall: float
    """0 to 1."""
    hd95: float
    """95 % Hausdorff distance, in ``hd95_unit``."""
    hd95_unit: str
    """``px``, ``um`` or ``mm``."""
    object_f1: float | None = None
    """0 to 1; ``None`` where the truth has no objects told apart."""
    object_dice: float | None = None
    """0 to 1; ``None`` where the truth has no objects told apart."""
    fold: int | None = None
    """Of a cross-validation, counted from 1; ``None`` = there is none."""


@dataclass(frozen=True, eq=False)
class Objects:
    """Numbered objects of the prediction and of the truth, 0 = background; both of one shape."""

    predicted: NDArray[Any]
    true: NDArray[Any]


def score_masks(
    case: str,
    group: str,
    prediction: NDArray[Any],
    truth: NDArray[Any],
    *,
    labels: Sequence[str],
    spacing: Sequence[float] | None = None,
    unit: Unit = "px",
    objects: Objects | None = None,
) -> tuple[Score, ...]:
    """Compare a predicted mask with the true one, class by class.

    Every case gets one score for every class, so that two models evaluated on the same cases can
    be compared pair by pair. A class that neither mask holds was rightly not found: Dice, IoU,
    precision and recall are 1, HD95 is 0. A class that only one of them holds scores 0 on all four,
    also where the truth is the empty one, and HD95 is the diagonal of the image or volume, its largest
    possible value. (The evaluation code that several papers share counts an organ that was invented
    as Dice 1; here it counts as 0.)

    Parameters
    ----------
    case, group
        Names of the image and of its patient or slide.
    prediction, truth
        ``(H, W)`` or ``(D, H, W)``, class numbers: ``labels[0]`` is class 1, and so on, 0 is
        background. With a single label every value but 0 is foreground.
    labels
        Names of the foreground classes.
    spacing
        Distance of neighbouring pixels along each axis, in ``unit``; ``None`` = 1.
    unit
        Of ``spacing``, and so of HD95.
    objects
        Objects of both masks, where the truth tells them apart; with a single label only.

    Returns
    -------
    tuple of Score
        One for each label, in their order.

    Raises
    ------
    ValueError
        When the shapes differ, the spacing does not fit them, or objects are given for several
        labels.
    """
    if objects is not None and len(labels) != 1:
        raise ValueError(f"Objects can be scored for a single class only but there are {len(labels)}.")
    counted = None if objects is None else _count(objects)
    scores = []
    for number, label in enumerate(labels, start=1):
        found = prediction != 0 if len(labels) == 1 else prediction == number
        true = truth != 0 if len(labels) == 1 else truth == number
        score = Score(
            case=case,
            group=group,
            label=label,
            dice=float(dice(found, true)),
            iou=float(iou(found, true)),
            precision=float(precision(found, true)),
            recall=float(recall(found, true)),
            hd95=float(hd95(np.asarray(found), np.asarray(true), spacing)),
            hd95_unit=unit,
            object_f1=counted and counted[0],
            object_dice=counted and counted[1],
        )
        scores.append(score)
    return tuple(scores)


def _count(objects: Objects) -> tuple[float, float]:
    """Object F1 and object Dice."""
    return object_f1(objects.predicted, objects.true), object_dice(objects.predicted, objects.true)
