"""The first five minutes: see nuclei segmented by the included model, then train one of your own.

Run as ``python -m napari_utanet.demo [FOLDER]``; results go to FOLDER (default ``demo``). Where there
is no screen, a picture is written instead of opening napari: of the window under Xvfb where that is
installed, else of the mask's outline over the image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from napari_utanet.samples import sample_folder
from napari_utanet.shelf import included_models
from src_model.cli.follow import console, follow
from src_model.config import TrainConfig
from src_model.errors import CheckpointError, UTANetError
from src_model.events import Control, RunFinished, SegmentationFinished
from src_model.nested import merge
from src_model.protocols import protocol

PATIENCE = 120.0
"""Seconds to wait at most for a segmentation before its picture is taken."""


def main() -> None:
    """Segment and show with the included model; then train, measure and compare."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--picture"]:
        show(Path(arguments[1]), picture=Path(arguments[2]))
        return
    folder = Path(arguments[0] if arguments else "demo")
    included = included_model()
    console.print("[bold]1. The included model[/] segments 12 images that it never saw")
    first = measure(included, folder / "included")
    console.print(f"Mean foreground Dice: {first:.4f}")
    if has_screen():
        console.print("Opening napari with one of them; close its window to go on with the training.")
        show(included)
    else:
        picture = take_picture(included, folder)
        console.print(f"There is no screen here, so a picture was written instead: {picture}", soft_wrap=True)
    console.print("[bold]2. A model of your own[/] is trained on 40 sample images, in two stages")
    own = train(folder / "nuclei")
    second = measure(own, folder / "own")
    console.print("[bold green]Mean foreground Dice on 12 unseen images[/]")
    console.print(f"  included model   {first:.4f}")
    console.print(f"  your own model   {second:.4f}   {own}", soft_wrap=True)


def included_model() -> Path:
    """The model that comes with the plugin.

    Raises
    ------
    CheckpointError
        When it is missing or damaged.
    """
    models = included_models()
    if not models:
        raise CheckpointError("The model of napari-utanet is missing or damaged; install the package again.")
    return models[0]


def train(run: Path) -> Path:
    """Train both stages on the 40 sample pairs, or go on where an earlier demo ended."""
    values = {"data": {"root": sample_folder() / "nuclei" / "train"}, "out": run, "resume": run.exists()}
    control = Control()
    from src_model import train as engine

    config = TrainConfig.parse(merge(protocol("quick"), values))
    last = follow(engine(config, control=control), control, as_json=False)
    if not isinstance(last, RunFinished):
        raise SystemExit(130)
    return last.checkpoint


def measure(checkpoint: Path, out: Path) -> float:
    """Mean foreground Dice on the 12 test images, which took no part in any training."""
    from src_model import segment as engine
    from src_model.data.image_io import read_mask
    from src_model.data.layouts import find_cases
    from src_model.metrics.pixel import dice

    cases = find_cases(sample_folder() / "nuclei", split="test").cases
    control = Control()
    stream = engine([case.image for case in cases], checkpoint, out=out, control=control)
    last = follow(stream, control, as_json=False)
    if not isinstance(last, SegmentationFinished):
        raise SystemExit(130)
    scores = [
        dice(read_mask(result.path) > 0, read_mask(case.mask) > 0)
        for case, result in zip(cases, last.results, strict=True)
        if result.path is not None
    ]
    return float(np.mean(scores))


def has_screen() -> bool:
    """Whether a window can be opened here."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show(checkpoint: Path, picture: Path | None = None) -> None:
    """Open napari on an unseen image and press Segment; with ``picture``, save the window and leave."""
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(title="napari-utanet demo", show=True)
    viewer.open_sample("napari-utanet", "nuclei_tissue")
    _, dock = viewer.window.add_plugin_dock_widget("napari-utanet", "UTANet: Segment")
    dock.controller.open_checkpoint(checkpoint)
    dock.button.click()
    if picture is None:
        napari.run()
        return
    deadline = time.monotonic() + PATIENCE
    while dock.workers["segment"].running and time.monotonic() < deadline:
        QApplication.processEvents()
        time.sleep(0.01)
    viewer.reset_view()
    QApplication.processEvents()
    viewer.window.screenshot(str(picture), canvas_only=False, flash=False)
    viewer.close()


def take_picture(checkpoint: Path, folder: Path) -> Path:
    """A picture of the window under Xvfb where that works, else of the mask's outline."""
    picture = folder / "napari.png"
    if shutil.which("xvfb-run"):
        command = [
            "xvfb-run",
            "-a",
            "-s",
            "-screen 0 1600x1000x24",
            sys.executable,
            "-m",
            "napari_utanet.demo",
        ]
        done = subprocess.run([*command, "--picture", str(checkpoint), str(picture)], check=False)
        if done.returncode == 0 and picture.is_file():
            return picture
    return draw_outline(folder)


def draw_outline(folder: Path) -> Path:
    """The first test image with the outline of its mask."""
    from PIL import Image
    from skimage.segmentation import mark_boundaries

    from src_model.data.image_io import read_image, read_mask
    from src_model.data.layouts import find_cases

    case = find_cases(sample_folder() / "nuclei", split="test").cases[0]
    image = read_image(case.image)
    mask = read_mask(folder / "included" / f"{case.id}_mask.tif")
    outlined = mark_boundaries(image, mask, color=(0.18, 0.77, 0.71), mode="thick")
    picture = folder / "outline.png"
    Image.fromarray((outlined * 255).astype(np.uint8)).save(picture)
    return picture


if __name__ == "__main__":
    try:
        main()
    except UTANetError as error:
        sys.exit(f"demo: {error}")
