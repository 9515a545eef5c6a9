"""Writes the results of one image or volume: masks and probabilities, each complete or not at all."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from src_model.data.image_io import write_mask
from src_model.data.volumes import Volume, write_mask_volume, write_volume
from src_model.events import ImageSegmented, TileFinished
from src_model.files import atomic_path
from src_model.inference.sources import Source, probability_path


def progress(source: Source, done: int, total: int, begun: float) -> TileFinished:
    """``done`` of ``total`` pieces of an image, begun at that ``time.perf_counter()``, are segmented."""
    elapsed = time.perf_counter() - begun
    return TileFinished(
        source=source.name, done=done, total=total, seconds_left=elapsed / done * (total - done)
    )


def conclude(
    source: Source,
    target: Path | None,
    mask: NDArray[Any],
    probability: NDArray[np.float32] | None,
    *,
    foreground: float,
    objects: int | None,
    begun: float,
) -> ImageSegmented:
    """The last event of an image; it carries the results unless they lie in the file ``target``.

    ``begun`` is the ``time.perf_counter()`` at which the work began.
    """
    in_memory = target is None
    return ImageSegmented(
        source=source.name,
        mask=mask if in_memory else None,
        probability=probability if in_memory else None,
        path=target,
        foreground=foreground,
        objects=objects,
        seconds=time.perf_counter() - begun,
    )


def write_results(mask_path: Path, mask: NDArray[Any], probability: NDArray[np.float32] | None) -> None:
    """Write ``mask`` (..., H, W) and, beside it, ``probability`` (K, ..., H, W).

    Raises
    ------
    OutputError
        When the folder is not writable or full.
    """
    if probability is not None:
        write_float_image(probability_path(mask_path), probability)
    write_mask(mask_path, mask)


def write_volume_results(
    mask_path: Path, mask: NDArray[Any], probability: NDArray[np.float32] | None, like: Volume
) -> None:
    """Write ``mask`` (Z, Y, X) and, beside it, ``probability`` (K, Z, Y, X) on the grid of ``like``.

    Raises
    ------
    OutputError
        When the folder is not writable or full.
    """
    if probability is not None:
        write_volume(probability_path(mask_path), probability, like)
    write_mask_volume(mask_path, mask, like)


def write_float_image(path: Path, values: NDArray[np.float32]) -> Path:
    """Write float32 planes (..., H, W) as a compressed TIFF.

    Raises
    ------
    OutputError
        When the folder is not writable or full.
    """
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary, values, photometric="minisblack", compression="zlib", predictor=True, metadata=None
        )
    return path
