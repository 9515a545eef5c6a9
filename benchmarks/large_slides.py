"""Writes large slides to measure with: tiled pyramids with JPEG tiles, as scanners leave them.

``tissue`` has blobs of stained tissue on blank glass, 40 % of the area unless told otherwise.
``empty`` is as large as the largest slides and almost blank: all its blank tiles are one and the same
piece of the file, so that it is small and quick to write. ``folder`` puts the images of a folder side by
side, and their masks into a second file, ``<stem>_labels.tif``. All have an RGB picture of 0.5
micrometres a pixel and levels that halve down to about 1,024 pixels. Memory stays at a quarter of the tissue.

    python benchmarks/large_slides.py tissue SLIDE.tif [--side 16384] [--share 0.4] [--tile 256]
    python benchmarks/large_slides.py empty SLIDE.tif [--side 100000] [--share 0.01] [--tile 512]
    python benchmarks/large_slides.py folder SLIDE.tif --images FOLDER [--most 12]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from slide_pictures import BLANK, Colours, Mosaic, Picture, Tissue, read_folder, stitch_labels

QUALITY = 80
COARSEST = 1024
PIXEL_UM = 0.5

Squares = dict[tuple[int, int], Colours]


def write_slide(path: Path, picture: Picture, *, tile: int = 256, shared: bool = False) -> Path:
    """Write a picture as a pyramid.

    Every level is written a tile at a time. What is not blank is halved as it passes and kept for the
    next level, as a tile is the mean of four of the level before.

    Parameters
    ----------
    path
        Appears when it is complete.
    picture
        What the finest level shows.
    tile
        Side of the tiles, pixels; a multiple of 32.
    shared
        Whether all blank tiles of the file are one piece of it: they are left out at first, and then
        each of them is made to point to one JPEG at the end of the file.
    """
    blank = encode(np.full((tile, tile, 3), BLANK, np.uint8))
    left_out = b"" if shared else blank
    part = path.with_name(path.name + ".part")
    with tifffile.TiffWriter(part, bigtiff=True) as file:
        size, finer, level = picture.size, Squares(), 0
        while True:
            halves = Squares()
            tiles = _tiles(picture if level == 0 else finer, size, tile, halves)
            file.write(
                (encode(square) if square is not None else left_out for square in tiles),
                shape=(*size, 3), dtype=np.uint8, tile=(tile, tile), photometric="ycbcr", subsampling=(2, 2),
                compression="jpeg", subfiletype=1 if level else 0, metadata=None, software=False,
                resolution=(1e4 / PIXEL_UM / 2**level,) * 2, resolutionunit="centimeter",
            )  # fmt: skip
            if max(size) <= COARSEST:
                break
            size, finer, level = (-(-size[0] // 2), -(-size[1] // 2)), halves, level + 1
    if shared:
        share_blank(part, blank)
    return part.replace(path)


def _tiles(
    source: Picture | Squares, size: tuple[int, int], tile: int, halves: Squares
) -> Iterator[Colours | None]:
    """The tiles of a level, row by row, ``None`` for blank ones; leaves them halved in ``halves``.

    A level below the finest is put together from the halved tiles of the one before, four to a tile.
    """
    for row in range(-(-size[0] // tile)):
        for column in range(-(-size[1] // tile)):
            if isinstance(source, dict):
                square = _joined(source, row, column, tile)
            else:
                square = source.square(row * tile, column * tile, tile)
            if square is not None:
                halves[row, column] = halved(square)
            yield square


def _joined(halves: Squares, row: int, column: int, tile: int) -> Colours | None:
    """A tile of a coarser level; takes its four parts out of ``halves``."""
    half, out = tile // 2, None
    for down in (0, 1):
        for across in (0, 1):
            quarter = halves.pop((2 * row + down, 2 * column + across), None)
            if quarter is not None:
                out = np.full((tile, tile, 3), BLANK, np.uint8) if out is None else out
                out[down * half :, across * half :][:half, :half] = quarter
    return out


def halved(square: Colours) -> Colours:
    """``(Y, X, 3)`` to half the size, each pixel the rounded mean of four."""
    rows = square[::2].astype(np.uint16) + square[1::2]
    return ((rows[:, ::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)


def encode(square: Colours) -> bytes:
    """A whole JPEG with colours at half the resolution."""
    data: bytes = imagecodecs.jpeg8_encode(
        square, level=QUALITY, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
    )
    return data


def share_blank(path: Path, blank: bytes) -> None:
    """Let every tile of a TIFF that has no bytes be one JPEG, appended to the file."""
    with tifffile.TiffFile(path) as file:
        places = [[_place(file, page, tag) for tag in (324, 325)] for page in file.pages]
    with path.open("r+b") as raw:
        where = raw.seek(0, 2)
        raw.write(blank)
        for (offsets_at, offset_type, count), (counts_at, count_type, _) in places:
            if len(blank) > np.iinfo(count_type).max:
                raise ValueError(f"{path} keeps sizes of tiles as {count_type}, too small for {len(blank)}.")
            offsets, counts = (
                _read(raw, at, kind, count)
                for at, kind in ((offsets_at, offset_type), (counts_at, count_type))
            )
            missing = counts == 0
            offsets[missing], counts[missing] = where, len(blank)
            for at, values in ((offsets_at, offsets), (counts_at, counts)):
                raw.seek(at)
                raw.write(values.tobytes())


def _place(file: Any, page: Any, tag: int) -> tuple[int, np.dtype[Any], int]:
    """Where the values of a tag lie in the file, their type and number."""
    found = page.tags[tag]
    size = {3: 2, 4: 4, 16: 8}[int(found.dtype)]
    return found.valueoffset, np.dtype(f"{file.byteorder}u{size}"), found.count


def _read(raw: Any, at: int, kind: np.dtype[Any], count: int) -> Any:
    raw.seek(at)
    return np.frombuffer(raw.read(count * kind.itemsize), kind).copy()


def describe(path: Path) -> dict[str, Any]:
    """Size, levels, and how many of the finest tiles share their bytes with another."""
    with tifffile.TiffFile(path) as file:
        levels = [level.shape[:2] for level in file.series[0].levels]
        offsets = np.asarray(file.pages.first.dataoffsets)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "levels": levels,
        "tiles": len(offsets),
        "sharing": len(offsets) - len(np.unique(offsets)),
    }


def write_labels(path: Path, labels: Any) -> Path:
    """Numbered objects ``(Y, X)`` as a compressed TIFF."""
    part = path.with_name(path.name + ".part")
    tifffile.imwrite(part, labels, compression="zlib", tile=(256, 256), metadata=None)
    return part.replace(path)


def make(given: argparse.Namespace) -> Path:
    """Write what the command line asks for."""
    path: Path = given.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if given.kind == "folder":
        images, labels = read_folder(given.images, given.most)
        mosaic = Mosaic(images)
        write_labels(path.with_name(f"{path.stem}_labels.tif"), stitch_labels(labels, mosaic))
        return write_slide(path, mosaic, tile=given.tile)
    picture = Tissue(given.side, given.share, given.seed)
    return write_slide(path, picture, tile=given.tile, shared=given.kind == "empty")


def main() -> None:
    """Write a slide and say what it is, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, side, share, tile in (
        ("tissue", 16384, 0.4, 256), ("empty", 100_000, 0.01, 512), ("folder", 0, 0.0, 256),
    ):  # fmt: skip
        own = kinds.add_parser(kind)
        own.add_argument("path", type=Path)
        own.add_argument("--tile", type=int, default=tile, help="side of a tile, pixels")
        if kind == "folder":
            own.add_argument("--images", type=Path, required=True, help="folder with images and labels")
            own.add_argument("--most", type=int, help="only so many images")
        else:
            own.add_argument("--side", type=int, default=side, help="height and width, pixels")
            own.add_argument("--share", type=float, default=share, help="of the area that is tissue")
            own.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    begun = time.perf_counter()
    described = describe(make(given))
    print(json.dumps({**described, "seconds": round(time.perf_counter() - begun, 1)}))


if __name__ == "__main__":
    main()
