"""Whether a slide that is killed and resumed ends with the same mask, and how soon a stop is obeyed.

First a slide is segmented undisturbed; then once more, but its process is ended by SIGKILL at several points
and started again each time. Every chunk file of every level must be equal, byte for byte. Then the work is
stopped at random moments, from before the first tile on, 50 times; printed is how long it goes on after that.
Exits with 1 where a chunk differs or the 99th percentile is above half a second.

    python benchmarks/slide_interrupted.py WORK [--side 4096] [--kills 3] [--tries 50] [--checkpoint FILE]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from large_slides import write_slide
from slide_model import slide_model
from slide_pictures import Tissue
from slide_runs import chunk_files, events, parsed, run_slide, show

from src_model.data.slide import open_slide
from src_model.events import Control, SlideFinished, SlideStarted, SlideTileFinished
from src_model.inference.slides.tissue import find_tissue

MOST_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """By what a slide is segmented, and how."""

    checkpoint: Path
    settings: list[str]
    """For the engine, each as ``key=value``."""

    @property
    def options(self) -> dict[str, Any]:
        """The settings as arguments."""
        return parsed(self.settings)


def work(slide: Path, job: Job, out: Path) -> None:
    """Segment in this process and print a line for each event that matters to the one who kills it."""
    for event in events(slide, job.checkpoint, out, **job.options):
        if isinstance(event, SlideStarted):
            print(json.dumps({"mask": str(event.mask), "done": event.done, "total": event.tiles}), flush=True)
        elif isinstance(event, SlideTileFinished):
            print(json.dumps({"done": event.done, "total": event.total}), flush=True)
        elif isinstance(event, SlideFinished):
            print(json.dumps({"finished": str(event.mask)}), flush=True)


def start(slide: Path, job: Job, out: Path) -> subprocess.Popen[str]:
    """:func:`work` in a new process."""
    command = [sys.executable, __file__, str(slide), "--one", str(out), "--checkpoint", str(job.checkpoint)]
    command += [part for one in job.settings for part in ("--set", one)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What it prints, while it runs."""
    assert process.stdout is not None
    yield from map(json.loads, process.stdout)


def kill_at(process: subprocess.Popen[str], share: float) -> dict[str, Any]:
    """End it by SIGKILL when that share of the tiles is done; says what it had found done, and had done."""
    begun_with = None
    for line in lines(process):
        if begun_with is None:
            begun_with = line["done"]
        elif "finished" in line:
            sys.exit(f"The slide was finished before {share:.0%} of its tiles could be waited for.")
        if line["done"] > begun_with and line["done"] >= share * line["total"]:
            time.sleep(random.uniform(0.0, 0.3))  # not just after a chunk was written
            process.kill()
            process.wait()
            return {"found_done": begun_with, "killed_at": line["done"], "tiles": line["total"]}
    sys.exit(f"The work ended by itself, with {process.wait()}.")


def kill_and_resume(slide: Path, job: Job, folder: Path, kills: int) -> bool:
    """Compare an undisturbed mask and a killed one; whether all chunks are equal."""
    whole = run_slide(slide, job.checkpoint, folder / "whole", **job.options).mask
    broken = folder / "broken"
    rows = [kill_at(start(slide, job, broken), (n + 1) / (kills + 1)) for n in range(kills)]
    last = list(lines(process := start(slide, job, broken)))
    if process.wait() or "finished" not in last[-1]:
        sys.exit(f"The resumed work ended with {last[-1:]}.")
    rows.append({"found_done": last[0]["done"], "killed_at": None, "tiles": last[0]["total"]})
    one, other = chunk_files(whole), chunk_files(Path(last[-1]["finished"]))
    differing = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    show("Killed and resumed", rows)
    print(json.dumps({"chunks": len(one), "differing": differing}), flush=True)
    return not differing


def stop_once(slide: Path, job: Job, out: Path, after: float, tissue: Any) -> dict[str, Any]:
    """Stop after some seconds; how long the work goes on then, and how far it was."""
    control, stopped_at = Control(), []

    def stop() -> None:
        stopped_at.append(time.perf_counter())
        control.stop()

    timer = threading.Timer(after, stop)
    timer.start()
    run = run_slide(slide, job.checkpoint, out, control=control, tissue=tissue, **job.options)
    ended = time.perf_counter()
    timer.cancel()
    timer.join()
    if run.stopped is None or not stopped_at:
        return {"late": None}
    return {"late": ended - stopped_at[0], "tiles": len(run.tiles)}


def cancel(slide: Path, job: Job, tries: int) -> bool:
    """Stop at random moments; whether the 99th percentile is small enough."""
    rng = random.Random(0)
    tissue = find_tissue(open_slide(slide))
    with tempfile.TemporaryDirectory(dir=slide.parent) as folder:
        warm = run_slide(slide, job.checkpoint, Path(folder) / "warm", tissue=tissue, **job.options)
        most = min(warm.seconds, 3 * (warm.first_tile or warm.seconds))
        late, tiles = [], []
        while len(late) < tries:
            out = Path(folder) / "out"
            row = stop_once(slide, job, out, rng.uniform(0.02, most), tissue)
            shutil.rmtree(out, ignore_errors=True)
            if row["late"] is not None:
                late.append(row["late"])
                tiles.append(row["tiles"])
    p50, p99 = (float(np.percentile(late, share)) for share in (50, 99))
    row = {"tries": tries, "before_first_tile": sum(n == 0 for n in tiles), "p50_s": p50, "p99_s": p99}
    show("From stop to the end of the work", [{**row, "worst_s": max(late)}])
    return p99 <= MOST_SECONDS


def main() -> None:
    """Kill, resume and compare; then stop many times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the slide and results")
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--tries", type=int, default=50)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for the engine")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        work(given.work, Job(given.checkpoint, given.set), given.one)
        return
    given.work.mkdir(parents=True, exist_ok=True)
    job = Job(given.checkpoint or slide_model(given.work / "light.safetensors"), given.set)
    slide = given.work / f"tissue-{given.side}.tif"
    if not slide.is_file():
        write_slide(slide, Tissue(given.side))
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        equal = kill_and_resume(slide, job, Path(folder), given.kills)
    prompt = cancel(slide, job, given.tries) if given.tries else True
    sys.exit(0 if equal and prompt else 1)


if __name__ == "__main__":
    main()
