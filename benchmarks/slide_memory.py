"""How much memory the largest slides take, and how soon the first of the mask is there.

An almost empty slide of 100,000 x 100,000 pixels (1 % tissue) and one of a sixteenth of its area are
segmented, each in a process of its own. Memory is counted by the system: the most that the process ever
had, above what it had with the libraries loaded but nothing opened. Time to the first piece of the mask
counts from before the slide is opened, and includes finding the tissue. The slides are made where they
are missing. Exits with 1 where a promise is broken: at most 1.5 GiB above the start, the same within 5 %
on both slides, the first piece within 10 seconds.

    python benchmarks/slide_memory.py WORK [--side 100000] [--checkpoint FILE] [--device cpu]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from large_slides import write_slide
from slide_model import slide_model
from slide_pictures import Tissue
from slide_runs import MIB, forget_peak, memory, run_slide, show

MOST_MIB = 1536
MOST_DIFFERENCE = 0.05
MOST_SECONDS = 10.0


def measure(slide: Path, checkpoint: Path, device: str) -> dict[str, Any]:
    """Segment in this process, which has done nothing before."""
    import src_model.inference.slides.run  # noqa: F401

    start = memory()
    forget_peak()
    with tempfile.TemporaryDirectory(dir=slide.parent) as out:
        run = run_slide(slide, checkpoint, Path(out), device=device)
    return {
        "slide": slide.name,
        "megapixels": round(sum(height * width for _, _, height, width in run.tiles) / 1e6),
        "tiles": len(run.tiles),
        "seconds": round(run.seconds, 1),
        "first_seconds": round(run.first_tile or float("inf"), 2),
        "start_mib": round(start / MIB),
        "above_start_mib": round((memory("VmHWM") - start) / MIB),
        "announced_mib": round(run.started.memory_bytes / MIB) if run.started else None,
    }


def in_own_process(slide: Path, checkpoint: Path, device: str) -> dict[str, Any]:
    """What :func:`measure` gives in a new process."""
    command = [
        sys.executable,
        __file__,
        str(slide),
        "--one",
        "--checkpoint",
        str(checkpoint),
        "--device",
        device,
    ]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    row: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return row


def empty_slide(folder: Path, side: int) -> Path:
    """The almost empty slide of that side, made where it is missing."""
    path = folder / f"empty-{side}.tif"
    folder.mkdir(parents=True, exist_ok=True)
    return path if path.is_file() else write_slide(path, Tissue(side, 0.01), tile=512, shared=True)


def main() -> None:
    """Measure both slides and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the slides and results")
    parser.add_argument("--side", type=int, default=100_000)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.work, given.checkpoint, given.device)))
        return
    checkpoint = given.checkpoint or slide_model(given.work / "light.safetensors")
    rows = [
        in_own_process(empty_slide(given.work, side), checkpoint, given.device)
        for side in (given.side, given.side // 4)
    ]
    large, small = (row["above_start_mib"] for row in rows)
    difference = abs(large - small) / max(small, 1)
    show("Memory and first piece", rows)
    kept = {
        "at most 1.5 GiB": large <= MOST_MIB,
        "the same within 5 %": difference <= MOST_DIFFERENCE,
        "first within 10 s": all(row["first_seconds"] <= MOST_SECONDS for row in rows),
    }
    print(json.dumps({"difference": round(difference, 3), "kept": kept}))
    sys.exit(0 if all(kept.values()) else 1)


if __name__ == "__main__":
    main()
