"""The optimiser's groups, its schedule and its way through saved tensors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from src_model.config import StageConfig
from src_model.training.optim import cosine, load_optimiser_tensors, make_optimiser, optimiser_tensors

SETTINGS = StageConfig(epochs=1, learning_rate=1e-2, weight_decay=0.5)


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 1, 1))


def test_the_cosine_starts_at_the_base_and_falls_to_nearly_nothing() -> None:
    rates = [cosine(1e-3, step, 100) for step in range(100)]

    assert rates[0] == 1e-3
    assert rates[50] == pytest.approx(5e-4)
    assert rates[-1] < 1e-6
    assert rates == sorted(rates, reverse=True)


def test_weights_decay_but_biases_and_normalisation_do_not() -> None:
    network = _network()

    decaying, free = make_optimiser(network, SETTINGS).param_groups

    assert {id(p) for p in decaying["params"]} == {id(network[0].weight), id(network[2].weight)}
    assert decaying["weight_decay"] == 0.5
    assert free["weight_decay"] == 0.0
    assert len(free["params"]) == 4


def test_frozen_parameters_are_left_to_no_optimiser() -> None:
    network = _network()
    network[0].requires_grad_(False)
    network[1].requires_grad_(False)

    groups = make_optimiser(network, SETTINGS).param_groups

    assert sum(len(group["params"]) for group in groups) == 2


def test_saved_moments_continue_exactly_in_channels_last() -> None:
    torch.manual_seed(0)
    network = _network().to(memory_format=torch.channels_last)
    optimiser = make_optimiser(network, SETTINGS)

    def step(net: nn.Module, opt: torch.optim.AdamW, seed: int) -> None:
        x = torch.randn(2, 2, 9, 9, generator=torch.Generator().manual_seed(seed))
        opt.zero_grad()
        net(x.to(memory_format=torch.channels_last)).square().mean().backward()
        opt.step()

    step(network, optimiser, 1)
    saved = {k: v.contiguous().clone() for k, v in optimiser_tensors(network, optimiser).items()}
    twin = _network().to(memory_format=torch.channels_last)
    twin.load_state_dict(network.state_dict())
    other = make_optimiser(twin, SETTINGS)
    load_optimiser_tensors(twin, other, saved)
    step(network, optimiser, 2)
    step(twin, other, 2)

    assert len(saved) == 3 * 6
    for ours, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_learning_rate_first_rises_in_a_line_and_then_follows_the_cosine() -> None:
    rates = [cosine(1.0, step, 10, warmup=4) for step in range(10)]

    plain = [cosine(1.0, step, 10) for step in range(10)]
    assert rates[:4] == pytest.approx([plain[step] * (step + 1) / 4 for step in range(4)])
    assert rates[4:] == plain[4:]
