"""How much context the tiles of a slide need, measured with the network on the slide itself.

Networks with widely dilated convolutions differ in how far they look by what they were trained on and for
how long: of two light networks of one architecture one needed 32 pixels and the other 224.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from src_model.inference.global_pools import GlobalPools, Values
from src_model.inference.network import MemoryRanOut, Network, classes
from src_model.inference.prepare import is_constant
from src_model.inference.slides.area import Area
from src_model.inference.slides.grid import Grid
from src_model.inference.slides.plan import Plan, Sizes
from src_model.inference.slides.request import SlideRequest
from src_model.inference.transfer import Sent
from src_model.tiling.plan import Box, round_up

_FARTHEST = 256
"""Context that suffices for every network, pixels."""
_SIDE, _WINDOWS = 512, 4
_WHOLE = _SIDE + 2 * _FARTHEST
_STEP = 16
_ALLOWED = 0.0007
"""Share of a tile's pixels that may differ: less than is promised, as it is measured on few windows."""
_UNSEEN = 0.006
"""What differs without any context where nobody looked; it counts as much as one of the windows."""

Read = Callable[[Box], NDArray[Any]]
Send = Callable[[Sequence[NDArray[Any]]], Sent]


class Context:
    """How a mask is changed where less is seen around it.

    Parameters
    ----------
    differing
        Share of the pixels that change, by their distance from the edge of what is seen, pixels; the mean
        of some windows.
    windows
        How many.
    """

    def __init__(self, differing: NDArray[np.float64], windows: int) -> None:
        self._differing, self._windows = differing, windows

    def differing(self, tile: int, halo: int) -> float:
        """Share of the pixels of a square tile that change with such a halo."""
        distance = np.arange(halo, min(halo + tile // 2, len(self._differing)))
        ring = 4 * (tile + 2 * (halo - distance))
        return float((self._differing[distance] * ring).sum() / tile**2)

    def halo_of(self, tile: int, *, least: int, multiple: int) -> int:
        """The least halo with which hardly a pixel changes, a multiple of ``multiple``, pixels."""
        step = round_up(_STEP, multiple)
        choices = range(round_up(least, step), _FARTHEST, step)
        return next((halo for halo in choices if self._expected(tile, halo) <= _ALLOWED), _FARTHEST)

    def _expected(self, tile: int, halo: int) -> float:
        """Of all such tiles. Few windows tell little of the rare places where much differs."""
        unseen = _UNSEEN * (1 - halo / _FARTHEST) ** 2
        return (self._windows * self.differing(tile, halo) + unseen) / (self._windows + 1)


class Fitting(NamedTuple):
    """The tiles of a slide, and what the global pools of the network are on it if that was looked up."""

    sizes: Sizes
    plan: Plan
    pools: Values | None


def fitting_plan(
    request: SlideRequest, network: Network, grid: Grid, area: Area, read: Read, send: Send
) -> Fitting:
    """The tiles of a slide, with the context that the network needs.

    It is measured where networks of its kind differ, unless the caller said how much, or there is one
    tile alone.

    Parameters
    ----------
    request, network, grid, area
        What is segmented, and by what.
    read
        Gives the pixels of a box of the mask's grid.
    send
        Prepares images for the network.
    """
    model = network.model
    halo_of: Callable[[int], int] = model.halo_of
    pools = GlobalPools(model)
    if request.halo is None and model.halo_varies:
        tile = request.tile or network.largest_tile
        rough = Plan(grid, area, Sizes(tile, model.halo_of(tile), 1), model.required_multiple)
        windows = rough.windows(_WHOLE, _WINDOWS) if rough.tiles > 1 else []
        context = None
        if windows:
            for boxes in rough.samples():
                record(network, pools, boxes, read, send)
            context = measure(network, pools, windows, read, send, request.threshold)
        if context is not None:
            halo_of = partial(context.halo_of, least=model.near_halo or 0, multiple=model.required_multiple)
    sizes = Sizes.of(request, network, grid, halo_of)
    plan = Plan(grid, area, sizes, model.required_multiple)
    return Fitting(sizes, plan, pools.values if request.holds_pools and pools.values else None)


def record(network: Network, pools: GlobalPools, boxes: Sequence[Box], read: Read, send: Send) -> None:
    """Let global pools see some boxes of one size, but for those without contrast."""
    if images := [image for image in map(read, boxes) if not is_constant(image)]:
        pools.look(lambda: network.logits(send(images), steady=False))


def measure(
    network: Network, pools: GlobalPools, windows: list[Box], read: Read, send: Send, threshold: float
) -> Context | None:
    """Compare masks of the middles of windows with those of the whole windows.

    Parameters
    ----------
    network, windows, read, send, threshold
        As for :func:`fitting_plan`.
    pools
        Of the network, with what they are on the slide.

    Returns
    -------
    Context or None
        ``None`` where there is no window with contrast, or no memory for one.
    """
    middle = Box(_FARTHEST, _FARTHEST, _SIDE, _SIDE)
    edge = np.minimum(np.arange(_SIDE), np.arange(_SIDE)[::-1])
    distance = np.minimum(edge[:, None], edge)
    changed, seen = np.zeros(_SIDE // 2), 0
    with pools.held() if pools.values else nullcontext():
        for image in filter(lambda image: not is_constant(image), map(read, windows)):
            inside = send([np.ascontiguousarray(image[middle.slices])])
            try:
                alone = network.logits(inside, steady=False)[0]
                context = network.logits(send([image]), steady=False, part=middle)[0]
            except MemoryRanOut:
                return None
            differs = classes(alone, threshold) != classes(context, threshold)
            changed += np.bincount(distance.ravel(), differs.cpu().numpy().ravel(), _SIDE // 2)
            seen += 1
    return Context(changed / np.bincount(distance.ravel()) / seen, seen) if seen else None
