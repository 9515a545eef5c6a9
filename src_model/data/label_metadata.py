"""How a label pyramid describes itself: OME-Zarr 0.5, and what this program adds."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import CLASS_COLORS, ClassInfo

VERSION = "0.5"
OWN = "utanet"
"""Key of what this program adds to the attributes."""


def make_group(
    path: Path, shape: tuple[int, int], *, dtype: Any, chunk: int, extra: Sequence[str] = ()
) -> tuple[Any, int]:
    """Make the arrays of an empty pyramid, each half of the one before, down to a single chunk.

    Parameters
    ----------
    path
        Folder that does not exist yet.
    shape, dtype, chunk
        Of the finest level (Y, X), of the pixels, and the side of a chunk.
    extra
        Names of uint8 arrays of that shape beside the levels.

    Returns
    -------
    group, levels
        Of zarr, and their number.

    Raises
    ------
    OSError
        When it cannot be made.
    """
    import zarr
    from zarr.codecs import BloscCodec

    # Labels are alike in nearly all of their bits, so sorted by bits they become smaller, and sooner.
    packed = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")
    path.parent.mkdir(parents=True, exist_ok=True)
    group = zarr.create_group(path)
    levels = 1 + max(0, math.ceil(math.log2(max(shape) / chunk)))
    for number in range(levels):
        sides = tuple(-(-side // 2**number) for side in shape)
        group.create_array(str(number), shape=sides, chunks=(chunk, chunk), dtype=dtype, compressors=packed)
    for name in extra:
        group.create_array(name, shape=shape, chunks=(chunk, chunk), dtype=np.uint8, compressors=packed)
    return group, levels


def open_group(path: Path) -> Any:
    """The group of a pyramid that lies there, of zarr."""
    import zarr

    return zarr.open_group(path, mode="r+")


def describe(
    levels: int,
    name: str,
    scale: tuple[float, float],
    pixel_size_um: float | None,
    classes: Sequence[ClassInfo],
    own: Mapping[str, Any],
) -> dict[str, Any]:
    """Attributes of the group of a label pyramid.

    Parameters
    ----------
    levels
        How many there are; each halves the one before.
    name
        Of the picture.
    scale
        Pixels of the slide that one of the finest level covers, rows and columns; the unit where no
        pixel size is known.
    pixel_size_um
        Of the finest level, micrometres.
    classes
        What the values 1, 2, ... stand for; empty where they are numbers of objects.
    own
        What else belongs to it; plain data.
    """
    sides = (pixel_size_um, pixel_size_um) if pixel_size_um is not None else scale
    axis = {"type": "space"} | ({"unit": "micrometer"} if pixel_size_um is not None else {})
    labels: dict[str, Any] = {"version": VERSION}
    if classes:
        numbered = list(enumerate(classes, start=1))
        labels["colors"] = [{"label-value": value, "rgba": _rgba(info.color)} for value, info in numbered]
        labels["properties"] = [{"label-value": value, "class": info.name} for value, info in numbered]
    return {
        "ome": {
            "version": VERSION,
            "multiscales": [
                {
                    "name": name,
                    "type": "most frequent of four",
                    "axes": [{"name": "y", **axis}, {"name": "x", **axis}],
                    "datasets": [_dataset(number, sides) for number in range(levels)],
                }
            ],
            "image-label": labels,
        },
        OWN: dict(own),
    }


def classes_of(described: Mapping[str, Any]) -> tuple[ClassInfo, ...]:
    """The classes that :func:`describe` wrote; those without a colour, as in older masks, get one."""
    labels = described["ome"]["image-label"]
    colors = {entry["label-value"]: entry["rgba"] for entry in labels.get("colors", ()) if "rgba" in entry}
    known = []
    for number, entry in enumerate(labels.get("properties", ())):
        rgba = colors.get(entry["label-value"])
        color = CLASS_COLORS[number % len(CLASS_COLORS)] if rgba is None else f"#{bytes(rgba[:3]).hex()}"
        known.append(ClassInfo(name=entry["class"], color=color))
    return tuple(known)


def pixel_size_of(described: Mapping[str, Any]) -> float | None:
    """Side of a pixel of the finest level, micrometres, as :func:`describe` wrote it."""
    multiscale = described["ome"]["multiscales"][0]
    size = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"][0]
    return float(size) if multiscale["axes"][0].get("unit") == "micrometer" else None


def _rgba(color: str) -> list[int]:
    """``#rrggbb`` as four numbers from 0 to 255, opaque."""
    return [*bytes.fromhex(color.removeprefix("#")), 255]


def _dataset(number: int, sides: Sequence[float]) -> dict[str, Any]:
    """Scale of a level, and where the middle of its first pixel lies."""
    factor = 2**number
    return {
        "path": str(number),
        "coordinateTransformations": [
            {"type": "scale", "scale": [side * factor for side in sides]},
            {"type": "translation", "translation": [side * (factor - 1) / 2 for side in sides]},
        ],
    }


def pack(grid: NDArray[np.bool_]) -> str:
    """A grid of switches as text; mostly short, as neighbours are alike."""
    return base64.b64encode(zlib.compress(np.packbits(grid).tobytes())).decode()


def unpack(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """What :func:`pack` made of a grid of that shape."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    count = int(np.prod(shape))
    return np.unpackbits(bits, count=count).reshape(shape).astype(bool)
