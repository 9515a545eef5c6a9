"""Drawn layers as a folder of pairs, and a picture of one pair with its mask's outline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_utanet.adapters.from_layer import ImageRequest
from src_model.errors import DataError
from src_model.files import atomic_path

LEAST_SIDE = 64
"""A single image is cut into parts no smaller than this, so that some can be held out."""

OUTLINE = (255, 209, 59)


@dataclass(frozen=True, eq=False)
class DrawnPair:
    """An image and the labels drawn on it."""

    image: ImageRequest
    labels: NDArray[Any]
    """(planes..., Y, X)"""


@dataclass(frozen=True, eq=False)
class Preview:
    """A picture of one training pair."""

    picture: NDArray[np.uint8]
    """(h, w, 3)"""
    caption: str


def export_pair(pair: DrawnPair, folder: Path) -> int:
    """Write a drawn pair as ``images/`` and ``masks/`` that training can read.

    Planes without any label are left out. A single plane is cut into four parts, of which one
    can be held out for validation.

    Returns
    -------
    int
        Number of pairs written.

    Raises
    ------
    DataError
        When image and labels differ in size, nothing is drawn, or too little is there to hold
        some out.
    """
    pixels = _channels_last(pair.image)
    rows, columns = pair.labels.shape[-2:]
    if pair.labels.shape != pair.image.shape:
        raise DataError(
            f"The labels have shape {pair.labels.shape} but the image {pair.image.name} has "
            f"{pair.image.shape}; draw on a labels layer of the same size."
        )
    labels = pair.labels.reshape(-1, rows, columns)
    pixels = pixels.reshape(-1, rows, columns, pixels.shape[-1])
    drawn = [plane for plane in range(len(labels)) if labels[plane].any()]
    if not drawn:
        raise DataError("The labels layer is empty; paint the objects before training on it.")
    if len(drawn) > 1:
        parts = [(pixels[plane], labels[plane]) for plane in drawn]
    else:
        parts = _quarters(pixels[drawn[0]], labels[drawn[0]])
    for number, (image, mask) in enumerate(parts, start=1):
        _write(folder / "images" / f"part-{number:03}.tif", image if image.shape[-1] > 1 else image[..., 0])
        _write(folder / "masks" / f"part-{number:03}.tif", mask.astype(np.uint16))
    return len(parts)


def draw_preview(image: NDArray[Any], mask: NDArray[Any], caption: str, *, side: int = 300) -> Preview:
    """An image with the outline of its mask, at most ``side`` pixels high or wide.

    Parameters
    ----------
    image
        (Y, X) or (Y, X, C)
    mask
        (Y, X)
    """
    height, width = mask.shape[:2]
    step = max(height, width) / min(side, max(height, width))
    ys = (np.arange(int(height / step)) * step).astype(int)
    xs = (np.arange(int(width / step)) * step).astype(int)
    small = np.asarray(image)[np.ix_(ys, xs)]
    picture = _to_rgb(small)
    labels = np.asarray(mask)[np.ix_(ys, xs)]
    picture[_outline(labels)] = OUTLINE
    return Preview(np.ascontiguousarray(picture), caption)


def _channels_last(image: ImageRequest) -> NDArray[Any]:
    pixels = image.read()
    if "C" not in image.axes:
        return pixels[..., np.newaxis]
    return np.moveaxis(pixels, image.axes.index("C"), -1)


def _quarters(image: NDArray[Any], mask: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    height, width = mask.shape
    if min(height, width) < 2 * LEAST_SIDE:
        raise DataError(
            f"One image of {height}x{width} pixels is too small to train on alone; draw on an image of at "
            f"least {2 * LEAST_SIDE}x{2 * LEAST_SIDE} pixels, or on several planes."
        )
    rows = (slice(0, height // 2), slice(height // 2, height))
    columns = (slice(0, width // 2), slice(width // 2, width))
    return [(image[y, x], mask[y, x]) for y in rows for x in columns]


def _write(path: Path, array: NDArray[Any]) -> None:
    import tifffile

    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, array, compression="zlib")


def _to_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    values = image.astype(np.float32)
    if values.ndim == 2:
        values = values[..., np.newaxis]
    values = np.repeat(values[..., :1], 3, axis=-1) if values.shape[-1] < 3 else values[..., :3]
    values = np.nan_to_num(values)
    if image.dtype != np.uint8:
        low, high = np.percentile(values, (0.5, 99.5))
        values = (values - low) * (255.0 / max(high - low, 1e-12))
    return np.clip(values, 0, 255).astype(np.uint8)


def _outline(labels: NDArray[Any]) -> NDArray[np.bool_]:
    edge = np.zeros(labels.shape, dtype=bool)
    down = labels[1:] != labels[:-1]
    right = labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down & (labels[1:] > 0)
    edge[:-1] |= down & (labels[:-1] > 0)
    edge[:, 1:] |= right & (labels[:, 1:] > 0)
    edge[:, :-1] |= right & (labels[:, :-1] > 0)
    return edge
