"""Pictures of the docks with real content, for the README and the page on slides: `make screenshots`.

Shows the included model unless another one is named. On a machine without a screen it starts itself under
Xvfb.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
INCLUDED = ROOT / "sample_data" / "models" / "nuclei.safetensors"
PATIENCE = 600.0
"""Seconds after which a step counts as failed."""


LARGE = 400_000
"""Bytes above which a picture is made smaller."""


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=INCLUDED)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--theme", default="dark", choices=["dark", "light"])
    parser.add_argument("--docks", nargs="+", default=["segment", "experts", "train", "slide"])
    options = parser.parse_args()
    if not options.checkpoint.is_file():
        sys.exit(f"There is no model {options.checkpoint}; name one with --checkpoint.")
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        sys.exit(_under_xvfb())
    home = tempfile.mkdtemp()  # neither the settings nor the recent models of this user
    os.environ |= {"XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home}
    options.out.mkdir(parents=True, exist_ok=True)
    pictures = {"segment": segment, "experts": experts, "train": train, "slide": slide}
    for name in options.docks:
        viewer = _viewer(options.theme)
        pictures[name](viewer, options.checkpoint)
        if name != "slide":  # which is looked at where an object lies
            viewer.reset_view()
        _wait(lambda: False, 0.5)
        path = options.out / f"{name}.png"
        viewer.window.screenshot(str(path), canvas_only=False, flash=False)
        viewer.close()
        _slim(path)
        print(path)


def segment(viewer: Any, checkpoint: Path) -> None:
    """A test image with its mask."""
    viewer.open_sample("napari-utanet", "nuclei_tissue")
    dock = _dock(viewer, "UTANet: Segment")
    dock.controller.open_checkpoint(checkpoint)
    dock.state.objects = True
    dock.button.click()
    _wait(lambda: not dock.workers["segment"].running)


def experts(viewer: Any, checkpoint: Path) -> None:
    """A test image under the heat map of its strongest expert."""
    viewer.open_sample("napari-utanet", "nuclei_tissue")
    dock = _dock(viewer, "UTANet: Experts")
    dock.controller.open_checkpoint(checkpoint)
    dock.button.click()
    _wait(lambda: not dock.workers["experts"].running)


def train(viewer: Any, _checkpoint: Path) -> None:
    """A short run in its second stage."""
    viewer.open_sample("napari-utanet", "nuclei_tissue")
    dock = _dock(viewer, "UTANet: Train")
    dock.state.out = Path(tempfile.mkdtemp()) / "nuclei"
    dock.state.stage1_epochs, dock.state.stage2_epochs = 3, 2
    _wait(lambda: not dock.picture.image.isHidden())
    dock.start_button.click()
    _wait(lambda: len(dock.curves.points.get("dice", ())) >= 4)
    dock.workers["train"].pause()
    _wait(lambda: False, 1.0)


def slide(viewer: Any, checkpoint: Path) -> None:
    """A slide of the stained test images, its objects and their table; the camera at one of them."""
    viewer.open(str(_made_slide(Path(tempfile.mkdtemp()) / "case 12.tif")), plugin="napari-utanet")
    dock = _dock(viewer, "UTANet: Segment")
    dock.controller.open_checkpoint(checkpoint)
    dock.state.objects = True
    dock.button.click()
    _wait(lambda: not dock.workers["segment"].running)
    from qtpy.QtCore import Qt

    dock.objects_button.click()
    table = dock.objects_dock.table
    table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    viewer.scene.camera.zoom *= 2
    table.selectRow(3)


def _made_slide(path: Path) -> Path:
    """A pyramid in which one of the test images (CC0), turned and mirrored, lies as round pieces on glass.

    The size of a pixel is made up.
    """
    import numpy as np
    import tifffile
    from skimage.io import imread

    image = imread(ROOT / "sample_data" / "nuclei" / "test" / "images" / "aa58ba451295.png")[..., :3]
    glass = np.percentile(image, 90, axis=(0, 1))
    side, pitch, rows, columns = 256, 284, 6, 8
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.clip((side / 2 - np.hypot(y, x)) / 6, 0, 1)[..., np.newaxis]
    rng = np.random.default_rng(3)
    canvas = np.broadcast_to(glass, (rows * pitch + 60, columns * pitch + 60, 3)).copy()
    for place in range(rows * columns):
        shift = rng.integers(0, image.shape[1] - side + 1)
        piece = np.rot90(image[:side, shift : shift + side], rng.integers(4))[:: rng.choice([1, -1])]
        top, left = (40 + n * pitch + rng.integers(-12, 12) for n in divmod(place, columns))
        under = canvas[top : top + side, left : left + side]
        canvas[top : top + side, left : left + side] = inside * piece + (1 - inside) * under
    finest = canvas.round().astype(np.uint8)
    with tifffile.TiffWriter(path) as file:
        for level in range(3):
            step = 2**level
            file.write(
                finest[::step, ::step], tile=(256, 256), compression="zlib", photometric="rgb", metadata=None,
                subfiletype=1 if level else 0, resolution=(20_000, 20_000), resolutionunit="CENTIMETER",
            )  # fmt: skip
    return path


def _slim(path: Path) -> None:
    """Make a large picture smaller by having it use 256 colours."""
    from PIL import Image

    if path.stat().st_size > LARGE:
        Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def _viewer(theme: str) -> Any:
    import napari

    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(1500, 1000)
    return viewer


def _dock(viewer: Any, title: str) -> Any:
    _, dock = viewer.window.add_plugin_dock_widget("napari-utanet", title)
    _wait(lambda: dock.looked_up and not dock.workers["look-up"].running)
    return dock


def _wait(done: Callable[[], bool], seconds: float = PATIENCE) -> None:
    from qtpy.QtWidgets import QApplication

    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        QApplication.processEvents()
        time.sleep(0.01)


def _under_xvfb() -> int | str:
    if not shutil.which("xvfb-run"):
        return "There is no screen; install Xvfb to take the pictures without one."
    command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1100x24", sys.executable, *sys.argv]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    main()
