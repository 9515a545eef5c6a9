"""Layers that make wide maps on their way, run on some rows after the other: the same values in less memory.

A block that widens a map to six times its channels and narrows it again needs the wide one of a few rows
at a time only. On a processor that takes no longer than all rows at once, and tiles can be larger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from torch import Tensor, nn

from src_model.inference.later import Later, rows_of
from src_model.inference.maps import Maps
from src_model.inference.rewrites import MiddleDock, SplitFuse
from src_model.models.aspp import ASPP
from src_model.models.blocks import GlobalPool
from src_model.models.experts import ExpertBank
from src_model.models.mixture_ends import Dock
from src_model.tiling.plan import Box, round_up

_LEAST = 32
"""Rows of a strip for each that is looked at beyond it."""


def reach_of(layers: nn.Module) -> int:
    """Rows on each side of a row that are looked at, where one of the layers at most looks further."""
    rows = (int(one.kernel_size[0]) // 2 * int(one.dilation[0]) for one in _convolutions(layers))
    return max(rows, default=0)


def _most_channels(layers: nn.Module) -> int:
    return max(max(part.in_channels, part.out_channels) for part in _convolutions(layers))


def _row_bytes(like: Tensor, channels: int) -> int:
    """Of a row of an image's map of so many channels, as wide as another one."""
    return like.shape[3] * channels * like.element_size()


def _convolutions(layers: nn.Module) -> Iterator[nn.Conv2d]:
    return (part for part in layers.modules() if isinstance(part, nn.Conv2d))


