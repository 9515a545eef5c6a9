"""Segments one image or volume exactly as ``segment`` does, and scores it against its mask."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.layouts import Case
from src_model.data.leakage import image_digest
from src_model.data.volumes import is_volume_path, read_mask_volume, same_grid
from src_model.errors import DataError
from src_model.evaluation.plan import Plan
from src_model.evaluation.scores import Objects, Score, Unit, score_masks
from src_model.evaluation.subjects import Pair, Subject, check_classes, read_pair
from src_model.events import Control, Event, ImageSegmented, TileFinished, Warned
from src_model.inference.image_run import ImageRun
from src_model.inference.network import Network
from src_model.inference.objects import to_objects
from src_model.inference.request import Request
from src_model.inference.sources import Source
from src_model.inference.volume_run import VolumeRun

Spacing = tuple[tuple[float, ...] | None, Unit]
Kept = tuple[type[Event], ...]


@dataclass(frozen=True, eq=False)
class Judged:
    """One image or volume, segmented and scored."""

    scores: tuple[Score, ...]
    prediction: NDArray[Any]
    """``(H, W)`` or ``(D, H, W)``: classes, or objects where the truth has objects."""
    truth: NDArray[Any]
    """As ``prediction``."""
    digests: tuple[str, ...]
    """Of the image, or of each plane; see :func:`src_model.data.leakage.image_digest`."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Scores one subject after the other.

    The iterators of its methods yield progress and notes, and return the result. They raise ``DataError``
    or ``ImageError`` where a subject cannot be used, and ``Stopped`` where that was asked for.
    """

    plan: Plan
    network: Network
    request: Request
    control: Control

    def judge(self, subject: Subject) -> Generator[Event, None, Judged]:
        """Segment and score a subject."""
        self.control.check()
        match subject.form:
            case "image":
                return (yield from self._image(subject))
            case "planes":
                return (yield from self._planes(subject))
            case "volume":
                return (yield from self._volume(subject))

    def _image(self, subject: Subject) -> Generator[Event, None, Judged]:
        case = subject.cases[0]
        pair = read_pair(case)
        prediction = yield from self._segment(case, pair, (TileFinished, Warned))
        truth = self._truth(case, pair)
        size = self.plan.pixel_size_um
        spacing: Spacing = (None, "px") if size is None else ((size, size), "um")
        digest = image_digest(pair.image)
        return self._score(subject, prediction, truth, spacing, [digest])

    def _planes(self, subject: Subject) -> Generator[Event, None, Judged]:
        begun = time.perf_counter()
        total = len(subject.cases)
        predictions, truths, digests = [], [], []
        for done, case in enumerate(subject.cases, start=1):
            pair = read_pair(case)
            predictions.append((yield from self._segment(case, pair, (Warned,))))
            truths.append(self._truth(case, pair))
            digests.append(image_digest(pair.image))
            left = (time.perf_counter() - begun) / done * (total - done)
            yield TileFinished(source=subject.name, done=done, total=total, seconds_left=left)
        try:
            prediction, truth = np.stack(predictions), np.stack(truths)
        except ValueError:
            raise DataError(
                f"The planes of {subject.name} differ in size and make no volume; export them at one size."
            ) from None
        spacing = self._spacing_of_planes(subject)
        return self._score(subject, prediction, truth, spacing, digests)

    def _volume(self, subject: Subject) -> Generator[Event, None, Judged]:
        case = subject.cases[0]
        truth = read_mask_volume(case.mask)
        source = Source(str(case.image), subject.name, path=case.image)
        run = VolumeRun(source, None, self.network, self.request, self.control)
        if run.file is None:
            raise DataError(f"{case.image} is not a NIfTI file; expected .nii or .nii.gz.")
        if not same_grid(run.file, truth):
            raise DataError(
                f"The mask {case.mask} does not lie on the voxels of {case.image}: sizes "
                f"{truth.shape} and {run.file.shape}, or the affines, differ; resample it to them."
            )
        mask = truth.values[0]
        if int(mask.min(initial=0)) < 0:
            raise DataError(f"The mask {case.mask} holds {int(mask.min())}; expected whole numbers from 0.")
        check_classes(mask, self.plan.num_classes, case)
        prediction = yield from _result(run.events(), (TileFinished, Warned))
        digest = image_digest(run.file.values)
        return self._score(subject, prediction, mask, (run.file.spacing_mm, "mm"), [digest])

    def _segment(self, case: Case, pair: Pair, keep: Kept) -> Generator[Event, None, NDArray[Any]]:
        """Classes (H, W) of a flat image; none where it has no contrast."""
        if pair.is_blank:
            side = self.plan.side
            return np.zeros(pair.mask.shape if side is None else (side, side), np.uint8)
        source = Source(case.place, case.id, array=pair.image, limits=case.window)
        request = replace(self.request, axes=pair.axes)
        run = ImageRun(source, None, self.network, request, self.control)
        return (yield from _result(run.events(), keep))

    def _truth(self, case: Case, pair: Pair) -> NDArray[Any]:
        check_classes(pair.mask, self.plan.num_classes, case)
        return pair.mask if self.plan.side is None else resize_mask(pair.mask, self.plan.side)

    def _spacing_of_planes(self, subject: Subject) -> Spacing:
        """Known of a volume in a NIfTI file only, and only as it is stored."""
        mask = subject.cases[0].mask
        if self.plan.side is None and is_volume_path(mask):
            return read_mask_volume(mask).spacing_mm, "mm"
        return None, "px"

    def _score(
        self,
        subject: Subject,
        prediction: NDArray[Any],
        truth: NDArray[Any],
        spacing: Spacing,
        digests: list[str | None],
    ) -> Judged:
        self.control.check()
        objects = None
        if self.plan.objects and subject.form == "image":
            objects = Objects(predicted=to_objects(prediction), true=truth)
        scores = score_masks(
            subject.name,
            subject.group,
            prediction,
            truth,
            labels=self.plan.labels,
            spacing=spacing[0],
            unit=spacing[1],
            objects=objects,
        )
        shown = prediction if objects is None else objects.predicted
        return Judged(scores, shown, truth, tuple(digest for digest in digests if digest is not None))


def _result(events: Iterable[Event], keep: Kept) -> Generator[Event, None, NDArray[Any]]:
    """The mask that a segmentation ends with; only some of its events are passed on."""
    mask: NDArray[Any] | None = None
    for event in events:
        if isinstance(event, ImageSegmented):
            mask = event.mask
        elif isinstance(event, keep):
            yield event
    if mask is None:
        raise RuntimeError("A segmentation without a target ended without a mask.")
    return mask


def resize_mask(mask: NDArray[Any], side: int) -> NDArray[Any]:
    """A mask (Y, X) at ``side`` x ``side``, each value that of the nearest pixel, as in training."""
    import torch
    from torch.nn.functional import interpolate

    def nearest(length: int) -> NDArray[np.intp]:
        places = torch.arange(length, dtype=torch.float32)[None, None]
        return interpolate(places, side, mode="nearest-exact")[0, 0].numpy().astype(np.intp)

    return mask[np.ix_(nearest(mask.shape[0]), nearest(mask.shape[1]))]
