"""The settings of one segmentation, checked before any work and frozen."""

from __future__ import annotations

from dataclasses import dataclass

from src_model.errors import ConfigError, ImageError
from src_model.tiling.plan import Box, round_up

WHOLE_PIXELS = 1024 * 1024
"""Images of at most this many pixels go through the network in one piece."""
DEFAULT_TILE = 512
LEAST_TILE = 64
"""Tiles are not made smaller than this when memory runs out."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the caller asked for; see :func:`src_model.inference.predictor.segment`."""

    threshold: float = 0.5
    top_k: int | None = None
    tile: int | None = None
    halo: int | None = None
    roi: tuple[int, int, int, int] | None = None
    instances: bool = False
    probability: bool = False
    axes: str | None = None
    batch_size: int | None = None
    trained_size: bool = False
    """Leave the result at the side that images were resized to in training, not the image's own."""

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        for name, value, least in (
            ("tile", self.tile, LEAST_TILE // 2),
            ("halo", self.halo, 0),
            ("batch_size", self.batch_size, 1),
        ):
            check_whole(name, value, least)
        if self.roi is not None and len(self.roi) != 4:
            raise ConfigError(
                f"The region must be four whole numbers (x, y, width, height) but got {self.roi}."
            )

    def region(self, height: int, width: int) -> Box:
        """The part of an image that is segmented: the region of interest, or all of it.

        Raises
        ------
        ImageError
            When the region is empty or not wholly inside the image.
        """
        whole = Box(0, 0, height, width)
        if self.roi is None:
            return whole
        x, y, roi_width, roi_height = self.roi
        region = Box(y, x, roi_height, roi_width)
        if roi_width < 1 or roi_height < 1 or not whole.contains(region):
            raise ImageError(
                f"The region x={x}, y={y}, width={roi_width}, height={roi_height} is not inside the image of "
                f"{width} x {height} pixels (width x height); choose one within it."
            )
        return region

    def tile_size(self, region: Box, *, multiple: int, halo: int, batch_size: int) -> TileSize:
        """Sizes to begin with: the caller's, else one piece for a small region, else 512 and ``halo``."""
        halo = halo if self.halo is None else self.halo
        batch = self.batch_size or batch_size
        if self.tile is not None:
            return TileSize(round_up(self.tile, multiple), halo, batch)
        if region.height * region.width <= WHOLE_PIXELS:
            end = max(region.y_end, region.x_end)
            return TileSize(round_up(end, multiple), halo, batch)
        return TileSize(DEFAULT_TILE, halo, batch)


def check_threshold(threshold: float) -> None:
    """Refuse a threshold outside 0..1 with a ConfigError."""
    if not 0.0 <= threshold <= 1.0:
        raise ConfigError(f"The threshold must be from 0 to 1 but got {threshold}; 0.5 is usual.")


@dataclass(frozen=True, slots=True)
class TileSize:
    """How large a piece the network takes at a time."""

    tile: int
    halo: int
    batch: int

    def smaller(self) -> TileSize | None:
        """The next size to try when memory runs out: single tiles first, then half the side."""
        if self.batch > 1:
            return TileSize(self.tile, self.halo, 1)
        if self.tile <= LEAST_TILE:
            return None
        tile = max(self.tile // 2, LEAST_TILE)
        return TileSize(tile, min(self.halo, tile // 2), 1)


def check_whole(name: str, value: int | None, least: int, most: int | None = None) -> None:
    """Refuse all but ``None`` and whole numbers within bounds with a ConfigError."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value is None or (whole and least <= value and (most is None or value <= most)):
        return
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise ConfigError(f"{name} must be a whole number {bounds} but got {value!r}.")