def in_strips(
    compute: Callable[[int, int], Sequence[Tensor]],
    maps: Maps,
    rows: int,
    *,
    row_bytes: int,
    margin: int,
    up: int = 1,
    down: int = 1,
) -> list[Tensor]:
    """What ``compute`` makes of all rows, put together of what it makes of some after the other.

    Parameters
    ----------
    compute
        Maps ``(B, C, n, W)`` from the first row of its input and the one after the last. What it is not
        given it takes for the edge of the image.
    maps
        Makes the results.
    rows
        Of the input.
    row_bytes
        That one of them takes in the widest map on the way to the result; see :class:`Maps`.
    margin
        Rows of the input on each side that a row of the result depends on; a multiple of ``down``.
    up, down
        Rows of the result for so many of the input.
    """
    most, unit = max(maps.strip_bytes // row_bytes, _LEAST * margin, 1), max(margin, 1)
    step = round_up(-(-rows // -(-rows // most)), unit)
    window = step + 2 * margin
    if rows <= window:
        return list(compute(0, rows))
    whole: list[Tensor] = []
    for top in range(0, rows, step):
        bottom = min(top + step, rows)
        # All strips look at as many rows, those at the edges too: layers are set up once for each size.
        low = max(min(top - margin, (rows - window) // unit * unit), 0)
        first, end, start = (-(-row * up // down) for row in (top, bottom, low))
        parts = compute(low, rows if bottom == rows else low + window)
        if not whole:
            height = -(-rows * up // down)
            whole = [maps.empty((*x.shape[:2], height, x.shape[3]), x.dtype, x.device) for x in parts]
        for result, part in zip(whole, parts, strict=True):
            result[:, :, first:end] = part[:, :, first - start : end - start]
        del parts, part  # before the next ones are made
    return whole


class Strips(nn.Module):
    """A layer of one map, all of whose convolutions but one are pointwise.

    Parameters
    ----------
    layer
        Pads with zeros at the edges, so that rows that lie within are not changed by what is cut off.
    maps
        Makes the result.
    """

    def __init__(self, layer: nn.Module, maps: Maps) -> None:
        super().__init__()
        self.layer, self.maps = layer, maps
        self.step = max(int(one.stride[0]) for one in _convolutions(layer))
        self.margin = -(-reach_of(layer) // self.step) * self.step
        self.channels = _most_channels(layer)

    def forward(self, x: Tensor) -> Tensor:
        """As the layer."""

        def compute(low: int, high: int) -> list[Tensor]:
            return [self.layer(x[:, :, low:high])]

        row_bytes = _row_bytes(x, self.channels)
        return in_strips(
            compute, self.maps, x.shape[2], row_bytes=row_bytes, margin=self.margin, down=self.step
        )[0]


class UpStrips(nn.Module):
    """A decoder's block, and a head of pointwise layers that may follow it."""

    def __init__(self, up: nn.Module, maps: Maps, head: nn.Module | None = None) -> None:
        super().__init__()
        self.up, self.maps = up, maps
        self.head = nn.Sequential() if head is None else head
        self.channels = _most_channels(up)

    def forward(self, below: Tensor, skip: Tensor | Later) -> Tensor:
        """``(B, C, H, W)`` and ``(B, S, 2H, 2W)`` to ``(B, K, 2H, 2W)``."""

        def compute(low: int, high: int) -> list[Tensor]:
            return [self.head(self.up(below[:, :, low:high], rows_of(skip, 2 * low, 2 * high)))]

        row_bytes = 4 * _row_bytes(below, self.channels)
        return in_strips(compute, self.maps, below.shape[2], row_bytes=row_bytes, margin=1, up=2)[0]


class JoinedASPP(ASPP):
    """An :class:`src_model.models.aspp.ASPP` whose branches go one by one to where they are joined."""

    def __init__(self, aspp: ASPP, maps: Maps) -> None:
        nn.Module.__init__(self)
        for name, child in aspp.named_children():
            self.add_module(name, child)
        self.dilations, self.maps = aspp.dilations, maps

    def forward(self, x: Tensor, part: Box | None = None) -> Tensor:
        """As the ASPP."""
        joined: Tensor | None = None
        for number, seen in enumerate(self.branches(x, part)):
            width = seen.shape[1]
            if joined is None:
                shape = (len(x), (len(self.dilated) + 2) * width, *seen.shape[2:])
                joined = self.maps.empty(shape, seen.dtype, x.device)
            joined[:, number * width : (number + 1) * width] = seen
        result: Tensor = self.project(joined)
        return result


class FuseStrips(nn.Module):
    """:class:`src_model.inference.rewrites.SplitFuse`, on grids that divide evenly."""

    def __init__(self, fuse: SplitFuse, maps: Maps) -> None:
        super().__init__()
        self.fuse, self.maps = fuse, maps

    def forward(self, features: Sequence[Tensor | Later], grid: Sequence[int]) -> Tensor:
        """One ``(B, channels[i], ...)`` per level to ``(B, width, *grid)``."""
        rows = int(grid[0])
        levels = [(x, int(x.shape[2])) for x in features]
        coarsest = max(rows // min(h for _, h in levels), 1)
        even = all(max(h, rows) % min(h, rows) == 0 for _, h in levels)
        if self.fuse.corners or not even:
            whole: Tensor = self.fuse([rows_of(x, 0, h) for x, h in levels], grid)
            return whole

        def compute(low: int, high: int) -> list[Tensor]:
            parts = [rows_of(x, low * h // rows, high * h // rows) for x, h in levels]
            return [self.fuse(parts, (high - low, *grid[1:]))]

        # Enlarging looks at a row of the coarser map on each side.
        channels = sum(part.out_channels for part in _convolutions(self.fuse.parts))
        sample = next(x for x in features if isinstance(x, Tensor))
        row_bytes = _row_bytes(sample, channels) * int(grid[1]) // sample.shape[3]
        return in_strips(compute, self.maps, rows, row_bytes=row_bytes, margin=coarsest)[0]


class DockStrips(nn.Module):
    """:class:`src_model.models.mixture_ends.Dock`, to grids that divide evenly; with ``later`` to a finer one
    where it is looked at.
    """

    def __init__(self, dock: Dock | MiddleDock, maps: Maps, *, later: bool = False) -> None:
        super().__init__()
        self.dock, self.maps, self.later = dock, maps, later

    def forward(self, mixture: Tensor, size: Sequence[int]) -> Tensor | Later:
        """``(B, width, h, w)`` to ``(B, channels, *size)``."""
        rows, wanted = int(mixture.shape[2]), int(size[0])
        inner = self.dock.dock if isinstance(self.dock, MiddleDock) else self.dock
        up, down = max(wanted // rows, 1), max(rows // wanted, 1)
        even = rows * up == wanted * down
        if inner.corners or not even:
            whole: Tensor = self.dock(mixture, size)
            return whole
        if self.later and down == 1:
            return Later(lambda x: self.dock(x, [up * n for n in x.shape[2:]]), mixture, margin=1, up=up)

        def compute(low: int, high: int) -> list[Tensor]:
            return [self.dock(mixture[:, :, low:high], ((high - low) * up // down, *size[1:]))]

        row_bytes = up * up * _row_bytes(mixture, _most_channels(inner))
        return in_strips(compute, self.maps, rows, row_bytes=row_bytes, margin=down, up=up, down=down)[0]


class BankStrips(ExpertBank):
    """An :class:`src_model.models.experts.ExpertBank` of the same experts."""

    def __init__(self, bank: ExpertBank, maps: Maps) -> None:
        nn.ModuleList.__init__(self, bank)
        self.run_all, self.maps = bank.run_all, maps
        self.margin, self.channels = reach_of(bank), _most_channels(bank)

    def mix(self, x: Tensor, weights: Tensor) -> list[Tensor]:
        """Weighted sums of the experts' outputs, one per router."""
        pools = [part for part in self.modules() if isinstance(part, GlobalPool) and part.held is None]
        if pools and len(x) > 1:
            return super().mix(x, weights)
        row_bytes = 2 * _row_bytes(x, self.channels)
        one_pass = super().mix

        def compute(low: int, high: int) -> list[Tensor]:
            return one_pass(x[:, :, low:high], weights)

        with ExitStack() as restore:
            for pool in pools:  # it looks at all rows
                restore.callback(setattr, pool, "held", None)
                pool.held = pool(x).flatten()
            return in_strips(compute, self.maps, x.shape[2], row_bytes=row_bytes, margin=self.margin)
