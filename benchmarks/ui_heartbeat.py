"""How late the window's timer is while the plugin works: the calm of the interface, measured.

A 20 ms timer runs in the GUI thread of a real napari window; its lateness is how much later than 20 ms
after the tick before it fires. Printed for an idle window, while training and while segmenting, in
milliseconds: median, 99th percentile and worst.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/ui_heartbeat.py [--seconds 60]
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.settings import get_settings
from qtpy.QtCore import QEventLoop, Qt, QTimer
from skimage.data import immunohistochemistry

PERIOD = 0.020
LOOK_MS = 10
"""How often is looked whether to go on."""


class Heartbeat:
    """Collects the lateness of a timer."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(round(PERIOD * 1000))

    def _tick(self) -> None:
        now = time.perf_counter()
        self.late.append(max(now - self._last - PERIOD, 0.0))
        self._last = now

    def stop(self) -> np.ndarray:
        """Lateness of every tick, milliseconds."""
        self._timer.stop()
        return 1000 * np.array(self.late)


def run_until(until: Callable[[], bool], seconds: float) -> float:
    """Run the window's event loop until something is so; how long that took, infinite when too long.

    It is a loop as napari's own. In one made of ``processEvents``, Qt deletes nothing that asked for it, and
    the wheel that turned while a file was opened turns for ever.
    """
    loop, looks, begun = QEventLoop(), QTimer(), time.perf_counter()
    found: list[float] = []

    def look() -> None:
        took = time.perf_counter() - begun
        if until():
            found.append(took)
        if found or took > seconds:
            loop.quit()

    looks.timeout.connect(look)
    looks.start(LOOK_MS)
    loop.exec()
    looks.stop()
    return found[0] if found else math.inf


def measure(name: str, until: Callable[[], bool], seconds: float) -> dict[str, Any]:
    """Run the event loop until ``until`` or for ``seconds``, and sum the lateness up."""
    heart = Heartbeat()
    run_until(until, seconds)
    return summed(name, heart.stop())


def summed(name: str, late: np.ndarray) -> dict[str, Any]:
    """Lateness, milliseconds, in three numbers, which are printed; the end where there is none."""
    if not late.size:
        sys.exit(f"Nothing was measured of '{name}': the work had ended before; give fewer --seconds.")
    row = {
        "while": name,
        "ticks": len(late),
        "median_ms": round(float(np.median(late)), 2),
        "p99_ms": round(float(np.percentile(late, 99)), 2),
        "worst_ms": round(float(late.max()), 1),
    }
    print(json.dumps(row), flush=True)
    return row


def first_viewer() -> napari.Viewer:
    """A viewer as napari first opens one: the size of a window that is remembered here counts for nothing."""
    get_settings(path=None)
    return napari.Viewer()


def untrained(path: Path) -> Path:
    """A checkpoint of random weights, made in a process of its own so that this one stays as it is."""
    code = (
        "import sys; from src_model import create_model, save_checkpoint; "
        "save_checkpoint(sys.argv[1], create_model('utanet'))"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    return path


def main() -> None:
    """Measure an idle window, a training and a segmentation, each by pressing the real button."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="longest time for each part")
    seconds = parser.parse_args().seconds
    viewer = first_viewer()
    viewer.add_image(np.tile(immunohistochemistry(), (4, 4, 1)), name="large")
    _, train = viewer.window.add_plugin_dock_widget("napari-utanet", "UTANet: Train")
    _, segment = viewer.window.add_plugin_dock_widget("napari-utanet", "UTANet: Segment", tabify=True)
    measure("opening the docks", lambda: False, 8)
    measure("idle", lambda: False, 10)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        train.state.out = Path(folder) / "run"
        train.state.stage1_epochs = 3
        train.state.stage2_epochs = 2
        train.start_button.click()
        measure("training", lambda: not train.workers["train"].running, seconds)
        train.stop_button.click()
        measure("stopping", lambda: not train.workers["train"].running, 60)
        segment.controller.open_checkpoint(untrained(Path(folder) / "untrained.safetensors"))
        segment.button.click()
        measure("segmenting", lambda: not segment.workers["segment"].running, seconds)
        viewer.close()


if __name__ == "__main__":
    main()
