"""How much context a tile needs: disagreement of its mask with the untiled one, against the halo.

Mosaics of the images of a folder are segmented in one piece, and then a tile in the middle of each,
with all four sides inside, once for each halo. Routing and the other global pools are held at what
they are for the whole mosaic, so that only the missing context counts. Printed is the share of the
tile's pixels whose class differs, the mean over the mosaics; the halo of a network is the smallest
at which that is at most 0.1 %. It is kept as ``halo`` in the network's class, or in ``larger_tiles``. Where
a network has a ``near_halo``, its mixture and decoder see no more than that, as on slides.

    python benchmarks/halo.py MODEL.safetensors --data FOLDER [--tile 512] [--near 64] [--mosaics 4] [--all]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from mosaics import Mosaic, Tester, calm
from numpy.typing import NDArray

from src_model.inference.global_pools import GlobalPools, Values
from src_model.tiling.plan import Box

ALLOWED = 0.001
"""Share of the pixels that may differ."""
HALOS = (0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
CONTEXT = 384
"""What the untiled result sees on each side of the tile, pixels."""


def untiled(
    tester: Tester, pools: GlobalPools, mosaic: Mosaic, tile: Box
) -> tuple[Values, NDArray[np.uint8]]:
    """The global pools of a mosaic, and the mask of the tile when all of it is seen."""
    pools.clear()
    with pools.recording():
        tester.mask(mosaic)
    with pools.held():  # as the tile will be seen
        mask = tester.mask(mosaic)
    return pools.values, mask[tile.slices]


def tiled(tester: Tester, pools: GlobalPools, mosaic: Mosaic, tile: Box, halo: int) -> NDArray[np.uint8]:
    """The mask of the tile when ``halo`` pixels around it are seen."""
    read = Box(tile.y - halo, tile.x - halo, tile.height + 2 * halo, tile.width + 2 * halo)
    with pools.held():
        return tester.mask(mosaic, read, tile.moved(-read.y, -read.x))


def measure(
    checkpoint: Path,
    folder: Path,
    *,
    tile: int = 512,
    near: int | None = None,
    mosaics: int = 4,
    every: bool = False,
) -> dict[int, float]:
    """Mean disagreement for each halo, up to the first that is allowed, or of all.

    Parameters
    ----------
    checkpoint, folder
        The trained network; pairs of images and masks of the kind that it knows.
    tile
        Side of the tile's kept part, pixels.
    near
        Instead of the network's ``near_halo``.
    mosaics
        How many are looked at.
    every
        Whether larger halos than needed are measured as well.
    """
    tester = Tester(checkpoint)
    pools = GlobalPools(tester.model)
    box = Box(CONTEXT, CONTEXT, tile, tile)
    pictures = tester.mosaics(folder, tile + 2 * CONTEXT, mosaics)
    wanted = [(picture, *untiled(tester, pools, picture, box)) for picture in pictures]
    found: dict[int, float] = {}
    if near is not None:
        type(tester.model).near_halo = near
    for halo in HALOS:
        if halo % tester.model.required_multiple:
            continue
        shares = []
        for picture, values, mask in wanted:
            pools.load(values)
            shares.append(float((tiled(tester, pools, picture, box, halo) != mask).mean()))
        found[halo] = float(np.mean(shares))
        print(
            json.dumps(
                {"model": tester.model.name, "halo": halo, "disagreement": found[halo], "each": shares}
            )
        )
        if found[halo] <= ALLOWED and not every:
            break
    return found


def main() -> None:
    """Measure one network and print its halo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of images/ and labels/")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--near", type=int, help="what mixture and decoder see around it")
    parser.add_argument("--mosaics", type=int, default=4)
    parser.add_argument("--all", action="store_true", help="go on to a halo of 256")
    given = parser.parse_args()
    calm()
    found = measure(
        given.checkpoint, given.data, tile=given.tile, near=given.near, mosaics=given.mosaics, every=given.all
    )
    enough = [halo for halo, share in found.items() if share <= ALLOWED]
    print(f"halo: {min(enough)}" if enough else f"more than {max(found)} pixels are needed")


if __name__ == "__main__":
    main()
