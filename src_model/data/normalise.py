"""From stored intensities to what a network takes: 0 to 1, matching channels, standardised."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import Normalisation
from src_model.data.image_io import finite_range
from src_model.errors import ImageError

_LOW_PERCENTILE, _HIGH_PERCENTILE = 0.1, 99.9
_MOST_SAMPLES = 4_000_000
_SMALLEST_STD = 1e-3
_FLOAT32_SAFE = 1e37
_LUMINANCE = np.array([0.2125, 0.7154, 0.0721], dtype=np.float32)

_LEAST_RANGE_8_BIT = 16.0
"""8-bit images are not stretched beyond this range: below it there is little but noise."""

Limits = tuple[float, float]


def unit_limits(image: NDArray[Any], *, stretch: bool = False) -> Limits:
    """The intensities that become 0 and 1.

    uint8 images: 0 and 255, unless ``stretch``. All others: the 0.1 and 99.9 percentile of the
    whole image (of a regular sample of at most four million values), because cameras rarely use
    the full range of 16 bits. Where these are equal, the extremes.

    Parameters
    ----------
    image
        Any shape and real type.
    stretch
        Give uint8 images their percentiles too, at least 16 grey levels apart.
    """
    if image.dtype == np.uint8 and stretch:
        low, high = _percentiles(image) or (0.0, 255.0)
        return low, max(high, low + _LEAST_RANGE_8_BIT)
    if image.dtype == np.uint8:
        return 0.0, 255.0
    if image.dtype == np.bool_:
        return 0.0, 1.0
    robust = _percentiles(image)
    if robust is not None and robust[0] < robust[1]:
        return robust
    lowest, highest = finite_range(image)
    if lowest is None or highest is None:
        return 0.0, 1.0
    return lowest, highest if lowest < highest else lowest + max(1.0, abs(lowest))


def _percentiles(image: NDArray[Any]) -> Limits | None:
    values = image.reshape(-1)[:: max(image.size // _MOST_SAMPLES, 1)]
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        return None
    exact = values.astype(np.float64)  # half floats and 64 bit integers overflow between percentiles
    low, high = np.percentile(exact, (_LOW_PERCENTILE, _HIGH_PERCENTILE))
    return float(low), float(high)


def to_unit(image: NDArray[Any], limits: Limits | None = None) -> NDArray[np.float32]:
    """Scale intensities to 0..1, clipped; NaN becomes 0.

    Parameters
    ----------
    image
        Any shape and real type.
    limits
        What becomes 0 and 1; ``None`` = :func:`unit_limits` of this image. Give those of the whole
        image when only a part of it is passed.
    """
    low, high = unit_limits(image) if limits is None else limits
    unit: NDArray[Any] = image.astype(np.float64 if _is_wide(image.dtype, low, high) else np.float32)
    unit -= low
    unit /= high - low
    if image.dtype.kind == "f":
        np.nan_to_num(unit, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    return np.clip(unit, 0.0, 1.0, out=unit).astype(np.float32, copy=False)


def _is_wide(dtype: np.dtype[Any], low: float, high: float) -> bool:
    """Whether float32 would lose differences between the values, or overflow."""
    return (
        dtype.itemsize > 4 or (dtype.kind in "iu" and dtype.itemsize == 4) or max(-low, high) > _FLOAT32_SAFE
    )


def match_channels(image: NDArray[np.float32], in_channels: int) -> NDArray[np.float32]:
    """Fit the channels of an image to those of a network where that is unambiguous.

    Grey is repeated for RGB, alpha is dropped, RGB becomes luminance for a grey network.

    Parameters
    ----------
    image
        ``(..., Y, X, C)``.
    in_channels
        Channels that the network takes.

    Returns
    -------
    ndarray
        ``(..., Y, X, in_channels)``.

    Raises
    ------
    ImageError
        When the numbers do not fit.
    """
    channels = image.shape[-1]
    if channels == in_channels:
        return image
    if channels == 4 and in_channels == 3:
        return image[..., :3]
    if channels == 1 and in_channels == 3:
        return np.repeat(image, 3, axis=-1)
    if channels in (3, 4) and in_channels == 1:
        return image[..., :3] @ _LUMINANCE[:, np.newaxis]
    raise ImageError(
        f"The image has {channels} channels but the model expects {in_channels}; choose the channels that "
        "it was trained on, or train a model on this kind of image."
    )


def standardise(unit: NDArray[np.float32], normalisation: Normalisation) -> NDArray[np.float32]:
    """``(unit - mean) / std`` for each channel of ``(..., Y, X, C)``.

    Raises
    ------
    ImageError
        When the number of channels differs from that of the normalisation (one value serves all).
    """
    mean = np.asarray(normalisation.mean, dtype=np.float32)
    std = np.asarray(normalisation.std, dtype=np.float32)
    if len(mean) not in (1, unit.shape[-1]):
        raise ImageError(
            f"The image has {unit.shape[-1]} channels but the model's normalisation has {len(mean)}; use a "
            "checkpoint of a model for such images."
        )
    return (unit - mean) / std


def measure(images: Iterable[NDArray[np.float32]]) -> Normalisation:
    """Mean and standard deviation of each channel over a set of images.

    Parameters
    ----------
    images
        Each ``(Y, X, C)``, scaled to 0..1, all with the same C.
    """
    count = 0
    total: NDArray[np.float64] | float = 0.0
    squares: NDArray[np.float64] | float = 0.0
    for image in images:
        values = image.reshape(-1, image.shape[-1]).astype(np.float64)
        count += len(values)
        total = total + values.sum(0)
        squares = squares + (values**2).sum(0)
    if not count:
        return Normalisation()
    mean = np.atleast_1d(total / count)
    std = np.sqrt(np.maximum(np.atleast_1d(squares / count) - mean**2, _SMALLEST_STD**2))
    return Normalisation(mean=tuple(map(float, mean)), std=tuple(map(float, std)))
