"""Intensities of volumes, made comparable: each channel stretched to 0..1, then standardised."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import Normalisation
from src_model.errors import ImageError

PERCENTILES = (0.1, 99.9)
"""Of a channel's finite voxels; mapped to 0 and 1, values beyond are cut."""


def volume_to_unit(values: NDArray[Any]) -> NDArray[np.float32]:
    """Stretch each channel of ``(C, Z, Y, X)`` to 0..1 by its own percentiles.

    Voxels that are NaN or infinite become 0, a constant channel becomes 0 everywhere.

    Raises
    ------
    ImageError
        When there is no voxel, or a channel has no finite one.
    """
    if values.ndim != 4 or values.size == 0:
        raise ImageError(f"Expected a volume (C, Z, Y, X) with voxels but got shape {values.shape}.")
    result = np.zeros(values.shape, np.float32)
    for number, channel in enumerate(values):
        real = channel.astype(np.float64)
        finite = np.isfinite(real)
        if not finite.any():
            raise ImageError(f"Channel {number} of the volume has no finite voxel; check the file.")
        low, high = np.percentile(real[finite], PERCENTILES)
        if high > low:
            stretched = np.clip((np.where(finite, real, low) - low) / (high - low), 0.0, 1.0)
            result[number] = stretched
    return result


def measure_volumes(units: Iterable[NDArray[np.float32]]) -> Normalisation:
    """Mean and standard deviation of each channel over all voxels of volumes of 0..1.

    Raises
    ------
    ImageError
        When there is none, or the volumes differ in their channels.
    """
    count, total, squares = 0, np.zeros(0), np.zeros(0)
    for unit in units:
        flat = unit.reshape(len(unit), -1).astype(np.float64)
        if count and len(flat) != len(total):
            raise ImageError(f"A volume has {len(flat)} channels but the ones before have {len(total)}.")
        total = flat.sum(1) + (total if count else 0)
        squares = (flat**2).sum(1) + (squares if count else 0)
        count += flat.shape[1]
    if not count:
        raise ImageError("Expected at least one volume to measure but got none.")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    return Normalisation(
        mean=tuple(float(value) for value in mean),
        std=tuple(float(value) if value > 1e-6 else 1.0 for value in std),
    )


def standardise_volume(unit: NDArray[np.float32], normalisation: Normalisation) -> NDArray[np.float32]:
    """Subtract the mean and divide by the standard deviation, channel by channel.

    Raises
    ------
    ImageError
        When the normalisation is of another number of channels (one value serves all).
    """
    mean, std = (np.asarray(values, np.float32) for values in (normalisation.mean, normalisation.std))
    if len(mean) not in (1, len(unit)) or len(std) not in (1, len(unit)):
        raise ImageError(
            f"The volume has {len(unit)} channels but the normalisation has {max(len(mean), len(std))}."
        )
    result: NDArray[np.float32] = (unit - mean[:, None, None, None]) / std[:, None, None, None]
    return result
