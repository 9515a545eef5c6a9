"""Loss, Dice and IoU of a network on the validation images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from src_model.device import Precision, autocast, is_out_of_memory
from src_model.errors import DeviceError, NonFiniteLossError
from src_model.metrics.pixel import dice, iou
from src_model.models.base import SegmentationModel
from src_model.training.losses import Objective
from src_model.training.steps import Place, to_batch

if TYPE_CHECKING:
    from src_model.data.dataset import Sample


class Scores(NamedTuple):
    """Means over the validation images."""

    loss: float
    """Segmentation loss."""
    dice: float
    """Foreground Dice, 0 to 1."""
    iou: float
    """Foreground intersection over union, 0 to 1."""


def validate(
    model: SegmentationModel,
    images: Iterable[Sample],
    objective: Objective,
    *,
    device: torch.device,
    precision: Precision,
    pixels: int,
    between: Callable[[], None],
    place: Place,
) -> Scores:
    """Score ``model`` in evaluation mode, in which it is left.

    Parameters
    ----------
    model, objective
        What is scored.
    images
        Whole images; neighbours of equal size are computed together.
    device, precision
        As in training.
    pixels
        Images that are computed together have at most so many pixels, or are single.
    between
        Called before each forward pass: blocks in a pause, raises ``Stopped``.
    place
        Which step came last, for messages.

    Raises
    ------
    NonFiniteLossError
        When the loss of an image is not finite.
    DeviceError
        When an image does not fit into memory.
    """
    model.eval()
    scores: list[Scores] = []
    for group in _groups(images, pixels):
        between()
        result = _score(model, group, objective, device, precision)
        if result is None and len(group) > 1:
            singles = [_score(model, [sample], objective, device, precision) for sample in group]
            result = None if None in singles else [s for single in singles if single for s in single]
        if result is None:
            size = "x".join(map(str, group[0].mask.shape))
            raise DeviceError(
                f"The memory of the device '{device}' ran out on a validation image of {size} pixels; use "
                "data.sampling=resize or another device."
            )
        scores += result
    means = Scores(*(float(np.mean(values)) for values in zip(*scores, strict=True)))
    if not math.isfinite(means.loss):
        raise NonFiniteLossError(
            f"The validation loss became {means.loss} in stage {place.stage}, epoch {place.epoch}, after "
            f"batch {place.step}; the last good checkpoint is kept. Start again with a lower learning rate."
        )
    return means


def _groups(images: Iterable[Sample], pixels: int) -> Iterator[list[Sample]]:
    """Neighbours of equal size, up to ``pixels`` in total."""
    group: list[Sample] = []
    for sample in images:
        fits = not group or (
            sample.mask.shape == group[0].mask.shape and (len(group) + 1) * sample.mask.size <= pixels
        )
        if not fits:
            yield group
            group = []
        group.append(sample)
    if group:
        yield group


def _score(
    model: SegmentationModel,
    samples: list[Sample],
    objective: Objective,
    device: torch.device,
    precision: Precision,
) -> list[Scores] | None:
    """Scores of each sample; ``None`` when memory ran out."""
    try:
        images, masks = to_batch(samples, device)
        with torch.inference_mode(), autocast(device, precision):
            logits = model(images).logits.float()
        losses = [
            float(objective.segmentation(logits[i : i + 1], masks[i : i + 1])) for i in range(len(samples))
        ]
        several = logits.shape[1] > 1
        found = (logits.argmax(1) if several else logits[:, 0] > 0).to(torch.uint8).cpu().numpy()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
    return [
        Scores(loss, *overlap(mask, sample.mask, several))
        for loss, mask, sample in zip(losses, found, samples, strict=True)
    ]


def overlap(found: np.ndarray, truth: np.ndarray, several: bool) -> tuple[float, float]:
    """Foreground Dice and IoU of two masks ``(H, W)``.

    With several classes: the mean over the foreground classes that either mask holds, 1 when
    both are empty. With one: everything above 0 is foreground.
    """
    if not several:
        return float(dice(found > 0, truth > 0)), float(iou(found > 0, truth > 0))
    classes = [c for c in np.union1d(found, truth) if c > 0]
    if not classes:
        return 1.0, 1.0
    return (
        float(np.mean([dice(found == c, truth == c) for c in classes])),
        float(np.mean([iou(found == c, truth == c) for c in classes])),
    )
