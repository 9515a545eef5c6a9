"""Layers that make wide maps on their way, run on some rows after the other: the same values in less memory.

A block that widens a map to six times its channels and narrows it again needs the wide one of a few rows
at a time only. On a processor that takes no longer than all rows at once, and tiles can be larger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import cast

from torch import Tensor, nn

from src_model.inference.fused import JoinedUp
from src_model.inference.maps import Maps
from src_model.inference.rewrites import MiddleDock, SplitFuse
from src_model.models.aspp import ASPP
from src_model.models.blocks import GlobalPool
from src_model.models.decoders import UNetDecoder
from src_model.models.encoders import ResNet34Encoder
from src_model.models.experts import ExpertBank
from src_model.models.mixture_ends import Dock
from src_model.models.mobilenet import InvertedResidual, MobileNetV2Encoder
from src_model.models.skips import MixtureOfSkips
from src_model.models.utanet import UTANet

ROWS = 128
"""Of the input, that are computed at a time; a map of no more than two such strips is computed at once."""


def run_in_strips(model: nn.Module, maps: Maps) -> None:
    """Put such layers into a network that runs on a processor, in place.

    Parameters
    ----------
    model
        For images (2-D), after :func:`src_model.inference.fused.fuse_passes`.
    maps
        Makes their results.
    """
    for module in list(model.modules()):
        if isinstance(module, MobileNetV2Encoder):
            module.fine[0] = Strips(module.fine[0], maps)
            module.features[0] = Strips(module.features[0], maps)
        if isinstance(module, ResNet34Encoder):
            module.stem[0] = Strips(module.stem[0], maps)
        for name, child in list(module.named_children()):
            if isinstance(child, InvertedResidual):
                setattr(module, name, Strips(child, maps))
        if isinstance(module, MixtureOfSkips):
            _in_strips(module, maps)
    if isinstance(model, UTANet) and isinstance(model.bottleneck, ASPP):
        model.bottleneck = JoinedASPP(model.bottleneck, maps)
    if isinstance(model, UTANet) and type(model.decoder) is UNetDecoder:
        *ups, last = model.decoder.ups
        model.decoder.ups = nn.ModuleList(UpStrips(cast(JoinedUp, up), maps) for up in ups)
        model.decoder.ups.append(UpStrips(cast(JoinedUp, last), maps, model.head))
        model.head = nn.Sequential()


def _in_strips(mixture: MixtureOfSkips, maps: Maps) -> None:
    if isinstance(mixture.fuse, SplitFuse):
        mixture.register_module("fuse", FuseStrips(mixture.fuse, maps))
    mixture.experts = BankStrips(mixture.experts, maps)
    for number, dock in enumerate(mixture.dockers):
        mixture.dockers[number] = DockStrips(cast(Dock, dock), maps)


def reach_of(layers: nn.Module) -> int:
    """Rows on each side of a row that are looked at, where one of the layers at most looks further."""
    rows = (int(one.kernel_size[0]) // 2 * int(one.dilation[0]) for one in _convolutions(layers))
    return max(rows, default=0)


def _convolutions(layers: nn.Module) -> Iterator[nn.Conv2d]:
    return (part for part in layers.modules() if isinstance(part, nn.Conv2d))


def strips(rows: int) -> Iterator[tuple[int, int]]:
    """First row and row after the last of each strip."""
    for top in range(0, rows, ROWS):
        yield top, min(top + ROWS, rows)


class Result:
    """A map that is put together of its strips."""

    def __init__(self, maps: Maps, rows: int) -> None:
        self._maps, self._rows = maps, rows
        self._whole: Tensor | None = None

    def put(self, part: Tensor, top: int, bottom: int, first: int) -> None:
        """Its rows ``top`` to ``bottom`` are those of ``part`` from number ``first`` on."""
        if self._whole is None:
            shape = (*part.shape[:2], self._rows, part.shape[3])
            self._whole = self._maps.empty(shape, part.dtype, part.device)
        self._whole[:, :, top:bottom] = part[:, :, first : first + bottom - top]

    @property
    def whole(self) -> Tensor:
        """All of it."""
        return cast(Tensor, self._whole)


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

    def forward(self, x: Tensor) -> Tensor:
        """As the layer."""
        rows = x.shape[2]
        if rows <= 2 * ROWS:
            whole: Tensor = self.layer(x)
            return whole
        result = Result(self.maps, -(-rows // self.step))
        for top, bottom in strips(rows):
            low = max(top - self.margin, 0)
            part = self.layer(x[:, :, low : bottom + self.margin])
            result.put(part, top // self.step, -(-bottom // self.step), (top - low) // self.step)
        return result.whole


class UpStrips(nn.Module):
    """A decoder's block, and a head of pointwise layers that may follow it."""

    def __init__(self, up: JoinedUp, maps: Maps, head: nn.Module | None = None) -> None:
        super().__init__()
        self.up, self.maps = up, maps
        self.head = nn.Sequential() if head is None else head

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """``(B, C, H, W)`` and ``(B, S, 2H, 2W)`` to ``(B, K, 2H, 2W)``."""
        rows = below.shape[2]
        if rows <= 2 * ROWS:
            whole: Tensor = self.head(self.up(below, skip))
            return whole
        result = Result(self.maps, 2 * rows)
        for top, bottom in strips(rows):
            low, high = max(top - 1, 0), min(bottom + 1, rows)
            part = self.head(self.up(below[:, :, low:high], skip[:, :, 2 * low : 2 * high]))
            result.put(part, 2 * top, 2 * bottom, 2 * (top - low))
        return result.whole


