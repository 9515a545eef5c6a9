"""Routers, mixture weights, unused experts and the balance between them."""

from __future__ import annotations

import math

import pytest
import torch

from src_model.errors import ModelError
from src_model.models.experts import (
    ExpertBank,
    RouterBank,
    Routing,
    add_unused,
    balance_loss,
    mixture_weights,
)


def test_the_published_weights_are_a_second_softmax_over_the_kept_probabilities() -> None:
    probabilities = torch.tensor([0.1, 0.5, 0.05, 0.35])

    weights = mixture_weights(probabilities, 2)

    share = math.exp(0.5) / (math.exp(0.5) + math.exp(0.35))
    assert weights.tolist() == pytest.approx([0.0, share, 0.0, 1 - share])


def test_without_the_second_softmax_the_kept_probabilities_are_rescaled() -> None:
    weights = mixture_weights(torch.tensor([0.1, 0.5, 0.1, 0.3]), 2, double_softmax=False)

    assert weights.tolist() == pytest.approx([0.0, 0.625, 0.0, 0.375])


@pytest.mark.parametrize("top_k", [1, 2, 3, 4])
def test_exactly_top_k_experts_are_selected_even_among_equals(top_k: int) -> None:
    probabilities = torch.full((5, 3, 4), 0.25)

    weights = mixture_weights(probabilities, top_k)

    assert (Routing(probabilities, weights).selected.sum(-1) == top_k).all()
    assert torch.allclose(weights.sum(-1), torch.ones(5, 3))


@pytest.mark.parametrize("top_k", [0, 5, -1, 2.0, True, "2"])
def test_an_impossible_top_k_is_refused(top_k: object) -> None:
    with pytest.raises(ModelError, match="from 1 to 4"):
        mixture_weights(torch.full((4,), 0.25), top_k)  # type: ignore[arg-type]


def test_the_balance_loss_is_variance_over_squared_mean_summed_over_routers() -> None:
    probabilities = torch.tensor(
        [[[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]], [[0.4, 0.3, 0.2, 0.1], [0.2, 0.3, 0.2, 0.3]]]
    )
    expected = 0.0
    for loads in ([1.1, 0.4, 0.3, 0.2], [0.45, 0.55, 0.45, 0.55]):
        mean = sum(loads) / 4
        expected += sum((load - mean) ** 2 for load in loads) / 3 / (mean**2 + 1e-10)

    assert float(balance_loss(probabilities)) == pytest.approx(expected, rel=1e-5)


def test_the_balance_loss_of_an_even_or_a_single_expert_is_zero() -> None:
    assert float(balance_loss(torch.full((3, 2, 4), 0.25))) == pytest.approx(0.0, abs=1e-10)
    assert float(balance_loss(torch.ones(3, 2, 1))) == 0.0


def test_every_unused_expert_joins_exactly_one_sample_and_no_choice_is_lost() -> None:
    selected = torch.zeros(6, 2, 4, dtype=torch.bool)
    selected[:, 0, 1] = True
    selected[2, 1, 0] = True

    enlarged = add_unused(selected)

    counts = enlarged.sum(0)
    assert counts.tolist() == [[1, 6, 1, 1], [1, 1, 1, 1]]
    assert (enlarged | ~selected).all()


def test_the_sample_of_an_unused_expert_is_random_and_reproducible() -> None:
    selected = torch.zeros(64, 1, 4, dtype=torch.bool)
    torch.manual_seed(3)
    first, second = add_unused(selected), add_unused(selected)
    torch.manual_seed(3)

    assert torch.equal(first, add_unused(selected))
    assert not torch.equal(first, second)


def test_the_number_of_random_draws_does_not_depend_on_the_choice() -> None:
    torch.manual_seed(1)
    add_unused(torch.ones(4, 2, 4, dtype=torch.bool))
    after_all_used = torch.get_rng_state()
    torch.manual_seed(1)
    add_unused(torch.zeros(4, 2, 4, dtype=torch.bool))

    assert torch.equal(after_all_used, torch.get_rng_state())


def test_gates_are_xavier_uniform() -> None:
    gates = RouterBank(64, 4, 4).gates.detach()

    bound = math.sqrt(6 / (64 + 4))
    assert gates.shape == (4, 64, 4)
    assert 0.9 * bound < gates.abs().max() <= bound


@pytest.mark.parametrize("shape", [(5, 3, 4, 6), (5, 3, 2, 4, 3)])
def test_a_mixture_is_the_weighted_sum_of_all_experts(shape: tuple[int, ...]) -> None:
    bank = ExpertBank(3, 4, dims=len(shape) - 2).eval()
    x = torch.randn(shape)
    weights = mixture_weights(torch.rand(5, 2, 4).softmax(-1), 2)

    mixtures = bank.mix(x, weights)

    outputs = torch.stack([expert(x) for expert in bank], 1)
    for router, mixture in enumerate(mixtures):
        expected = torch.einsum("be,be...->b...", weights[:, router], outputs)
        torch.testing.assert_close(mixture, expected)


def test_a_mixture_keeps_the_channels_last_format() -> None:
    x = torch.randn(5, 8, 4, 6).to(memory_format=torch.channels_last)
    bank = ExpertBank(8, 4).eval().to(memory_format=torch.channels_last)
    weights = mixture_weights(torch.rand(5, 2, 4).softmax(-1), 2)

    mixtures = bank.mix(x, weights)

    assert all(m.is_contiguous(memory_format=torch.channels_last) for m in mixtures)
