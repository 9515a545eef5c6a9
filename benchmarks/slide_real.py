"""Real slides in tiles and in one piece: how far the masks agree, and whether the objects are the same.

Each slide is segmented twice by the engine: in tiles, with the halo that belongs to the network, and in
one tile as large as the slide, with the routing and the other global means of the first time. Printed is
the share of pixels that differ. The objects that the engine numbered while it streamed over the tiled mask
are compared with those that the untiled way finds in the same mask: their number, how many cross a border
of chunks, and how many are not the same to the pixel.
Exits with 1 where more than 0.1 % of a mask differs or an object does.

    python benchmarks/slide_real.py WORK SLIDE... [--folder IMAGES] [--checkpoint FILE] [--set tile=512]

``--folder`` names a folder with ``images`` and ``labels``, whose first 12 images are put side by side to
one slide more.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from large_slides import write_slide
from numpy.typing import NDArray
from slide_model import slide_model
from slide_pictures import Mosaic, read_folder
from slide_runs import Run, events, parsed, run_slide, show

from src_model.data.label_pyramid import LabelPyramid
from src_model.data.slide import open_slide
from src_model.events import Control, SlideStarted
from src_model.inference.objects import to_objects

MOST_DIFFERING = 0.001
_STEP = 256


def compare(slide: Path, checkpoint: Path, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """One slide, both ways."""
    opened = open_slide(slide)
    if opened.axes == "CYX":
        options = {"channels": [0, 1, 2], **options}
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    tiled = run_slide(slide, checkpoint, folder / "tiled", tissue=False, objects=True, **options)
    side = -(-max(opened.size_yx) // _STEP) * _STEP
    options = {**options, "tile": side, "halo": 0, "batch_size": 1}
    pyramid = LabelPyramid.open(tiled.mask)
    whole = run_with(pyramid.provenance.get("pools"), slide, checkpoint, folder / "whole", **options)
    mask, untiled = pyramid.levels[0][...], LabelPyramid.open(whole.mask).levels[0][...]
    if tiled.finished is None or tiled.finished.objects is None:
        raise SystemExit(f"The objects of {slide} were not numbered.")
    streamed = LabelPyramid.open(tiled.finished.objects).levels[0][...]
    return {
        "slide": slide.name,
        "pixels": "x".join(map(str, mask.shape)),
        "tiles": len(tiled.tiles),
        **pyramid.provenance["plan"],
        "foreground": float((mask > 0).mean()),
        "differing_%": 100 * float((mask != untiled).mean()),
        "objects": tiled.finished.count,
        **compare_objects(streamed, to_objects(mask), pyramid.chunk),
    }


def run_with(pools: Any, slide: Path, checkpoint: Path, out: Path, **options: Any) -> Run:
    """A run that holds what another one held: it is begun, told so, and gone on with."""
    control = Control()
    for event in events(slide, checkpoint, out, tissue=False, control=control, **options):
        if isinstance(event, SlideStarted):
            control.stop()
            mask = event.mask
    if pools is not None:
        LabelPyramid.open(mask).note(pools=pools)
    return run_slide(slide, checkpoint, out, tissue=False, **options)


def compare_objects(streamed: NDArray[np.uint32], untiled: NDArray[np.uint32], chunk: int) -> dict[str, int]:
    """Numbers of objects: untiled, across a border of chunks, without an equal among the streamed ones."""
    pairs, sizes = np.unique(np.stack([untiled.ravel(), streamed.ravel()]), axis=1, return_counts=True)
    mine, theirs = (np.bincount(labels.ravel()) for labels in (untiled, streamed))
    equal = {
        int(one)
        for (one, other), size in zip(pairs.T, sizes, strict=True)
        if one and other and size == mine[one] == theirs[other]
    }
    return {
        "untiled": int(untiled.max()),
        "across": len(_across(untiled, chunk)),
        "unequal": int(untiled.max()) - len(equal),
    }


def _across(labels: NDArray[np.uint32], chunk: int) -> set[int]:
    """The objects that lie on both sides of a border of chunks."""
    found: set[int] = set()
    for turned in (labels, labels.T):
        for border in range(chunk, len(turned), chunk):
            above, below = turned[border - 1], turned[border]
            found |= set(above[(above == below) & (above > 0)].tolist())
    return found


def main() -> None:
    """Compare all slides and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for results")
    parser.add_argument("slides", type=Path, nargs="*")
    parser.add_argument("--folder", type=Path, help="with images and labels, for one slide more")
    parser.add_argument("--most", type=int, default=12, help="of the images of the folder")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for the engine")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    options = parsed(given.set)
    checkpoint = given.checkpoint or slide_model(given.work / "light.safetensors")
    with tempfile.TemporaryDirectory(dir=given.work) as name:
        folder, slides = Path(name), list(given.slides)
        if given.folder is not None:
            images, _ = read_folder(given.folder, given.most)
            slides.append(write_slide(folder / "side by side.tif", Mosaic(images)))
        rows = [compare(slide, checkpoint, folder / str(n), options) for n, slide in enumerate(slides)]
    show("In tiles and in one piece", rows)
    kept = {
        "at most 0.1 % differs": all(row["differing_%"] <= 100 * MOST_DIFFERING for row in rows),
        "the objects are the same": all(
            row["objects"] == row["untiled"] and not row["unequal"] for row in rows
        ),
    }
    print(json.dumps({"kept": kept}))
    sys.exit(0 if all(kept.values()) else 1)


if __name__ == "__main__":
    main()
