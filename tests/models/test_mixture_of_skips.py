"""The mixture as a part of any U-Net: shapes, routing, economy and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src_model.errors import ModelError
from src_model.models.experts import Routing
from src_model.models.skips import MixtureOfSkips

Make = Callable[..., MixtureOfSkips]


def features_of(batch: int = 3, size: int = 16) -> list[Tensor]:
    """Features of four levels with 4, 4, 8 and 16 channels."""
    return [
        torch.randn(batch, c, size // s, size // s) for c, s in zip((4, 4, 8, 16), (1, 2, 4, 8), strict=True)
    ]


@pytest.fixture
def make() -> Make:
    def build(**options: Any) -> MixtureOfSkips:
        return MixtureOfSkips((4, 4, 8, 16), (1, 2, 4, 8), **{"width": 8, **options})

    return build


def count_samples(mixture: MixtureOfSkips) -> list[list[int]]:
    """For each expert, a list that grows by the batch size of every call."""
    calls: list[list[int]] = [[] for _ in mixture.experts]
    for expert, seen in zip(mixture.experts, calls, strict=True):
        expert.register_forward_hook(lambda _m, args, _o, seen=seen: seen.append(len(args[0])))
    return calls


def favour(mixture: MixtureOfSkips, *experts: int) -> None:
    """Make every router prefer these experts for any image."""
    with torch.no_grad():
        mixture.fuse[1].bias.fill_(5.0)  # all fused features positive
        mixture.routers.gates.fill_(-1.0)
        mixture.routers.gates[:, :, list(experts)] = 1.0


def test_each_level_gets_its_shape_back(make: Make) -> None:
    features = features_of()

    skips, balance, routing = make().eval()(features)

    assert [s.shape for s in skips] == [f.shape for f in features]
    assert balance.shape == ()
    assert routing.weights.shape == routing.probabilities.shape == (3, 4, 4)


def test_volumes_of_other_channels_and_strides_work() -> None:
    mixture = MixtureOfSkips((3, 5, 7), (1, 3, 6), dims=3, width=6, num_experts=3, top_k=1, reference_level=2)
    features = [
        torch.randn(2, c, 12 // s, 18 // s, 6 // s) for c, s in zip((3, 5, 7), (1, 3, 6), strict=True)
    ]

    skips, _, routing = mixture(features)

    assert [s.shape for s in skips] == [f.shape for f in features]
    assert routing.weights.shape == (2, 3, 3)
    assert mixture.expert_maps(features).shape == (2, 3, 6, 2, 3, 1)


def test_an_expert_runs_once_a_sample_although_all_routers_choose_it(make: Make) -> None:
    mixture = make().eval()
    favour(mixture, 1, 2)
    calls = count_samples(mixture)

    _, _, routing = mixture(features_of(batch=5))

    assert routing.selected.all(0).tolist() == [[False, True, True, False]] * 4
    assert calls == [[], [5], [5], []]


@pytest.mark.parametrize("training", [True, False])
def test_an_expert_sees_just_the_samples_that_some_router_chose(make: Make, training: bool) -> None:
    mixture = make(top_k=1).train(training)
    calls = count_samples(mixture)

    _, _, routing = mixture(features_of(batch=6))

    expected = routing.selected.any(1).sum(0).tolist()
    assert [sum(seen) for seen in calls] == expected
    assert all(len(seen) <= 1 for seen in calls)


def test_a_smaller_batch_gives_the_same_skips(make: Make) -> None:
    mixture = make(top_k=1).eval()
    features = features_of(batch=4)

    together, _, _ = mixture(features)
    alone, _, _ = mixture([f[2:3] for f in features])

    for whole, part in zip(together, alone, strict=True):
        torch.testing.assert_close(whole[2:3], part)


def test_unused_experts_are_reached_by_the_loss_without_the_balance_loss(make: Make) -> None:
    mixture = make(ev_loss=False, train_unused=True).train()
    favour(mixture, 1, 2)

    skips, balance, routing = mixture(features_of(batch=4))
    sum(s.square().mean() for s in skips).backward()

    assert float(balance) == 0.0
    assert routing.selected.sum(0).tolist() == [[1, 4, 4, 1]] * 4
    assert torch.allclose(routing.weights.sum(-1), torch.ones(4, 4))
    for expert in mixture.experts:
        assert expert.reduce.weight.grad.abs().max() > 0


def test_switched_off_unused_experts_get_no_gradient(make: Make) -> None:
    mixture = make(ev_loss=False, train_unused=False).train()
    favour(mixture, 1, 2)

    skips, _, _ = mixture(features_of(batch=4))
    sum(s.square().mean() for s in skips).backward()

    reached = [expert.reduce.weight.grad is not None for expert in mixture.experts]
    assert reached == [False, True, True, False]


def test_unused_experts_rest_in_evaluation(make: Make) -> None:
    mixture = make().eval()
    favour(mixture, 1, 2)

    assert mixture(features_of())[2].selected.sum(0).tolist() == [[0, 3, 3, 0]] * 4


def test_the_balance_loss_reaches_the_routers_and_can_be_switched_off(make: Make) -> None:
    with_loss, without = make(train_unused=False), make(train_unused=False, ev_loss=False)

    with_loss(features_of())[1].backward()

    assert with_loss.routers.gates.grad.abs().max() > 0
    assert not without(features_of())[1].requires_grad


def test_the_segmentation_loss_reaches_the_routers(make: Make) -> None:
    mixture = make(ev_loss=False).train()

    skips, _, _ = mixture(features_of())
    sum(s.square().mean() for s in skips).backward()

    assert (mixture.routers.gates.grad.abs().amax((1, 2)) > 0).all()


@pytest.mark.parametrize("top_k", [1, 2, 3, 4])
def test_top_k_changes_at_the_call(make: Make, top_k: int) -> None:
    routing = make().eval()(features_of(), top_k=top_k)[2]

    assert (routing.selected.sum(-1) == top_k).all()


def test_a_routing_handed_back_gives_the_same_skips_and_is_not_changed_in_training(make: Make) -> None:
    mixture = make(top_k=1).train()
    features = features_of()
    routing = mixture(features)[2]

    again = mixture(features, routing=routing)[2]

    assert torch.equal(again.weights, routing.weights)


@pytest.mark.parametrize("shape", [(3, 4, 4), (4, 4)])
def test_given_probabilities_replace_the_routers(make: Make, shape: tuple[int, ...]) -> None:
    probabilities = torch.tensor([0.0, 0.1, 0.2, 0.7]).expand(shape)

    routing = make().eval()(features_of(), routing=probabilities, top_k=2)[2]

    assert torch.equal(routing.probabilities, probabilities.expand(3, 4, 4))
    assert routing.selected.all(0).tolist() == [[False, False, True, True]] * 4


def test_a_routing_of_another_shape_is_refused(make: Make) -> None:
    mixture = make().eval()
    wrong = torch.ones(2, 4, 4)

    with pytest.raises(ModelError, match=r"\(3, 4, 4\) or \(4, 4\).* got \(2, 4, 4\)"):
        mixture(features_of(), routing=wrong)
    with pytest.raises(ModelError, match=r"got \(2, 4, 4\)"):
        mixture(features_of(), routing=Routing(wrong, wrong))


def test_another_number_of_levels_is_refused(make: Make) -> None:
    with pytest.raises(ModelError, match="4 levels but got 3"):
        make()(features_of()[:3])


@pytest.mark.parametrize(
    "options",
    [
        {"dims": 1},
        {"reference_level": 4},
        {"width": 0},
        {"num_experts": 0},
        {"top_k": 5},
        {"router_temperature": -1.0},
    ],
    ids=str,
)
def test_numbers_that_do_not_fit_are_refused(make: Make, options: dict[str, int]) -> None:
    with pytest.raises(ModelError):
        make(**options)


@pytest.mark.parametrize(
    ("channels", "strides", "sentence"),
    [
        ((4, 8), (1,), "2 channels and 1 strides"),
        ((4, 8), (2, 1), r"finest level first, but got \(4, 8\) and \(2, 1\)"),
        ((4, 8), (0, 1), "whole numbers of at least 1"),
        ((4, 8), (1, 1.5), "whole numbers of at least 1"),
        ((4, 0), (1, 2), "whole numbers of at least 1"),
    ],
)
def test_levels_that_do_not_fit_are_refused(channels: Any, strides: Any, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        MixtureOfSkips(channels, strides)


def test_expert_maps_are_the_outputs_of_all_experts(make: Make) -> None:
    mixture = make(top_k=1).eval()
    features = features_of(batch=2)

    maps = mixture.expert_maps(features)

    assert maps.shape == (2, 4, 8, 8, 8)
    torch.testing.assert_close(maps[:, 3], mixture.experts[3](mixture.fused(features)))


def test_batch_norm_of_an_expert_learns_from_each_sample_once(make: Make) -> None:
    mixture = make(top_k=1).train()
    favour(mixture, 2)

    mixture(features_of(batch=4))

    norm = mixture.experts[2].norm
    assert isinstance(norm, nn.BatchNorm2d)
    assert int(norm.num_batches_tracked) == 1


def test_a_residual_mixture_begins_as_the_plain_skips_bit_for_bit(make: Make) -> None:
    features = features_of()

    skips, _, _ = make(residual=True)(features)

    assert all(torch.equal(skip, feature) for skip, feature in zip(skips, features, strict=True))


def test_a_residual_mixture_learns_its_scales_first_and_then_its_experts(make: Make) -> None:
    features = features_of()
    mixture = make(residual=True, top_k=4)
    optimiser = torch.optim.SGD(mixture.parameters(), lr=0.1)

    def step() -> None:
        optimiser.zero_grad()
        skips, _, _ = mixture(features)
        torch.stack([(skip**2).mean() for skip in skips]).sum().backward()
        optimiser.step()

    step()
    first = [expert.mix.weight.grad.abs().sum().item() for expert in mixture.experts]
    step()
    second = [expert.mix.weight.grad.abs().sum().item() for expert in mixture.experts]

    assert first == [0.0] * 4
    assert all(size > 0 for size in second)


def test_a_residual_mixture_may_lower_a_feature_too(make: Make) -> None:
    features = features_of()
    mixture = make(residual=True)
    assert mixture.scales is not None
    for scale in mixture.scales:
        nn.init.ones_(scale)

    skips, _, _ = mixture(features)

    changes = torch.cat([(skip - feature).flatten() for skip, feature in zip(skips, features, strict=True)])
    assert changes.min() < 0 < changes.max()
