"""What is looked at before each layer of a network that runs: whether to go on, and with how many threads."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from src_model.events import Control


class Watch:
    """Heeds a control token before each layer of a private network.

    Parameters
    ----------
    model
        The network.
    control
        Ends the pass where a stop was asked for; holds it while paused. While it makes way, layers are
        computed with one thread fewer: the system does not put those who draw on a processor where a thread
        computes, however low its priority.
    shares_processors
        Whether the network computes on the processors that draw.
    """

    def __init__(self, model: nn.Module, control: Control, *, shares_processors: bool) -> None:
        self._control = control
        self._threads = self._all = torch.get_num_threads()
        self._fewer = max(self._all - 1, 1) if shares_processors else self._all
        for layer in model.modules():
            if next(layer.children(), None) is None:
                layer.register_forward_pre_hook(self._before)

    def passed(self) -> None:
        """The pass has ended: what follows in this thread computes with all threads again."""
        self._compute_with(self._all)

    def _before(self, _layer: nn.Module, _arguments: tuple[Any, ...]) -> None:
        self._control.check()
        self._compute_with(self._fewer if self._control.makes_way else self._all)

    def _compute_with(self, threads: int) -> None:
        if threads != self._threads:
            torch.set_num_threads(threads)
            self._threads = threads
