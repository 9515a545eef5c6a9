"""Records a network's forward pass on a CUDA device once for each shape of its input, and replays it.

A forward pass is some hundred small kernels; sent one by one from Python they take longer than they
compute. A CUDA graph sends all of them at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Protocol

import torch
from torch import Tensor

from src_model.tiling.plan import Box


class Forward(Protocol):
    """A pass through a network."""

    def __call__(self, x: Tensor, part: Box | None = None) -> Tensor:
        """The result for a batch, or for a part of its pixels."""
        ...


_Key = tuple[int, ...]
"""Shape of an input, and the part of it."""

_AT_CALL = 2
"""The call with a shape at which it is recorded: what comes once is not worth it."""
_MOST = 6
"""Shapes that are kept; each holds its maps in the device's memory."""
_WARM_UPS = 3
"""Passes before the recording, in which libraries choose their kernels."""


@dataclass(frozen=True, eq=False)
class _Graph:
    graph: torch.cuda.CUDAGraph
    given: Tensor
    made: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        self.given.copy_(x)
        self.graph.replay()
        return self.made.clone()


class Replay:
    """A forward pass that gives what ``forward`` gives, faster from the second call with a shape on.

    Where recording fails, as for want of memory, the pass goes on as it was.

    Parameters
    ----------
    forward
        From a batch on the device to a tensor there, in inference mode. Nothing of it may depend on the
        values of its input but through kernels, and nothing of the network may change any more.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._calls: Counter[_Key] = Counter()
        self._graphs: dict[_Key, _Graph] = {}
        self._works = True

    def __call__(self, x: Tensor, part: Box | None = None) -> Tensor:
        """The result for a batch, or for a part of its pixels; the tensor is the caller's."""
        key = (*x.shape, *(() if part is None else astuple(part)))
        graph = self._graphs.get(key)
        if graph is not None:
            return graph(x)
        self._calls[key] += 1
        if self._works and self._calls[key] >= _AT_CALL and len(self._graphs) < _MOST:
            try:
                self._graphs[key] = graph = _record(self._forward, x, part)
            except RuntimeError:  # out of memory, or an operation that cannot be recorded
                self._works = False
                torch.cuda.synchronize(x.device)
                torch.cuda.empty_cache()
            else:
                return graph(x)
        return self._forward(x, part)


def _record(forward: Forward, x: Tensor, part: Box | None) -> _Graph:
    given = x.clone(memory_format=torch.preserve_format)
    stream = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(x.device))
    with _fastest_kernels():
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                forward(given, part)
        torch.cuda.current_stream(x.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            made = forward(given, part)
    return _Graph(graph, given, made)


@contextmanager
def _fastest_kernels() -> Iterator[None]:
    """Inside, cuDNN measures which of its convolutions is fastest for a shape."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
