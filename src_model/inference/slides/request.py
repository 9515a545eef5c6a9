"""The settings of the segmentation of a slide, checked before any work and frozen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from src_model.errors import ConfigError
from src_model.inference.request import check_threshold, check_whole

if TYPE_CHECKING:
    from src_model.inference.slides.tissue import Tissue

RoutingMode = Literal["slide", "tile"]
DEFAULT_ROUTING: RoutingMode = "slide"
"""Measured by ``benchmarks/seams.py``, see docs/performance.md."""
LEAST_TILE = 256
MOST_UM = 10_000.0
"""Side of a pixel at most, micrometres."""
TILES = (2048, 1536, 1024, 512, 256)
"""Sides of the kept part of a tile, best first; the first that takes little enough memory is taken."""


@dataclass(frozen=True, kw_only=True)
class SlideRequest:
    """What the caller asked for; see :func:`src_model.inference.slides.run.segment_slide`."""

    threshold: float = 0.5
    pixel_size_um: float | None = None
    slide_pixel_size_um: float | None = None
    region: Sequence[NDArray[Any]] | None = None
    tissue: Tissue | None = None
    channels: tuple[int, ...] | None = None
    routing: RoutingMode = DEFAULT_ROUTING
    focus: tuple[float, float] | None = None
    objects: bool = False
    tile: int | None = None
    halo: int | None = None
    batch_size: int | None = None

    @property
    def holds_pools(self) -> bool:
        """Whether routers and other global pools have one value for the whole slide."""
        return self.routing == "slide"

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        for name, size in (
            ("pixel size", self.pixel_size_um),
            ("slide's pixel size", self.slide_pixel_size_um),
        ):
            if size is not None and not (math.isfinite(size) and 0 < size <= MOST_UM):
                raise ConfigError(
                    f"The {name} must be a number of micrometres above 0, at most {MOST_UM:,.0f}, but got "
                    f"{size:g}."
                )
        if self.routing not in ("slide", "tile"):
            raise ConfigError(f"The routing must be 'slide' or 'tile' but got {self.routing!r}.")
        for name, value, least, most in (
            ("tile", self.tile, LEAST_TILE, 32_768),
            ("halo", self.halo, 0, 4_096),
            ("batch_size", self.batch_size, 1, 1_024),
        ):
            check_whole(name, value, least, most)
        if self.focus is not None and not all(map(math.isfinite, self.focus)):
            raise ConfigError(f"The focus must be two numbers (y, x) but got {self.focus}.")
        if self.tile is not None and self.tile % LEAST_TILE:
            raise ConfigError(f"tile must be a multiple of {LEAST_TILE} but got {self.tile}.")
