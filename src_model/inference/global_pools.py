"""Holds what a network concludes from a whole image, so that its parts are seen alike.

The routers of a mixture, the pooled branch of an ASPP, the global expert and channel attention
each look at the mean over the image (:class:`src_model.models.blocks.GlobalPool`). For a slide
that is seen in tiles these means differ from tile to tile, and neighbours may choose other experts.
Here they are recorded on some parts of the slide and then held for all of it.

The light networks resize their maps with corners kept in place, so that a pixel sees its surroundings
a little shifted, by where in the image it is. Where the pools are held it sees them as in the middle
of an image, wherever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from src_model.errors import ModelError
from src_model.inference.rewrites import SplitFuse
from src_model.models.blocks import GlobalPool
from src_model.models.mixture_ends import Dock, Fuse
from src_model.models.skips import MixtureOfSkips

Values = dict[str, list[float]]
"""The mean of each channel for each global pool, by the pool's name in the network."""


class _AllSeen(Exception):
    """Nothing of a pass is of interest any more."""


class GlobalPools:
    """All global pools of a network, rewritten for inference or not.

    A router's decision is linear in what it pools up to its softmax, so holding the pooled mean
    holds the mean of its logits, of which the ``top_k`` are then taken as always;
    ``Segmentation.routing`` tells what was used. An expert pools the same map as the routers of its
    mixture, and has their value even where no part of the scouting chose it.

    >>> pools = GlobalPools(model)
    >>> for patch in patches:
    ...     pools.look(lambda: model(patch))
    >>> with pools.held():
    ...     model(tile)

    Parameters
    ----------
    model
        In evaluation mode. Only its pools are touched, and only inside the two contexts. Its router
        must decide while recording: a ``routing`` that is given leaves nothing to record.
    """

    def __init__(self, model: nn.Module) -> None:
        shared = {
            id(pool): f"{name}.routers.pool"
            for name, mixture in model.named_modules()
            if isinstance(mixture, MixtureOfSkips)
            for pool in mixture.experts.modules()
            if isinstance(pool, GlobalPool)
        }
        self._pools: dict[str, list[GlobalPool]] = {}
        for name, part in model.named_modules():
            if isinstance(part, GlobalPool):
                self._pools.setdefault(shared.get(id(part), name), []).append(part)
                if id(part) not in shared:
                    self._pools[name].sort(key=lambda pool: id(pool) in shared)  # the recorded one first
        self._ends = [part for part in model.modules() if isinstance(part, (Fuse, SplitFuse, Dock))]
        self._device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        self._sums: dict[str, Tensor] = {}
        self._pixels: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the pools, as the network calls them."""
        return tuple(self._pools)

    @property
    def values(self) -> Values:
        """What was recorded or loaded: the mean over all pixels seen; plain data to be stored."""
        return {name: self._mean(name).tolist() for name in self._sums}

    def load(self, values: Mapping[str, Any]) -> None:
        """Take the place of what was recorded by :attr:`values` of the same architecture.

        Raises
        ------
        ModelError
            When a pool is missing or unknown, or a value is no list of one finite number a channel.
        """
        if set(values) != set(self._pools):
            raise ModelError(
                f"Expected values of the global pools {sorted(self._pools)} but got {sorted(values)}; they "
                "were recorded with another network."
            )
        sums = {}
        for name, given in values.items():
            channels = self._pools[name][0].channels
            try:
                sums[name] = torch.as_tensor(given, dtype=torch.float64).cpu()
            except (TypeError, ValueError):
                sums[name] = torch.empty(0)
            if sums[name].shape != (channels,) or not torch.isfinite(sums[name]).all():
                raise ModelError(
                    f"The global pool {name} needs {channels} finite numbers but got {str(given)[:80]}; they "
                    "were recorded with another network."
                )
        self._sums, self._pixels = sums, dict.fromkeys(sums, 1)

    def clear(self) -> None:
        """Forget what was recorded."""
        self._sums, self._pixels = {}, {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Inside, the network works as always, and each sample counts by its number of pixels."""
        with ExitStack() as hooks:
            for name, (pool, *_) in self._pools.items():
                hooks.callback(pool.register_forward_hook(self._recorder(name)).remove)
            yield

    def look(self, forward: Callable[[], object]) -> None:
        """Record from one pass of the network, which ends as soon as the last of the pools has been seen."""
        unseen = set(self._pools)

        def see(name: str) -> None:
            unseen.discard(name)
            if not unseen:
                raise _AllSeen

        with self.recording(), ExitStack() as hooks, suppress(_AllSeen):
            for name, (pool, *_) in self._pools.items():
                hooks.callback(pool.register_forward_hook(lambda *_, name=name: see(name)).remove)
            forward()

    def hold(self) -> ExitStack:
        """From now on each pool gives its recorded mean for every sample, whatever the image and its size.

        Returns
        -------
        ExitStack
            Closing it ends that.

        Raises
        ------
        ModelError
            When a pool has recorded nothing.
        """
        missing = [name for name in self._pools if name not in self._sums]
        if missing:
            raise ModelError(
                f"The global pools {missing} have no values yet; run the network inside 'recording' first, "
                "without giving it a routing."
            )
        restore = ExitStack()
        for name, pools in self._pools.items():
            mean = self._mean(name).float().to(self._device)
            for pool in pools:
                restore.callback(setattr, pool, "held", pool.held)
                pool.held = mean
        for end in self._ends:
            restore.callback(setattr, end, "corners", end.corners)
            end.corners = False
        return restore

    @contextmanager
    def held(self) -> Iterator[None]:
        """:meth:`hold` inside, and no longer."""
        with self.hold():
            yield

    def _mean(self, name: str) -> Tensor:
        return self._sums[name] / self._pixels[name]

    def _recorder(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def record(_pool: nn.Module, inputs: tuple[Tensor, ...], pooled: Tensor) -> None:
            pixels = inputs[0].shape[2:].numel()
            total = pooled.detach().double().flatten(1).sum(0).cpu() * pixels
            self._sums[name] = self._sums.get(name, torch.zeros_like(total)) + total
            self._pixels[name] = self._pixels.get(name, 0) + pixels * len(inputs[0])

        return record
