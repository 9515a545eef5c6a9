"""How close a whole slide comes to the network's own time, and how it compares with MONAI's sliding window.

Three comparisons in one run, on the same machine with nothing else to do. *Share*: the tiles of a slide
with 40 % tissue, by the time of the network alone for each of them, over the time of the whole job from
opening the file to the finished pyramid. The speed of a machine changes within seconds, so the network is
timed after each tile, while the clock of the job stands still: each of the tiles once, in another order.
*Region*: an all-tissue slide, by the project and by MONAI's ``sliding_window_inference`` with the same
rewritten network, overlap 0.25 and windows as large as what the project reads. *Slide*: the same for the
slide with 40 % tissue, of which the project sees only the tissue, before and after MONAI. Masks of the region
are compared away from the borders of MONAI's windows, with the experts chosen once for the slide and the same
for both. Exits with 1 where a promise is broken: share at least 0.90, region 1.5 times, slide 3 times, Dice
0.995. Slides and model are made where they are missing.

    python benchmarks/whole_slide.py WORK [--side 16384] [--region 8192] [--rounds 2] [--checkpoint FILE]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from large_slides import write_slide
from monai_side import Result, Window, away_from_borders, best_batch, network_alone, run_monai
from numpy.typing import NDArray
from slide_model import slide_model
from slide_pictures import Tissue
from slide_runs import Run, events, parsed, run_slide, show
from torch import Tensor

from src_model.data.label_pyramid import LabelPyramid
from src_model.data.slide import open_slide
from src_model.events import SlideStarted
from src_model.inference.global_pools import Values
from src_model.inference.network import Network
from src_model.inference.prepare import Preparation
from src_model.inference.slides.area import Area
from src_model.inference.slides.grid import Grid, GridReader, choose_grid
from src_model.inference.slides.plan import Plan, Sizes
from src_model.inference.slides.tissue import find_tissue
from src_model.memory import kept_memory
from src_model.metrics.pixel import dice
from src_model.tiling.plan import Tile


@dataclass(frozen=True, eq=False)
class Job:
    """What is measured, and how."""

    work: Path
    checkpoint: Path
    device: str
    precision: str
    options: dict[str, Any]
    """For the engine, such as the side of a tile."""

    def segment(
        self, slide: Path, *, tissue: bool, between: Callable[[int], None] | None = None
    ) -> tuple[Run, NDArray[np.uint8], dict[str, Any]]:
        """By the project: the run, the mask, and what was noted beside it; ``between`` as for a run."""
        with tempfile.TemporaryDirectory(dir=self.work) as out:
            common = {"device": self.device, "precision": self.precision, "tissue": tissue}
            run = run_slide(slide, self.checkpoint, Path(out), between=between, **common, **self.options)
            pyramid = LabelPyramid.open(run.mask)
            return run, pyramid.levels[0][...], pyramid.provenance

    def plan_of(self, slide: Path) -> dict[str, Any]:
        """Sizes of the tiles of a slide's tissue, with the context that the network needs there."""
        with tempfile.TemporaryDirectory(dir=self.work) as out:
            common = {"device": self.device, "precision": self.precision, "tissue": True}
            begun = events(slide, self.checkpoint, Path(out), **common, **self.options)
            started = next(event for event in begun if isinstance(event, SlideStarted))
            del begun  # which ends the work
            plan: dict[str, Any] = LabelPyramid.open(started.mask).provenance["plan"]
            return plan

    def slide(self, side: int, share: float) -> Path:
        """The slide of that side, made where it is missing."""
        path = self.work / f"tissue-{side}-{round(100 * share)}.tif"
        return path if path.is_file() else write_slide(path, Tissue(side, share))


