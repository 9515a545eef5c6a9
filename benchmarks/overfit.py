"""Whether every network can learn: overfits each to a few images until its Dice is 0.95.

    python benchmarks/overfit.py --out FOLDER [--only NAME ...] [--volumes TASK04_FOLDER]

Flat networks learn 8 windows of the sample nuclei, four of each stain, in two stages where they have
a mixture (stage 2 with encoder and decoder frozen). With ``--volumes``, ``u2net3d`` learns 4 hippocampi
of the Medical Segmentation Decathlon. Nothing is augmented, and the Dice is that on the same images.

Writes FOLDER/<network>.json when a network is done, and FOLDER/curves.png and FOLDER/table.md of all that
are there; a network that is done with the same settings is not trained again. Ends with 1 where a network
stays below 0.95.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from curves import draw_curves
from overfitting import HIPPOCAMPI, Settings, flat_lesson, volume_lesson

from src_model.errors import UTANetError
from src_model.files import atomic_path, atomic_write_text
from src_model.models.profile import count_parameters
from src_model.models.registry import list_models

GOAL = 0.95


def main() -> None:
    """Overfit what is asked for and not done yet, then draw and judge."""
    given = parse()
    reports = []
    for name in given.only or list_models():
        settings = choose(name, given)
        if settings is None:
            print(f"{name} is left out: name the folder of Task04_Hippocampus with --volumes.", flush=True)
            continue
        path = given.out / f"{name}.json"
        report = read(path)
        if report is None or report["settings"] != as_json(settings):
            report = overfit(name, settings, given)
            atomic_write_text(path, json.dumps(report, indent=1) + "\n")
        else:
            print(f"{name} is done: {path}", flush=True)
        reports.append(report)
        conclude(given.out)
    low = [report["network"] for report in reports if report["dice"] < GOAL]
    if low:
        sys.exit(f"These networks stayed below a Dice of {GOAL}: {', '.join(low)}.")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list_models(), metavar="NAME")
    parser.add_argument("--volumes", type=Path, metavar="TASK04_FOLDER")
    parser.add_argument("--steps", type=int, default=300, help="in each stage, at most")
    parser.add_argument("--volume-steps", type=int, default=1000, help="of u2net3d, at most")
    parser.add_argument("--every", type=int, default=10, help="steps between two looks at the Dice")
    parser.add_argument("--enough", type=float, default=0.96, help="Dice at which the last stage ends early")
    parser.add_argument("--before", type=float, default=0.98, help="the same of a stage before another")
    parser.add_argument("--side", type=int, default=128, help="of the windows, pixels")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def choose(name: str, given: argparse.Namespace) -> Settings | None:
    """How a network learns; ``None`` where its images are not there."""
    common = {"enough": given.enough, "before": given.before, "device": given.device}
    if name in list_models(dims=2):
        return Settings(
            passes=given.steps, every=given.every, rates=(3e-3, 5e-3), side=given.side, batch=8, **common
        )
    if given.volumes is None or not given.volumes.is_dir():
        return None
    passes = max(1, given.volume_steps // HIPPOCAMPI)
    return Settings(passes=passes, every=given.every, rates=(5e-3,), side=0, batch=1, **common)


def overfit(name: str, settings: Settings, given: argparse.Namespace) -> dict[str, Any]:
    """Let one network learn; what there is to report."""
    start = time.perf_counter()
    if settings.side:
        lesson = flat_lesson(name, settings, given.out)
    else:
        lesson = volume_lesson(name, settings, given.out, given.volumes)
    curve = []
    for point in lesson.points():
        seconds = round(time.perf_counter() - start, 1)
        curve.append({**point._asdict(), "seconds": seconds})
        print(
            f"{name}  stage {point.stage}  step {point.step:>4}  loss {point.loss:.4f}  "
            f"Dice {point.dice:.4f}  {seconds:.0f} s",
            flush=True,
        )
    return {
        "network": name,
        "settings": as_json(settings),
        "parameters": count_parameters(lesson.model),
        "images": lesson.images,
        "precision": lesson.compute.precision,
        "threads": torch.get_num_threads(),
        "steps": {point["stage"]: point["step"] for point in curve},
        "seconds": curve[-1]["seconds"],
        "dice": curve[-1]["dice"],
        "curve": curve,
    }


def conclude(folder: Path) -> None:
    """Draw and list all networks whose report is in the folder."""
    reports = [report for name in list_models() if (report := read(folder / f"{name}.json"))]
    with atomic_path(folder / "curves.png") as picture:
        draw_curves(reports, picture, goal=GOAL)
    lines = [
        "| network | steps of stage 1 | Dice after it | steps of stage 2 | final Dice | seconds |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for report in reports:
        steps = report["steps"]
        first = [point["dice"] for point in report["curve"] if point["stage"] == "1"][-1]
        lines.append(
            f"| `{report['network']}` | {steps['1']} | {first:.3f} | {steps.get('2', '-')} | "
            f"{report['dice']:.3f} | {report['seconds']:.0f} |"
        )
    atomic_write_text(folder / "table.md", "\n".join(lines) + "\n")


def read(path: Path) -> dict[str, Any] | None:
    """A report, where there is one."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def as_json(settings: Settings) -> dict[str, Any]:
    """The settings as they come back from a report."""
    return json.loads(json.dumps(settings._asdict()))


if __name__ == "__main__":
    try:
        main()
    except UTANetError as error:
        sys.exit(str(error))
