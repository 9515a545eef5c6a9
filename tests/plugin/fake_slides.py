"""A small engine of slides: it writes a real mask tile by tile, waiting where a test asks for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_utanet.controllers.slide_work import SlideEngine
from src_model import events as ev
from src_model.config import ClassInfo
from src_model.data.label_pyramid import LabelPyramid
from src_model.data.slide import Slide
from src_model.errors import ImageError, Stopped
from src_model.inference.slides.tissue import Tissue
from src_model.tiling.plan import Box

CHUNK = 64
NUCLEUS = ClassInfo(name="nucleus", color="#112233")
TABLE = """label,class,class_name,area_um2,bbox_top_px,bbox_left_px,bbox_bottom_px,bbox_right_px,confidence
1,1,nucleus,40,0,0,20,10,0.9
2,1,nucleus,20,40,10,50,30,0.8
"""


class FakeSlides:
    """Marks what is darker than 128 at half the resolution; ``chunks`` are its tiles."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Event()
        self.steps = threading.Semaphore(10_000)
        self.calls: list[dict[str, Any]] = []
        self.threads: list[str] = []
        self.searched: list[float | None] = []
        self.error: Exception | None = None
        self.warning: str | None = None
        self.damaged: tuple[tuple[int, int, int, int], ...] = ()
        self.scale = (2.0, 2.0)
        self.folder: Path | None = None

    @property
    def engine(self) -> SlideEngine:
        """As the dock takes it."""
        return SlideEngine(segment=self.segment, find_tissue=self.find_tissue)

    def find_tissue(self, slide: Slide, *, threshold: float | None = None) -> FakeTissue:
        """Darkness above a threshold, on every fourth pixel."""
        self.searched.append(threshold)
        grey = np.asarray(slide.levels[0])
        grey = grey.mean(axis=slide.axes.index("C")) if "C" in slide.axes else grey
        return FakeTissue.above(1 - grey[::4, ::4] / 255.0, 0.5 if threshold is None else threshold)

    def segment(self, slide: Slide, checkpoint: Any, *, control: ev.Control, **options: Any) -> Iterator[Any]:
        """The engine's events."""
        self.calls.append({"slide": slide, "checkpoint": checkpoint, **options})
        self.threads.append(threading.current_thread().name)
        if self.error is not None:
            raise self.error
        folder = options["out"] or self.folder or slide.path.parent
        path = Path(folder) / f"{slide.path.stem}_mask.ome.zarr"
        height, width = (-(-side // int(step)) for side, step in zip(slide.size_yx, self.scale, strict=True))
        if path.exists():
            mask = LabelPyramid.open(path)
        else:
            mask = LabelPyramid.create(
                path, (height, width), chunk=CHUNK, scale=self.scale, classes=[NUCLEUS], pixel_size_um=0.5
            )
        boxes = [
            Box(y, x, min(CHUNK, height - y), min(CHUNK, width - x))
            for y in range(0, height, CHUNK)
            for x in range(0, width, CHUNK)
        ]
        left = [box for box in boxes if not mask.is_done(box)]
        done = len(boxes) - len(left)
        yield ev.SlideStarted(
            source=slide.path.name, mask=path, tiles=len(boxes), done=done, shape=(height, width),
            scale=self.scale, pixel_size_um=0.5, device="cpu",
            memory_bytes=1_200_000_000, disk_bytes=34_000_000,
        )  # fmt: skip
        if self.warning:
            yield ev.Warned(message=self.warning)
        self.begun.set()
        if left:
            yield ev.SlidePhase(source=slide.path.name, phase="routing", done=1, total=1)
        try:
            for box in left:
                self.go.wait(60)
                self.steps.acquire(timeout=60)
                control.check()
                overview = mask.write(box, self._part(slide, box, options["channels"]))
                done += 1
                yield ev.SlideTileFinished(
                    source=slide.path.name, done=done, total=len(boxes), seconds_left=65.0,
                    box=(box.y, box.x, box.height, box.width), overview=overview, damaged=len(self.damaged),
                )  # fmt: skip
        except Stopped as stop:
            yield ev.SlideStopped(
                source=slide.path.name, mask=path, done=done, total=len(boxes), message=str(stop)
            )
            return
        mask.finish()
        yield from self._end(mask, path, objects=options["objects"])

    def _end(self, mask: LabelPyramid, path: Path, *, objects: bool) -> Iterator[Any]:
        numbered, table = None, None
        if objects:
            yield ev.SlidePhase(source="slide", phase="objects", done=0, total=1)
            stem = path.name.removesuffix("_mask.ome.zarr")
            numbered, table = (
                path.with_name(f"{stem}_objects.ome.zarr"),
                path.with_name(f"{stem}_objects.csv"),
            )
            table.write_text(TABLE)
            made = LabelPyramid.create(numbered, mask.shape, chunk=CHUNK, dtype=np.uint32, scale=mask.scale)
            whole = Box(0, 0, *mask.shape)
            made.write(whole, mask.read(whole).astype(np.uint32))
            made.finish()
        yield ev.SlideFinished(
            source="slide", mask=path, foreground=0.25, damaged=self.damaged, objects=numbered, table=table,
            count=2 if objects else None, seconds=3.0,
        )  # fmt: skip

    def _part(self, slide: Slide, box: Box, channels: tuple[int, ...] | None) -> np.ndarray:
        level = slide.levels[0]
        rows, columns = (
            slice(int(start * step), int(end * step), int(step))
            for start, end, step in zip((box.y, box.x), (box.y_end, box.x_end), self.scale, strict=True)
        )
        if slide.axes == "CYX":
            values = np.asarray(level[(channels or (0,))[0], rows, columns])
        else:
            values = np.asarray(level[rows, columns])
            values = values.mean(axis=-1) if values.ndim == 3 else values
        return (values < 128).astype(np.uint8)


class FakeTissue(Tissue):
    """Remembers darkness, so that another threshold needs no second look."""

    darkness: np.ndarray

    @classmethod
    def above(cls, darkness: np.ndarray, threshold: float) -> FakeTissue:
        if not (darkness > threshold).any():
            raise ImageError("No tissue was found; choose a lower threshold.")
        tissue = cls(darkness > threshold, (4.0, 4.0), threshold)
        object.__setattr__(tissue, "darkness", darkness)
        return tissue

    def with_threshold(self, threshold: float | None) -> FakeTissue:
        return FakeTissue.above(self.darkness, 0.5 if threshold is None else threshold)
