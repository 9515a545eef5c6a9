"""The same picture on both sides of a split: found by what its pixels are, not by its name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from src_model.data.case import Case
from src_model.data.read_case import read_case_image
from src_model.errors import DataError

_DIGEST_BYTES = 8
"""Sixteen hexadecimal digits: among a million images two agree by chance once in 40 million times."""


class Hashed(Protocol):
    """A case whose pixels were read."""

    @property
    def digest(self) -> str | None:
        """Of :func:`image_digest`."""

    @property
    def place(self) -> str:
        """File, and plane where it is one of several."""


def image_digest(image: NDArray[Any]) -> str | None:
    """A digest of decoded pixels: 16 hexadecimal digits.

    Equal for the same numbers at the same places, whatever the file format, its compression, the
    number of bits, or whether grey is stored once or as three equal colours; an opacity channel does
    not count. Another crop, size, orientation or lossy copy of a picture has another digest.

    Parameters
    ----------
    image
        ``(Y, X)``, ``(Y, X, C)`` or any other shape.

    Returns
    -------
    str or None
        ``None`` for an image of one value, because empty fields are alike without being copies.
    """
    values = np.asarray(image)
    if values.ndim == 3 and values.shape[-1] in (2, 4):
        values = values[..., :-1]
    if values.ndim == 3 and values.shape[-1] == 3 and _is_grey(values):
        values = values[..., :1]
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.size == 0 or (values == values.flat[0]).all():
        return None
    values = np.ascontiguousarray(_smallest(values))
    digest = hashlib.blake2b(f"{values.shape}{values.dtype.str}".encode(), digest_size=_DIGEST_BYTES)
    digest.update(values.data)
    return digest.hexdigest()


def case_digest(case: Case) -> str | None:
    """:func:`image_digest` of a case's image.

    Raises
    ------
    DataError
        When the image cannot be read.
    """
    return image_digest(read_case_image(case))


def refuse_leaks(training: Sequence[Hashed], validation: Sequence[Hashed]) -> None:
    """Refuse to score on a picture that is learned from.

    Raises
    ------
    DataError
        Naming both files.
    """
    seen = {case.digest: case for case in training if case.digest is not None}
    for case in validation:
        twin = None if case.digest is None else seen.get(case.digest)
        if twin is not None:
            raise DataError(
                f"{twin.place} and {case.place} are the same picture, one to learn from and one to score on; "
                "remove one of them, or the score would be of what was learned by heart."
            )


def _is_grey(colours: NDArray[Any]) -> bool:
    first = colours[..., 0]
    return all(np.array_equal(first, colours[..., channel]) for channel in (1, 2))


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in a type that depends on them alone."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        for kind in (np.uint8, np.uint16):
            if low >= 0 and high <= np.iinfo(kind).max:
                return values.astype(kind, copy=False)
        return values.astype(np.int64)
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64, copy=False)
