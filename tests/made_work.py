"""Shorthands of the tests that segment slides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from src_model.data.label_pyramid import LabelPyramid
from src_model.events import Event, SlideTileFinished, Warned
from src_model.inference.slides.run import segment_slide
from src_model.models.checkpoint import Checkpoint

HEIGHT, WIDTH = 600, 850
TILES = 3 * 4 - 1
"""Of 256 pixels in three rows; the lower two of the narrow last column are one."""


class Done(NamedTuple):
    events: list[Event]
    mask: LabelPyramid

    @property
    def last(self) -> Any:
        return self.events[-1]

    @property
    def tiles(self) -> list[SlideTileFinished]:
        return [event for event in self.events if isinstance(event, SlideTileFinished)]

    @property
    def warnings(self) -> str:
        return " ".join(event.message for event in self.events if isinstance(event, Warned))


def work(source: Any, model: Checkpoint, **options: Any) -> Iterator[Event]:
    return segment_slide(source, model, **{"tile": 256, "halo": 8, "device": "cpu"} | options)


def run(source: Any, model: Checkpoint, **options: Any) -> Done:
    events = list(work(source, model, **options))
    return Done(events, LabelPyramid.open(events[-1].mask))
