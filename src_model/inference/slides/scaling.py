"""How the pixels of a slide become the network's input."""

from __future__ import annotations

import numpy as np

from src_model.data.normalise import unit_limits
from src_model.data.slide import Slide
from src_model.inference.network import Network
from src_model.inference.prepare import Preparation
from src_model.inference.slides.fit import check_channels
from src_model.inference.slides.grid import Grid, GridReader
from src_model.inference.slides.plan import lattice
from src_model.tiling.plan import Box


def preparation_for(slide: Slide, reader: GridReader, grid: Grid, network: Network) -> Preparation:
    """Alike all over a slide: by the range of windows from all of it, where that is not fixed.

    Raises
    ------
    ImageError
        When the network takes another number of channels.
    """
    corner = reader.read(Box(0, 0, 1, 1))
    check_channels(slide, corner.shape, network.in_channels)
    stretch = network.training.get("intensity_range") == "image"
    limits = None
    if stretch or slide.dtype not in (np.uint8, np.bool_):
        values = np.concatenate([reader.read(box).ravel() for box in lattice(grid)])
        limits = unit_limits(values, stretch=stretch)
    elif corner.dtype != slide.dtype:
        limits = unit_limits(np.zeros(1, slide.dtype))
    return Preparation.of(corner, network, limits)
