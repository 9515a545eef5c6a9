"""Seams between tiles: routing and the other global pools per tile against held for the slide.

Each mosaic is cut into tiles as the engine does it. Where two neighbours overlap, their masks are
compared in the half of the overlap that is nearest to their common border, and the stitched mask is
compared with the truth. The pools are

- ``tile``: of each tile by itself,
- ``overview``: held at those of the mosaic shrunk four times,
- ``patches``: held at the mean over 16 patches of 256 pixels spread over the mosaic,
- ``whole``: held at those of the mosaic in one piece, which a slide is too large for.

    python benchmarks/seams.py MODEL.safetensors --data FOLDER [--tile 512] [--side 1536] [--mosaics 2]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from mosaics import Mosaic, Tester, calm, dice
from numpy.typing import NDArray

from src_model.inference.global_pools import GlobalPools
from src_model.inference.prepare import resize_image
from src_model.tiling.plan import Box, Tile, plan_tiles

WAYS = ("tile", "overview", "patches", "whole")
OVERVIEW = 4
PATCH, PATCHES_A_SIDE = 256, 4

Masks = dict[Tile, NDArray[np.uint8]]
"""For each tile the mask of all that it reads."""


def scout(tester: Tester, pools: GlobalPools, mosaic: Mosaic, way: str) -> None:
    """Record the pools in one of the ways."""
    pools.clear()
    with pools.recording():
        if way == "whole":
            tester.logits(mosaic.part(mosaic.whole))
        elif way == "overview":
            small = resize_image(np.moveaxis(mosaic.image, 0, -1), mosaic.whole.height // OVERVIEW)
            tester.logits(np.moveaxis(small, -1, 0)[np.newaxis])
        else:
            places = np.linspace(0, mosaic.whole.height - PATCH, PATCHES_A_SIDE).astype(int)
            for y in places:
                for x in places:
                    tester.logits(mosaic.part(Box(int(y), int(x), PATCH, PATCH)))


def overlaps(masks: Masks, halo: int) -> Iterator[NDArray[np.bool_]]:
    """For each two neighbours, where they differ within half a halo of their common border."""
    for first in masks:
        for second in masks:
            a, b = first.write, second.write
            if (a.x_end, a.y) == (b.x, b.y):
                near = Box(a.y, a.x_end - halo // 2, a.height, halo)
            elif (a.y_end, a.x) == (b.y, b.x):
                near = Box(a.y_end - halo // 2, a.x, halo, a.width)
            else:
                continue
            one, other = (
                masks[tile][near.moved(-tile.read.y, -tile.read.x).slices] for tile in (first, second)
            )
            yield one != other


def stitched(masks: Masks, mosaic: Mosaic) -> NDArray[np.uint8]:
    """The kept parts of all tiles."""
    out = np.zeros(mosaic.truth.shape, np.uint8)
    for tile, mask in masks.items():
        out[tile.write.slices] = mask[tile.keep.slices]
    return out


def measure(checkpoint: Path, folder: Path, *, tile: int, side: int, mosaics: int, halo: int | None) -> None:
    """Print a line for each mosaic and way, and one for each way."""
    tester = Tester(checkpoint)
    pools = GlobalPools(tester.model)
    halo = tester.model.halo if halo is None else halo
    plan = plan_tiles(side, side, tile=tile, halo=halo, multiple=tester.model.required_multiple)
    rows: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for mosaic in tester.mosaics(folder, side, mosaics):
        for way in WAYS:
            if way != "tile":
                scout(tester, pools, mosaic, way)
            with nullcontext() if way == "tile" else pools.held():
                masks = {one: tester.mask(mosaic, one.read) for one in plan}
            differs = np.concatenate([part.ravel() for part in overlaps(masks, halo)])
            rows[way].append((float(differs.mean()), dice(stitched(masks, mosaic), mosaic.truth)))
            print(json.dumps({"pools": way, "disagreement": rows[way][-1][0], "dice": rows[way][-1][1]}))
    print(f"{tester.model.name}, tiles of {tile}, halo {halo}")
    for way, values in rows.items():
        seam, score = np.mean(values, axis=0)
        print(f"{way:10} disagreement {100 * seam:.3f} %   Dice {score:.4f}")


def main() -> None:
    """Measure one network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of images/ and labels/")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--side", type=int, default=1536)
    parser.add_argument("--mosaics", type=int, default=2)
    parser.add_argument("--halo", type=int)
    given = parser.parse_args()
    calm()
    measure(
        given.checkpoint, given.data, tile=given.tile, side=given.side, mosaics=given.mosaics, halo=given.halo
    )


if __name__ == "__main__":
    main()
