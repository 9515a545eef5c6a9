"""Keeps one picture's worth of each case, packed, so that a report can show any of them at the end."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.layouts import Case
from src_model.data.normalise import to_unit
from src_model.data.read_case import read_case_image
from src_model.data.volumes import read_volume
from src_model.evaluation.judge import Judged
from src_model.evaluation.subjects import Subject
from src_model.inference.prepare import resize_image


@dataclass(frozen=True)
class _Packed:
    shape: tuple[int, ...]
    dtype: str
    content: bytes

    @classmethod
    def of(cls, mask: NDArray[Any]) -> _Packed:
        return cls(mask.shape, mask.dtype.str, zlib.compress(np.ascontiguousarray(mask).tobytes(), 1))

    def open(self) -> NDArray[Any]:
        return np.frombuffer(zlib.decompress(self.content), self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class _Page:
    subject: Subject
    plane: int
    truth: _Packed
    prediction: _Packed


@dataclass(frozen=True, eq=False)
class Picture:
    """One flat image, or the plane of a volume with the most truth."""

    image: NDArray[Any]
    """``(H, W)`` or ``(H, W, C)``."""
    truth: NDArray[Any]
    """``(H, W)``, classes or objects."""
    prediction: NDArray[Any]
    """As ``truth``."""
    plane: int | None
    """Which plane of a volume, counted from 0."""


@dataclass(eq=False)
class Album:
    """Masks of all cases, packed; the images are read again when they are asked for.

    Parameters
    ----------
    side
        Images are shown at this size; ``None`` = as they are stored.
    """

    side: int | None
    _pages: dict[str, _Page] = field(default_factory=dict)

    def keep(self, subject: Subject, judged: Judged) -> None:
        """Remember a case: of a volume the plane with the most truth, else the most prediction."""
        truth, prediction, plane = judged.truth, judged.prediction, 0
        if truth.ndim == 3:
            area = np.count_nonzero(truth, axis=(1, 2))
            area = area if area.any() else np.count_nonzero(prediction, axis=(1, 2))
            plane = int(area.argmax()) if area.any() else len(truth) // 2
            truth, prediction = truth[plane], prediction[plane]
        self._pages[subject.name] = _Page(subject, plane, _Packed.of(truth), _Packed.of(prediction))

    def open(self, name: str) -> Picture:
        """The picture of a case.

        Raises
        ------
        DataError
            When the image cannot be read any more.
        KeyError
            When there is no such case.
        """
        page = self._pages[name]
        truth = page.truth.open()
        image = _image(page.subject, page.plane, truth.shape, self.side)
        plane = None if page.subject.form == "image" else page.plane
        return Picture(image, truth, page.prediction.open(), plane)


def _image(subject: Subject, plane: int, size: tuple[int, ...], side: int | None) -> NDArray[Any]:
    if subject.form == "volume":
        shown: NDArray[Any] = read_volume(subject.cases[0].image).values[0, plane]
        return shown
    case = subject.cases[plane]
    image = _windowed(read_case_image(case), case)
    if image.ndim == 3 and side is None and image.shape[:2] != size:
        image = np.moveaxis(image, 0, -1)
    return image if side is None else _shrunk(image, side)


def _windowed(image: NDArray[Any], case: Case) -> NDArray[Any]:
    """As bytes, where the dataset says what is black and white."""
    return image if case.window is None else (255 * to_unit(image, case.window)).round().astype(np.uint8)


def _shrunk(image: NDArray[Any], side: int) -> NDArray[Any]:
    flat = image[..., None] if image.ndim == 2 else image
    if flat.shape[0] < min(flat.shape[1:]):
        flat = np.moveaxis(flat, 0, -1)
    small = resize_image(flat.astype(np.float32), side)
    return small.round().clip(0, 255).astype(np.uint8) if image.dtype == np.uint8 else small
