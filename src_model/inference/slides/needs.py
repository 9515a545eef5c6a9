"""What the segmentation of a slide will take: memory and room on the disk, known before it begins."""

from __future__ import annotations

import math
import shutil
import weakref
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from src_model.data.slide_formats.level import CACHE_BYTES
from src_model.errors import DeviceError, OutputError
from src_model.inference.global_pools import GlobalPools
from src_model.inference.network import Network
from src_model.tiling.plan import Box, round_up

_GAPS, _CONVOLUTIONS, _STRIPS, _BESIDE = 0.15, 0.25, 300_000_000, 200_000_000
"""Of the network's maps, what gaps between them take, and convolutions; bytes of maps that live for a layer
only, with the gaps between them; bytes for all else that is kept for a work."""
_MASK_SHARE, _OBJECTS_SHARE = 0.1, 0.5
"""Bytes on disk per pixel that is segmented: compressed masks take less than the first nearly always."""
_SPARE_MEMORY = 256 << 20
_COLUMNS = 32
"""Of the input on which a network is measured at least: as high as a tile, its strips as much narrower."""
_PEAKS: weakref.WeakKeyDictionary[Network, dict[tuple[int, float, bool], float]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Needs:
    """Bytes, beyond what is taken already."""

    memory: int
    disk: int
    maps: int = 0
    """Those of ``memory`` that are for the network's large maps on a processor."""
    heap: int = 0
    """Those of ``memory`` for the small ones there, which are taken at once."""

    def check_disk(self, folder: Path) -> None:
        """Refuse a disk without room with an OutputError."""
        free = shutil.disk_usage(folder).free
        if free < self.disk:
            raise OutputError(
                f"The results may take {in_units(self.disk)} but only {in_units(free)} are free in {folder}; "
                "make space there or choose another folder."
            )


def needs_of(
    network: Network,
    read: tuple[int, int],
    *,
    peak: float,
    batch: int,
    ahead: int,
    pixels: int,
    objects: bool,
) -> Needs:
    """What a slide takes whose tiles read ``read`` pixels, ``batch`` at a time.

    Parameters
    ----------
    network
        That segments it.
    read
        Height and width of what a tile reads.
    peak
        Bytes of the network's maps for a pixel of its input, see :func:`peak_of_maps`.
    batch, ahead
        Tiles at a time, and groups of them that are read ahead.
    pixels
        Of the mask, that are segmented.
    objects
        Whether they are numbered.
    """
    area = batch * read[0] * read[1]
    # Pixels as they are stored and as they are sent, of what is read ahead and of what is computed; masks.
    queues = area * (ahead + 1) * (network.in_channels * (1 + network.transfer.dtype.itemsize) + 2)
    maps, strips = (area * peak, _STRIPS) if network.shares_processors else (0.0, 0)
    disk = pixels * (_MASK_SHARE + (_OBJECTS_SHARE if objects else 0))
    heap = maps * _CONVOLUTIONS + strips
    maps *= 1 + _GAPS
    memory = maps + heap + queues + CACHE_BYTES + _BESIDE
    return Needs(int(memory), int(disk) + (1 << 20), int(maps), int(heap))


def check_memory(needs: Needs, name: str) -> None:
    """Refuse a work that does not fit into memory with a DeviceError."""
    free = psutil.virtual_memory().available
    if not fits(needs):
        raise DeviceError(
            f"Segmenting {name} takes {in_units(needs.memory)} of memory but {in_units(free)} are free; "
            "close other programs, or choose a smaller network."
        )


def fits(needs: Needs) -> bool:
    """Whether there is memory for it."""
    return bool(needs.memory + _SPARE_MEMORY <= psutil.virtual_memory().available)


def in_units(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def peak_of_maps(network: Network, pixels: int, *, held: bool, kept: float = 1.0) -> float:
    """Most bytes of maps that a network holds at a time for a pixel of an image of so many.

    Measured once on a small one. ``held`` = whether its global pools will be held, which saves the light
    networks some; ``kept`` = share of the image whose result is wanted.
    """
    known = _PEAKS.setdefault(network, {})
    key = pixels, kept, held
    if key not in known:
        known[key] = _measured_peak(network, *key)
    return known[key]


def _measured_peak(network: Network, pixels: int, kept: float, held: bool) -> float:
    counter, pools = _LiveBytes(), GlobalPools(network.model)
    multiple = network.model.required_multiple
    rows, columns = round_up(math.isqrt(pixels), multiple), round_up(_COLUMNS, multiple)
    margin = round((1 - kept) * rows / 2)
    images = np.zeros((1, network.in_channels, rows, columns), np.float32)
    with ExitStack() as until:
        until.enter_context(network.maps.smaller_strips(min(columns / rows, 1.0)))
        if held and pools.names:
            pools.look(lambda: network.logits(images[..., :columns, :], steady=False))
            until.enter_context(pools.held())
        with counter:
            network.logits(images, steady=False, part=Box(margin, 0, rows - 2 * margin, columns))
    return counter.peak / (rows * columns)


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are made within it and still alive."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch loads its compiler for it, which takes more than a second and 50 MB

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in tree_iter(result):
            if isinstance(made, Tensor):
                self._count(made.untyped_storage())
        return result

    def _count(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, count: int) -> None:
        self._known.discard(key)
        self._now -= count
