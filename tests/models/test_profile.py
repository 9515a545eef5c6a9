"""Parameters, multiply-adds and latency."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from src_model.errors import ModelError
from src_model.models.profile import (
    costliest_routing,
    count_gmac,
    count_parameters,
    gmac_of,
    measure_latency,
    profile_model,
)
from src_model.models.registry import create_model


def test_utanet_has_the_published_parameters_without_the_unused_ones() -> None:
    assert count_parameters(create_model("utanet")) == 24_276_969 - 522_536


def test_multiply_adds_match_a_hand_count() -> None:
    model = create_model("utanet", stage=1)

    # 18.87 at 224 x 224, and the cost is proportional to the number of pixels
    assert count_gmac(model, 64, 64) * (224 / 64) ** 2 == pytest.approx(18.867, abs=0.01)


SMALL = {"base_channels": 4, "mixture_width": 8}


@pytest.mark.parametrize("top_k", [1, 2, 3, 4])
def test_no_choice_of_the_routers_costs_more_than_the_count(top_k: int) -> None:
    model = create_model("light-utanet", **SMALL)
    image = torch.zeros(1, 3, 32, 32)
    choices = [torch.rand(1, 4) for _ in range(12)]

    costs = [gmac_of(model, image, routing=choice, top_k=top_k) for choice in choices]

    assert max(costs) <= count_gmac(model, 32, 32, top_k=top_k)
    assert max(costs) == pytest.approx(count_gmac(model, 32, 32, top_k=top_k), rel=1e-9)


def test_the_count_does_not_depend_on_the_weights() -> None:
    costs = {count_gmac(create_model("light-utanet", **SMALL), 32, 32) for _ in range(5)}

    assert len(costs) == 1


def test_four_routers_can_need_all_four_experts_at_top_2_and_one_router_only_two() -> None:
    several = costliest_routing(create_model("utanet", **SMALL), 2)
    single = costliest_routing(create_model("light-utanet", **SMALL), 2)

    assert several is not None
    assert single is not None
    assert several.selected.sum(-1).tolist() == [[2, 2, 2, 2]]
    assert several.selected.any(1).all()
    assert single.selected.tolist() == [[[True, True, False, False]]]


def test_another_top_k_of_the_network_is_counted() -> None:
    model = create_model("light-utanet", **SMALL)
    at_top_1 = count_gmac(model, 32, 32, top_k=1)

    model.top_k = 1

    assert count_gmac(model, 32, 32) == at_top_1 < count_gmac(model, 32, 32, top_k=2)


def test_the_cheap_global_expert_is_the_last_to_be_counted() -> None:
    routing = costliest_routing(create_model("light-utanet", **SMALL), 3)

    assert routing is not None
    assert routing.selected.tolist() == [[[True, True, True, False]]]


def test_a_count_for_more_experts_than_there_are_is_refused() -> None:
    with pytest.raises(ModelError, match="top_k must be a whole number from 1 to 4"):
        count_gmac(create_model("utanet", **SMALL), 32, 32, top_k=5)


def test_latency_is_that_of_the_counted_choice() -> None:
    model = create_model("light-utanet", **SMALL)
    ran: list[int] = []
    assert model.mixture is not None

    def note(expert: nn.Module, inputs: tuple[torch.Tensor], _output: torch.Tensor) -> None:
        if inputs[0].device.type == "cpu":
            ran.append(experts.index(expert))

    experts = list(model.mixture.experts)
    for expert in experts:
        expert.register_forward_hook(note)

    measure_latency(model, 32, 32, repeats=1)

    assert ran == [0, 1, 0, 1]


def test_a_profile_leaves_the_modes_as_they_were() -> None:
    model = create_model("utanet", base_channels=4, mixture_width=8).train()
    model.encoder.eval()

    profile = profile_model(model, height=32, width=48, repeats=1)

    assert (profile.name, profile.stage, profile.height, profile.width) == ("utanet", 2, 32, 48)
    assert profile.parameters > profile.mixture_parameters > 0
    assert (profile.top_k, profile.threads) == (2, torch.get_num_threads())
    assert profile.gmac == count_gmac(model, 32, 48)
    assert profile.latency_ms > 0
    assert model.training
    assert not model.encoder.training