def sample_of(slide: Path, network: Network, side: int) -> Tensor:
    """An input of the network from the middle of a slide, ``(1, C, side, side)``."""
    level = open_slide(slide).levels[0]
    y, x = ((length - side) // 2 for length in level.size_yx)
    part = level[y : y + side, x : x + side]
    return torch.from_numpy(Preparation.of(part, network)(part)[np.newaxis])


class Between:
    """Times the network alone after each tile of a job, for another one of them in turn.

    Each comes once, so that ``seconds`` is what all tiles of the slide take.
    """

    def __init__(self, network: Network, reader: GridReader, tiles: list[Tile], held: Values | None) -> None:
        self._network, self._reader, self._held = network, reader, held
        self._tiles = random.Random(0).sample(tiles, len(tiles))
        self.seconds = 0.0
        alike = {(tile.read.height, tile.read.width, tile.keep): tile for tile in tiles}
        self.sizes = len(alike)
        for tile in alike.values():
            self._time(tile)

    def begin(self) -> None:
        """A job."""
        self.seconds = 0.0

    def __call__(self, done: int) -> None:
        """After so many tiles."""
        self.seconds += self._time(self._tiles[done - 1])

    def _time(self, tile: Tile) -> float:
        pixels = self._reader.read(tile.read)
        seen = [torch.from_numpy(Preparation.of(pixels, self._network)(pixels)[np.newaxis])]
        return network_alone(self._network, seen, repeats=1, held=self._held, part=tile.keep).seconds


def share_of_network(job: Job, network: Network, slide: Path, rounds: int) -> list[dict[str, Any]]:
    """Segment the tissue of a slide, and time the network alone between its tiles; a row a round."""
    rows = []
    _, _, notes = job.segment(job.slide(4096, 0.4), tissue=True)
    notes["plan"] = job.plan_of(slide)
    grid, reader, tiles = tiles_of(slide, network, notes)
    held = notes.get("pools")
    # Its maps lie in a block of its own, as large as a job's, that is there before the job begins: what the
    # job may take is counted from then on, and what it gives back is not theirs.
    needs = Sizes(**notes["plan"]).needs(network, grid, held=held is not None)
    with network.maps.reserved(needs.maps):
        between = Between(network, reader, tiles, held)
        for _ in range(rounds):
            between.begin()
            run, _, _ = job.segment(slide, tissue=True, between=between)
            rows.append(
                {
                    "slide": slide.name,
                    "halo": notes["plan"]["halo"],
                    "tiles": len(run.tiles),
                    "sizes": between.sizes,
                    "mpx": megapixels(tiles),
                    "batch": notes["plan"]["batch"],
                    "network_s": between.seconds,
                    "job_s": run.seconds,
                    "first_s": run.first_tile,
                    "share": between.seconds / run.seconds,
                }
            )
    return rows


def tiles_of(slide: Path, network: Network, notes: dict[str, Any]) -> tuple[Grid, GridReader, list[Tile]]:
    """The pixels of the mask, what reads them, and the tiles of the tissue."""
    opened = open_slide(slide)
    grid = choose_grid(opened, network.pixel_size_um, float(np.mean(opened.pixel_size_um)))
    area = Area(grid, None, find_tissue(opened))
    plan = Plan(grid, area, Sizes(**notes["plan"]), network.model.required_multiple)
    return grid, GridReader(opened, grid), [tile for group in plan.groups for tile in group]


def megapixels(tiles: list[Tile]) -> float:
    """What goes through the network's encoder."""
    return round(sum(tile.read.height * tile.read.width for tile in tiles) / 1e6, 1)


def read_side(notes: dict[str, Any]) -> int:
    """Side of what a tile reads, pixels."""
    return int(notes["plan"]["tile"] + 2 * notes["plan"]["halo"])


def compare_region(
    job: Job, network: Network, slide: Path, rounds: int
) -> tuple[Window, list[dict[str, Any]], float]:
    """Both on an all-tissue slide, in turns; the windows of MONAI, a row a round, and the Dice."""
    level = open_slide(slide).levels[0]
    rows, window, agreement = [], None, 0.0
    for number in range(rounds):
        run, mine, notes = job.segment(slide, tissue=False)
        if window is None:
            side = read_side(notes)
            batch = best_batch(network, sample_of(slide, network, side))
            window = Window(side, batch, notes.get("pools"))
        theirs = run_monai(level, network, window)
        rows.append(row_of(number, run, run.megapixels(notes["plan"]["halo"]), theirs))
        far = away_from_borders(theirs.mask.shape, window.side, notes["plan"]["halo"])
        agreement = dice(mine[far] > 0, theirs.mask[far] > 0)
        rows[-1] |= {
            "dice": agreement,
            "foreground": float(theirs.mask.mean()),
            "compared": float(far.mean()),
        }
    assert window is not None
    return window, rows, agreement


def compare_slide(job: Job, network: Network, slide: Path, window: Window) -> list[dict[str, Any]]:
    """The project on the tissue of a slide, MONAI on all of it, and the project again; a row for each run."""
    before, _, notes = job.segment(slide, tissue=True)
    theirs = run_monai(open_slide(slide).levels[0], network, replace(window, held=notes.get("pools")))
    after, _, _ = job.segment(slide, tissue=True)
    seen = megapixels(tiles_of(slide, network, notes)[2])
    return [row_of(when, run, seen, theirs) for when, run in (("before", before), ("after", after))]


def row_of(name: Any, run: Run, seen: float, theirs: Result) -> dict[str, Any]:
    """What both took; ``seen`` = megapixels that went through the network."""
    return {
        "of": name,
        "ours_mpx": round(seen, 1),
        "monai_mpx": round(theirs.megapixels, 1),
        "ours_s": run.seconds,
        "monai_read_s": theirs.read,
        "monai_s": theirs.seconds,
        "ratio": theirs.seconds / run.seconds,
        "cpu_ratio": theirs.cpu / run.cpu,
    }


def main() -> None:
    """Measure all three and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for slides, model and results")
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--region", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--routing", choices=("slide", "tile"), default="slide")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for the engine")
    with kept_memory():  # for all alike
        sys.exit(measure(parser.parse_args()))


def measure(given: argparse.Namespace) -> int:
    """Exit status: 0 where all promises are kept."""
    given.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(given.threads)
    options = {"routing": given.routing}
    options |= parsed(given.set)
    checkpoint = given.checkpoint or slide_model(given.work / "light.safetensors")
    job = Job(given.work, checkpoint, given.device, given.precision, options)
    network = Network(checkpoint, device=given.device, precision=given.precision)
    slide, region = job.slide(given.side, 0.4), job.slide(given.region, 1.0)
    shares = share_of_network(job, network, slide, given.rounds)
    show("Share of the network's own time", shares)
    window, rows, agreement = compare_region(job, network, region, given.rounds)
    show(f"All-tissue region, windows of {window.side}, {window.batch} at a time", rows)
    wholes = compare_slide(job, network, slide, window)
    show("Whole slide", wholes)
    kept = {
        "share at least 0.90": statistics.median(row["share"] for row in shares) >= 0.90,
        "region at least 1.5": statistics.median(row["ratio"] for row in rows) >= 1.5,
        "slide at least 3": statistics.mean(row["ratio"] for row in wholes) >= 3,
        "Dice at least 0.995": agreement >= 0.995,
    }
    print(json.dumps({"device": str(network.device), "precision": network.precision, "kept": kept}))
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    main()
