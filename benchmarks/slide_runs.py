"""One segmentation of a slide with what is measured of it, and how tables are printed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src_model.events import Control, Event, SlideFinished, SlideStarted, SlideStopped, SlideTileFinished

MIB = 1 << 20


@dataclass
class Run:
    """What one call of the engine did."""

    seconds: float = 0.0
    """From the call to the last event."""
    cpu: float = 0.0
    """What all threads together computed in that time, seconds; on a busy machine it tells more."""
    first_tile: float | None = None
    """From the call to the first piece of the mask."""
    started: SlideStarted | None = None
    finished: SlideFinished | None = None
    stopped: SlideStopped | None = None
    tiles: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Boxes of the mask, in the order of their events."""

    @property
    def mask(self) -> Path:
        """Folder of the mask."""
        if self.started is None:
            raise RuntimeError("The slide was not begun.")
        return self.started.mask

    def megapixels(self, halo: int) -> float:
        """How much went through the network, of a slide without tissue or outlines to which tiles are cut."""
        height, width = self.started.shape if self.started else (0, 0)
        return (
            sum(
                (min(y + h + halo, height) - max(y - halo, 0)) * (min(x + w + halo, width) - max(x - halo, 0))
                for y, x, h, w in self.tiles
            )
            / 1e6
        )


def run_slide(
    slide: Path,
    checkpoint: Path,
    out: Path,
    *,
    tissue: Any = True,
    control: Control | None = None,
    between: Callable[[int], None] | None = None,
    **options: Any,
) -> Run:
    """Segment a slide that is opened here; ``tissue`` is where, or whether it is found; both cost time.

    ``between`` is called with the number of tiles after each of them, while the clock stands still.
    """
    run = Run()
    begun, cpu = time.perf_counter(), time.process_time()
    for event in events(slide, checkpoint, out, tissue=tissue, control=control, **options):
        now = time.perf_counter() - begun
        if isinstance(event, SlideStarted):
            run.started = event
        elif isinstance(event, SlideTileFinished):
            run.first_tile = run.first_tile or now
            run.tiles.append(event.box)
            if between is not None:
                stood, cpu_then = time.perf_counter(), time.process_time()
                between(len(run.tiles))
                begun, cpu = begun + time.perf_counter() - stood, cpu + time.process_time() - cpu_then
        elif isinstance(event, SlideFinished):
            run.finished = event
        elif isinstance(event, SlideStopped):
            run.stopped = event
    run.seconds, run.cpu = time.perf_counter() - begun, time.process_time() - cpu
    return run


def events(
    slide: Path,
    checkpoint: Path,
    out: Path,
    *,
    tissue: Any = True,
    control: Control | None = None,
    **options: Any,
) -> Iterator[Event]:
    """The events of the engine; everything is imported and opened when the first one is asked for."""
    from src_model.data.slide import open_slide
    from src_model.inference.slides.run import segment_slide
    from src_model.inference.slides.tissue import find_tissue

    opened = open_slide(slide)
    found = find_tissue(opened) if tissue is True else tissue or None
    yield from segment_slide(opened, checkpoint, out=out, tissue=found, control=control, **options)


def memory(kind: str = "VmRSS") -> int:
    """Bytes of memory that this process has (``VmRSS``), or has had at most (``VmHWM``); Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {kind}.")


def forget_peak() -> None:
    """Let the most memory be counted from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def chunk_files(mask: Path) -> dict[str, bytes]:
    """The chunks of all arrays of a mask, by their place in its folder."""
    return {
        str(path.relative_to(mask)): path.read_bytes()
        for path in sorted(mask.rglob("*"))
        if path.is_file() and "c" in path.relative_to(mask).parts
    }


def parsed(settings: Sequence[str]) -> dict[str, Any]:
    """Options of the engine, each as ``key=value`` with a value of JSON or a word."""
    options = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print a table, one column a key, and the same as one line of JSON."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    cells = [keys, *([_text(row.get(key)) for key in keys] for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(keys))]
    print(f"\n{title}")
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    print(json.dumps({"title": title, "rows": list(rows)}), flush=True)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
