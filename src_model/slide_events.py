"""What happens while a whole slide is segmented."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from src_model.event import Event


@dataclass(frozen=True, kw_only=True)
class SlideStarted(Event):
    """The plan is made and the file of the mask lies there; from now on it grows."""

    source: str
    mask: Path
    """OME-Zarr label pyramid, see :class:`src_model.data.label_pyramid.LabelPyramid`."""
    tiles: int
    done: int
    """Tiles that an earlier run of the same job has left."""
    shape: tuple[int, int]
    """Of the finest level of the mask, pixels."""
    scale: tuple[float, float]
    """Pixels of the slide's finest level that a pixel of the mask covers, rows and columns."""
    pixel_size_um: float | None
    """Side of a pixel of the mask, micrometres."""
    device: str
    memory_bytes: int
    """What the work is expected to take, beyond what the program takes already."""
    disk_bytes: int
    """What the results are expected to take."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SlideTileFinished(Event):
    """One more tile of a slide is segmented and lies on disk."""

    source: str
    done: int
    total: int
    seconds_left: float
    box: tuple[int, int, int, int]
    """Where the mask has grown: first row, first column, height, width; pixels of its finest level."""
    overview: np.ndarray
    """The mask of the box as the pyramid's overview shows it, uint8 (height, width)."""
    damaged: int
    """Pieces of the slide that could not be decoded so far; they count as background."""


@dataclass(frozen=True, kw_only=True)
class SlidePhase(Event):
    """``done`` of ``total`` steps of what comes before or after the tiles."""

    source: str
    phase: Literal["routing", "objects"]
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class SlideFinished(Event):
    """Last event: the whole slide is segmented."""

    source: str
    mask: Path
    foreground: float
    """Share of the slide that is foreground, 0 to 1."""
    damaged: tuple[tuple[int, int, int, int], ...]
    """Pieces that could not be decoded: first row, first column, height, width in pixels of the mask."""
    objects: Path | None
    """OME-Zarr pyramid of the numbered objects (uint32), where they were asked for."""
    table: Path | None
    """CSV file with one row an object."""
    count: int | None
    """Objects."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SlideStopped(Event):
    """Last event after a cancel: the same call again goes on where it stopped."""

    source: str
    mask: Path | None
    done: int
    total: int
    message: str
