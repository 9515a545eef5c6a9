"""Loss, Dice and IoU of a network on the validation images or volumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from src_model.device import Precision, autocast, is_out_of_memory
from src_model.errors import DeviceError, NonFiniteLossError
from src_model.inference.volume import predict_volume
from src_model.metrics.pixel import dice, iou
from src_model.models.base import SegmentationModel
from src_model.training.frozen import FrozenFeatures
from src_model.training.frozen import forward as run_network
from src_model.training.losses import Objective
from src_model.training.steps import Place, to_batch

if TYPE_CHECKING:
    from src_model.data.sample import Sample


_OVERLAP = 0.25
"""Share of a patch of a volume that its neighbour sees too."""


class Scores(NamedTuple):
    """Means over the validation images; of several domains, means of the domains' means."""

    loss: float
    """Segmentation loss."""
    dice: float
    """Foreground Dice, 0 to 1."""
    iou: float
    """Foreground intersection over union, 0 to 1."""
    domain_dice: dict[str, float] | None = None
    """Of each domain, where there are any."""


def validate(
    model: SegmentationModel,
    images: Iterable[Sample],
    objective: Objective,
    *,
    device: torch.device,
    precision: Precision,
    pixels: int,
    patch_size: Sequence[int],
    between: Callable[[], None],
    place: Place,
    features: FrozenFeatures | None = None,
) -> Scores:
    """Score ``model`` in evaluation mode, in which it is left.

    Parameters
    ----------
    model, objective
        What is scored.
    images
        Whole images; neighbours of equal size are computed together. Or whole volumes, which are
        computed in overlapping patches.
    device, precision
        As in training.
    pixels
        Images that are computed together have at most so many pixels, or are single.
    patch_size
        Voxels (Z, Y, X) of the patches of volumes.
    between
        Called before each forward pass: blocks in a pause, raises ``Stopped``.
    place
        Which step came last, for messages.
    features
        Of a frozen encoder, where they are remembered.

    Raises
    ------
    NonFiniteLossError
        When the loss of an image is not finite.
    DeviceError
        When an image does not fit into memory.
    """
    model.eval()
    scores: list[Scores] = []
    domains: list[str | None] = []
    volumes = model.dims == 3
    place_of_images = torch.device("cpu") if volumes else device  # only patches go to the device

    def forward(images: Tensor, samples: Sequence[Sample]) -> Tensor:
        with torch.inference_mode(), autocast(device, precision):
            if volumes:
                logits = predict_volume(
                    model,
                    images[0].numpy(),
                    domain=samples[0].domain,
                    patch_size=patch_size,
                    overlap=_OVERLAP,
                    between=between,
                )
                return torch.from_numpy(logits)[None]
            return run_network(model, images, samples, features).logits.float()

    for group in _groups(images, 0 if volumes else pixels):
        between()
        result = _score(forward, group, objective, place_of_images)
        if result is None and len(group) > 1:
            singles = [_score(forward, [sample], objective, place_of_images) for sample in group]
            result = None if None in singles else [s for single in singles if single for s in single]
        if result is None:
            size = "x".join(map(str, group[0].mask.shape))
            remedy = "lower volume.patch_size" if volumes else "use data.sampling=resize"
            raise DeviceError(
                f"The memory of the device '{device}' ran out on the validation image {group[0].case_id} of "
                f"{size} pixels; {remedy}, or use another device."
            )
        scores += result
        domains += [sample.domain for sample in group]
    means = _means(scores, domains)
    if not math.isfinite(means.loss):
        raise NonFiniteLossError(
            f"The validation loss became {means.loss} in stage {place.stage}, epoch {place.epoch}, after "
            f"batch {place.step}; the last good checkpoint is kept. Start again with a lower learning rate."
        )
    return means


def _means(scores: Sequence[Scores], domains: Sequence[str | None]) -> Scores:
    """Over the images of each domain, then over the domains."""
    rows = [
        np.mean([score[:3] for score, own in zip(scores, domains, strict=True) if own == name], axis=0)
        for name in dict.fromkeys(domains)
    ]
    loss, dice, iou = np.mean(rows, axis=0).tolist()
    names = [name for name in dict.fromkeys(domains) if name is not None]
    own = {name: float(row[1]) for name, row in zip(names, rows, strict=True)} if names else None
    return Scores(loss, dice, iou, own)


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
    forward: Callable[[Tensor, Sequence[Sample]], Tensor],
    samples: list[Sample],
    objective: Objective,
    device: torch.device,
) -> list[Scores] | None:
    """Scores of each sample; ``None`` when memory ran out."""
    try:
        images, masks = to_batch(samples, device)
        logits = forward(images, samples)
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
    """Foreground Dice and IoU of two masks ``([D,] H, W)``.

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
