"""What a network heeds before each layer: a stop, and that the window needs a processor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from src_model.errors import Stopped
from src_model.events import Control
from src_model.inference.network import Network
from src_model.inference.watch import Watch
from tests.inference.conftest import Brightness, checkpoint_of

IMAGE = np.zeros((1, 3, 8, 8), np.float32)


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    """Torch computes with three threads, whatever this machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Noting(Brightness):
    """Computes twice, and notes with how many threads."""

    threads: int = 0

    def forward(self, x: torch.Tensor, **options: Any) -> Any:
        super().forward(x, **options)
        result = super().forward(x, **options)
        type(self).threads = torch.get_num_threads()
        return result


def opened(control: Control | None) -> Network:
    return Network(checkpoint_of(Noting()), device="cpu", precision="float32", control=control)


def run(control: Control | None) -> int:
    """Threads with which a pass ended."""
    opened(control).logits(IMAGE)
    return Noting.threads


def test_a_network_computes_with_one_thread_fewer_while_it_makes_way_and_with_all_afterwards() -> None:
    control = Control()
    control.make_way(60)

    assert run(control) == 2
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("control", [None, Control()])
def test_it_computes_with_all_threads_while_nobody_needs_them(control: Control | None) -> None:
    assert run(control) == 3


def test_way_is_made_for_a_moment() -> None:
    control = Control()
    control.make_way(0)

    assert not control.makes_way
    assert run(control) == 3


def test_one_thread_remains() -> None:
    torch.set_num_threads(1)
    control = Control()
    control.make_way(60)

    assert run(control) == 1


def test_what_follows_a_pass_that_was_stopped_computes_with_all_threads() -> None:
    control, seen = Control(), []
    network = opened(control)

    def stop(*_: object) -> None:
        seen.append(torch.get_num_threads())
        control.stop()

    network.model.average.register_forward_hook(stop)
    control.make_way(60)

    with pytest.raises(Stopped):
        network.logits(IMAGE)

    assert seen == [2]
    assert torch.get_num_threads() == 3


def test_a_network_on_another_device_keeps_its_threads() -> None:
    control, layers = Control(), nn.Sequential(nn.ReLU())
    control.make_way(60)
    Watch(layers, control, shares_processors=False)

    layers(torch.zeros(1))

    assert torch.get_num_threads() == 3
