"""Writes the results of one image or volume: masks and probabilities, each complete or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from src_model.data.image_io import write_mask
from src_model.data.volumes import Volume, write_mask_volume, write_volume
from src_model.files import atomic_path
from src_model.inference.sources import probability_path


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