class JoinedASPP(ASPP):
    """An :class:`src_model.models.aspp.ASPP` whose branches go one by one to where they are joined."""

    def __init__(self, aspp: ASPP, maps: Maps) -> None:
        nn.Module.__init__(self)
        for name, part in aspp.named_children():
            self.add_module(name, part)
        self.maps = maps

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``."""
        joined: Tensor | None = None
        for number, branch in enumerate((self.point, *self.dilated)):
            seen = branch(x)
            width = seen.shape[1]
            if joined is None:
                shape = (len(x), (len(self.dilated) + 2) * width, *x.shape[2:])
                joined = self.maps.empty(shape, seen.dtype, x.device)
                joined[:, -width:] = self.pooled(self.pool(x))
            joined[:, number * width : (number + 1) * width] = seen
        result: Tensor = self.project(joined)
        return result


class FuseStrips(nn.Module):
    """:class:`src_model.inference.rewrites.SplitFuse`, on grids that divide evenly."""

    def __init__(self, fuse: SplitFuse, maps: Maps) -> None:
        super().__init__()
        self.fuse, self.maps = fuse, maps

    def forward(self, features: Sequence[Tensor], grid: Sequence[int]) -> Tensor:
        """One ``(B, channels[i], ...)`` per level to ``(B, width, *grid)``."""
        rows = int(grid[0])
        heights = [int(feature.shape[2]) for feature in features]
        coarsest = max(rows // min(heights), 1)
        even = all(max(h, rows) % min(h, rows) == 0 for h in heights) and ROWS % coarsest == 0
        if self.fuse.corners or rows <= 2 * ROWS or not even:
            whole: Tensor = self.fuse(features, grid)
            return whole
        result = Result(self.maps, rows)
        for top, bottom in strips(rows):
            # Enlarging looks at a row of the coarser map on each side.
            low, high = max(top - coarsest, 0), min(bottom + coarsest, rows)
            parts = [
                x[:, :, low * h // rows : high * h // rows] for x, h in zip(features, heights, strict=True)
            ]
            result.put(self.fuse(parts, (high - low, *grid[1:])), top, bottom, top - low)
        return result.whole


class DockStrips(nn.Module):
    """:class:`src_model.models.mixture_ends.Dock`, to grids that divide evenly."""

    def __init__(self, dock: Dock | MiddleDock, maps: Maps) -> None:
        super().__init__()
        self.dock, self.maps = dock, maps

    def forward(self, mixture: Tensor, size: Sequence[int]) -> Tensor:
        """``(B, width, h, w)`` to ``(B, channels, *size)``."""
        rows, wanted = int(mixture.shape[2]), int(size[0])
        inner = self.dock.dock if isinstance(self.dock, MiddleDock) else self.dock
        shrink = max(rows // wanted, 1)
        even = max(rows, wanted) % min(rows, wanted) == 0 and ROWS % shrink == 0
        if inner.corners or rows <= 2 * ROWS or not even:
            whole: Tensor = self.dock(mixture, size)
            return whole
        result = Result(self.maps, wanted)
        for top, bottom in strips(rows):
            low, high = max(top - shrink, 0), min(bottom + shrink, rows)
            first, end, start = (row * wanted // rows for row in (top, bottom, low))
            part = self.dock(mixture[:, :, low:high], (high * wanted // rows - start, *size[1:]))
            result.put(part, first, end, first - start)
        return result.whole


class BankStrips(ExpertBank):
    """An :class:`src_model.models.experts.ExpertBank` of the same experts."""

    def __init__(self, bank: ExpertBank, maps: Maps) -> None:
        nn.ModuleList.__init__(self, bank)
        self.run_all, self.maps, self.margin = bank.run_all, maps, reach_of(bank)

    def mix(self, x: Tensor, weights: Tensor) -> list[Tensor]:
        """Weighted sums of the experts' outputs, one per router."""
        rows = x.shape[2]
        pools = [part for part in self.modules() if isinstance(part, GlobalPool) and part.held is None]
        if rows <= 2 * ROWS or (pools and len(x) > 1):
            return super().mix(x, weights)
        results = [Result(self.maps, rows) for _ in range(weights.shape[1])]
        with ExitStack() as restore:
            for pool in pools:  # it looks at all rows
                restore.callback(setattr, pool, "held", None)
                pool.held = pool(x).flatten()
            for top, bottom in strips(rows):
                low = max(top - self.margin, 0)
                parts = super().mix(x[:, :, low : bottom + self.margin], weights)
                for result, part in zip(results, parts, strict=True):
                    result.put(part, top, bottom, top - low)
        return [result.whole for result in results]
