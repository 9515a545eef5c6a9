"""A network rewritten for inference gives the same, has less to do, and leaves the original alone."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src_model.inference.cuda_layers import JointExperts, suit_cuda
from src_model.inference.fused import AddRelu, ConvRelu, JoinedUp
from src_model.inference.network import Network
from src_model.inference.optimise import fit_to_device, narrow_weights, optimise
from src_model.models.base import SegmentationModel
from src_model.models.checkpoint import Checkpoint
from src_model.models.registry import create_model, list_models, model_class

NARROW = {"base_channels": 8, "mixture_width": 8, "level_channels": 8, "poolings": (2, 2, 2)}
LESS_NARROW = {"light-utanet-mobile": {"base_channels": 16}}
STAGES = [
    (name, stage) for name in list_models() for stage in range(1, model_class(name).default_stage() + 1)
]
WITH_MIXTURE = [name for name, stage in STAGES if stage == 2]

EXACT = 1e-10
"""Largest difference, as a share of the largest value, where everything is computed in float64."""
ROUTED = 1e-6
"""The same where routers decide, which they do in float32."""

every = pytest.mark.parametrize(("name", "stage"), STAGES)
with_mixture = pytest.mark.parametrize("name", WITH_MIXTURE)


@pytest.fixture(autouse=True)
def _fixed_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def ready(name: str, **arguments: Any) -> SegmentationModel:
    """A narrow network in evaluation mode with BatchNorm statistics and scales as after some training."""
    known = model_class(name).default_options()
    narrow = {option: value for option, value in NARROW.items() if option in known}
    model = create_model(name, **{**narrow, **LESS_NARROW.get(name, {}), **arguments})
    norms = norms_of(model)
    for norm in norms:
        norm.momentum = 1.0
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    for key, parameter in model.named_parameters():
        if ".scales." in key:
            nn.init.uniform_(parameter, 0.5, 1.5)
    with torch.no_grad():
        model.train()(torch.randn(8, model.in_channels, *[32] * model.dims))
    return model.eval()


def image(model: SegmentationModel, *, batch: int = 2) -> Tensor:
    """A random batch of odd sizes, in the number type of the network."""
    kind = next(model.parameters()).dtype
    return torch.randn(batch, model.in_channels, *(37 + axis for axis in range(model.dims)), dtype=kind)


def norms_of(model: nn.Module) -> list[nn.Module]:
    return [part for part in model.modules() if isinstance(part, (nn.BatchNorm2d, nn.BatchNorm3d))]


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest absolute difference as a share of the largest absolute value."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    return float((found - expected).abs().max() / expected.abs().max())


@every
@torch.inference_mode()
def test_the_values_are_the_same(name: str, stage: int) -> None:
    model = ready(name, stage=stage, num_classes=3).double()
    batch = image(model)

    fast = optimise(model)

    assert difference(fast(batch).logits, model(batch).logits) <= (EXACT if stage == 1 else ROUTED)


@every
@torch.inference_mode()
def test_float32_is_as_near_to_the_truth_as_before(name: str, stage: int) -> None:
    model = ready(name, stage=stage)
    batch = image(model)
    truth = copy.deepcopy(model).double()(batch.double()).logits.float()

    before, after = (difference(network(batch).logits, truth) for network in (model, optimise(model)))

    assert after <= 4 * before + 1e-6


@with_mixture
@torch.inference_mode()
def test_every_top_k_and_any_routing_give_the_same(name: str) -> None:
    model = ready(name).double()
    batch = image(model, batch=3)
    fast = optimise(model)
    routers = 1 if model.mixture.light else len(model.mixture.channels)
    given = torch.rand(3, routers, model.num_experts).softmax(-1)

    for top_k in range(1, model.num_experts + 1):
        expected, result = model(batch, top_k=top_k), fast(batch, top_k=top_k)
        assert difference(result.logits, expected.logits) <= ROUTED
        assert torch.equal(result.routing.selected, expected.routing.selected)
        assert torch.allclose(result.routing.probabilities, expected.routing.probabilities)
        assert torch.allclose(result.balance_loss, expected.balance_loss)
        expected, result = (network(batch, top_k=top_k, routing=given) for network in (model, fast))
        assert difference(result.logits, expected.logits) <= EXACT
        again = fast(batch, routing=expected.routing)
        assert torch.equal(again.logits, result.logits)


@with_mixture
@torch.inference_mode()
def test_the_maps_of_the_experts_are_the_same(name: str) -> None:
    model = ready(name).double()
    batch = image(model)

    maps = optimise(model).expert_maps(batch)

    assert difference(maps, model.expert_maps(batch)) <= EXACT


@torch.inference_mode()
def test_every_form_of_the_mixture_gives_the_same() -> None:
    switches = ("light_mixture", "hierarchical_experts", "residual_skips", "mix_deepest")
    for *values, stride in itertools.product(*[(False, True)] * len(switches), (1, 8)):
        chosen = dict(zip(switches, values, strict=True))
        model = ready("utanet", encoder="resnet18", mixture_stride=stride, **chosen).double()
        batch = image(model, batch=1)

        assert difference(optimise(model)(batch).logits, model(batch).logits) <= ROUTED, (chosen, stride)


@every
def test_no_batchnorm_is_left_and_the_description_stays(name: str, stage: int) -> None:
    model = ready(name, stage=stage)

    fast = optimise(model)

    assert norms_of(fast) == []
    assert type(fast) is type(model)
    assert (fast.config, fast.num_experts, fast.training) == (model.config, model.num_experts, False)
    assert not any(parameter.requires_grad for parameter in fast.parameters())


@every
def test_the_original_stays_as_it_was(name: str, stage: int) -> None:
    model = ready(name, stage=stage).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}

    fast = optimise(model)
    for parameter in fast.parameters():
        parameter.zero_()

    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert all(part.training for part in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


@with_mixture
@torch.inference_mode()
def test_a_rewritten_network_may_be_rewritten_again(name: str) -> None:
    fast = optimise(ready(name))
    batch = image(fast)

    assert torch.equal(optimise(fast)(batch).logits, fast(batch).logits)


@with_mixture
def test_no_random_numbers_are_drawn(name: str) -> None:
    model = ready(name)
    before = torch.get_rng_state()

    optimise(model)

    assert torch.equal(torch.get_rng_state(), before)


@every
@torch.inference_mode()
def test_bfloat16_weights_are_what_autocast_makes_of_them(name: str, stage: int) -> None:
    fast = optimise(ready(name, stage=stage))
    narrow = copy.deepcopy(fast)
    narrow_weights(narrow, torch.bfloat16)
    batch = image(fast)

    with torch.autocast("cpu", torch.bfloat16):
        expected, result = fast(batch), narrow(batch)

    assert torch.isfinite(result.logits).all()
    assert torch.equal(result.logits, expected.logits)


@with_mixture
@torch.inference_mode()
def test_an_expert_that_nobody_chose_does_not_run(name: str) -> None:
    fast = optimise(ready(name))
    ran: list[int] = []
    for number, expert in enumerate(fast.mixture.experts):
        expert.register_forward_pre_hook(lambda _part, _given, number=number: ran.append(number))
    routing = torch.tensor([0.1, 0.6, 0.1, 0.2]).expand(fast.mixture.num_routers, 4)

    fast(image(fast), top_k=2, routing=routing)

    assert ran == [1, 3]


@pytest.mark.parametrize("name", list_models(dims=2))
@torch.inference_mode()
def test_the_layout_in_memory_does_not_matter(name: str) -> None:
    model = ready(name).double()
    batch = image(model)
    layout = torch.channels_last

    fast = optimise(model).to(memory_format=layout)

    assert difference(fast(batch.to(memory_format=layout)).logits, model(batch).logits) <= ROUTED


class OnlyLogits(nn.Module):
    """A network that returns one tensor, as a trace needs it."""

    def __init__(self, model: SegmentationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).logits


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["utanet", "light-utanet"])
@torch.no_grad()
def test_an_exported_graph_and_a_trace_give_the_same(name: str) -> None:
    fast = OnlyLogits(optimise(ready(name).double()))
    seen, new = image(fast.model), image(fast.model)

    exported = torch.export.export(fast, (seen,)).module()
    traced = torch.jit.trace(fast, seen, check_trace=False)

    assert difference(exported(new), fast(new)) <= EXACT
    assert difference(traced(new), fast(new)) <= EXACT


def test_the_network_of_an_inference_is_optimised(wrapped: Callable[..., Checkpoint]) -> None:
    model = ready("utanet")
    batch = image(model)

    network = Network(wrapped(model), device="cpu", precision="float32")

    with torch.inference_mode():
        expected = model(batch).logits
    assert norms_of(network.model) == []
    assert difference(network.logits(batch.numpy()), expected) <= 1e-3
    assert len(norms_of(model)) > 0


images_only = pytest.mark.parametrize(
    ("name", "stage"), [(name, stage) for name, stage in STAGES if model_class(name).dims == 2]
)


@images_only
@pytest.mark.parametrize("for_cuda", [False, True])
@torch.inference_mode()
def test_layers_that_are_joined_for_the_device_are_as_near_to_the_truth(
    name: str, stage: int, for_cuda: bool
) -> None:
    fast = optimise(ready(name, stage=stage))
    batch = image(fast)
    truth = copy.deepcopy(fast).double()(batch.double()).logits.float()
    before = difference(fast(batch).logits, truth)

    fit_to_device(fast, "float32")
    if for_cuda:
        suit_cuda(fast)

    if "utanet" in name:
        assert any(isinstance(part, (ConvRelu, AddRelu, JoinedUp)) for part in fast.modules())
    for layout in (torch.contiguous_format, torch.channels_last):
        after = difference(fast(batch.to(memory_format=layout)).logits, truth)
        assert after <= 4 * before + 1e-6


@torch.inference_mode()
def test_experts_that_are_computed_together_still_show_each_its_map() -> None:
    fast = optimise(ready("utanet"))
    batch = image(fast)
    expected = fast.expert_maps(batch)
    fit_to_device(fast, "float32")
    suit_cuda(fast)

    assert isinstance(fast.mixture.experts, JointExperts)
    assert difference(fast.expert_maps(batch), expected) <= 1e-5


@torch.inference_mode()
def test_fitting_to_the_device_draws_no_random_numbers() -> None:
    fast = optimise(ready("utanet"))
    before = torch.random.get_rng_state()

    fit_to_device(fast, "float32")

    assert torch.equal(torch.random.get_rng_state(), before)
