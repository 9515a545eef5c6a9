"""What every network promises, whatever its architecture."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src_model.errors import ModelError
from src_model.models.base import SegmentationModel
from src_model.models.checkpoint import load_checkpoint, save_checkpoint
from src_model.models.registry import create_model, list_models, model_class
from src_model.models.skips import MixtureOfSkips, Segmentation

WITH_MIXTURE = [name for name in list_models() if model_class(name).has_mixture]
WITHOUT_MIXTURE = [name for name in list_models() if name not in WITH_MIXTURE]
every = pytest.mark.parametrize("name", list_models())
with_mixture = pytest.mark.parametrize("name", WITH_MIXTURE)
without_mixture = pytest.mark.parametrize("name", WITHOUT_MIXTURE)

SPLIT_WHEN_COMPILED = {"unet", "unetpp"}
"""MONAI's blocks ask ``torch.jit.isinstance``, where ``torch.compile`` begins another graph."""

NARROW = {"base_channels": 8, "mixture_width": 8, "level_channels": 8, "poolings": (2, 2, 2)}

LESS_NARROW = {"light-utanet-mobile": {"base_channels": 16}}
"""Its decoder would end in a single channel."""


def small(name: str, **arguments: Any) -> SegmentationModel:
    """A narrow network in evaluation mode."""
    known = model_class(name).default_options()
    narrow = {option: value for option, value in NARROW.items() if option in known}
    narrow |= LESS_NARROW.get(name, {})
    return create_model(name, **{**narrow, **arguments}).eval()


def ready(name: str, **arguments: Any) -> SegmentationModel:
    """A narrow network in evaluation mode whose activations are as after some training.

    With the statistics that BatchNorm begins with, a deep narrow network may explode or fall silent.
    """
    return settled(small(name, **arguments)).eval()


def image(model: SegmentationModel, *, batch: int = 2, side: int = 32) -> Tensor:
    """A random batch for the network."""
    return torch.randn(batch, model.in_channels, *[side] * model.dims)


def settled(model: SegmentationModel) -> SegmentationModel:
    """In training mode, with BatchNorm statistics of a random batch as after some training."""
    norms = [part for part in model.modules() if isinstance(part, (nn.BatchNorm2d, nn.BatchNorm3d))]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(image(model, batch=8))
    for norm in norms:
        norm.momentum = 0.1
    return model


def loss(result: Segmentation) -> Tensor:
    """Something that depends on everything that training depends on."""
    outputs = (result.logits, *result.auxiliary)
    return torch.stack([output.square().mean() for output in outputs]).sum() + result.balance_loss


def unreached(model: nn.Module) -> list[str]:
    """Parameters without a gradient, but for the biases of convolutions.

    Where BatchNorm follows such a bias its exact gradient is zero.
    """
    biases = {
        f"{name}.bias"
        for name, part in model.named_modules()
        if isinstance(part, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d))
    }
    return [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or (name not in biases and not p.grad.abs().sum() > 0))
    ]


class OnlyLogits(nn.Module):
    """A network that returns one tensor, as a trace needs it."""

    def __init__(self, model: SegmentationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).logits


def assert_same(found: Any, model: nn.Module) -> None:
    """Logits of a new image of the traced size are equal to float rounding."""
    network = getattr(model, "model", model)
    new = image(network)
    expected, result = model(new), found(new)
    if not isinstance(expected, Tensor):
        expected, result = expected.logits, result.logits
    assert float(expected.std()) > 0
    assert torch.allclose(result, expected, atol=1e-4 * float(expected.abs().max()))


@every
@torch.inference_mode()
def test_any_size_channels_and_classes(name: str) -> None:
    for channels, classes, side in ((3, 1, 1), (1, 4, 17), (5, 2, 37)):
        model = small(name, in_channels=channels, num_classes=classes)
        shape = [side + axis for axis in range(model.dims)]

        logits = model(torch.randn(1, channels, *shape)).logits

        assert logits.shape == (1, classes, *shape)
        assert torch.isfinite(logits).all()


@every
def test_an_image_of_other_axes_is_told_which_networks_fit(name: str) -> None:
    model = small(name)
    other = 5 - model.dims

    with pytest.raises(ModelError, match=f"Expected an input .* but got {other + 2} axes") as caught:
        model(torch.zeros(1, 3, *[16] * other))

    assert all(fitting in str(caught.value) for fitting in list_models(dims=other))


@every
def test_a_network_can_be_made_again_from_its_config(name: str) -> None:
    config = small(name).config

    again = create_model(**{k: v for k, v in config.items() if k != "options"}, **config["options"])

    assert again.config == config
    assert config["name"] == name


@every
@torch.inference_mode()
def test_saving_and_loading_keeps_every_bit(name: str, tmp_path: Path) -> None:
    model = ready(name, num_classes=3)

    again = load_checkpoint(save_checkpoint(tmp_path / "net.safetensors", model)).model

    batch = image(model)
    assert again.config == model.config
    assert torch.equal(again(batch).logits, model(batch).logits)


@every
@torch.inference_mode()
def test_evaluation_is_deterministic_and_each_image_is_alone(name: str) -> None:
    model = ready(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    batch = image(model)

    first, second = model(batch), model(batch)
    alone = torch.cat([model(one).logits for one in batch.split(1)])

    assert torch.equal(first.logits, second.logits)
    assert first.auxiliary == ()
    assert torch.allclose(first.logits, alone, atol=1e-3 * float(alone.abs().max()))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@every
def test_gradients_reach_every_parameter(name: str) -> None:
    for stage in range(1, model_class(name).default_stage() + 1):
        model = small(name, stage=stage).train()

        result = model(image(model, batch=4))
        loss(result).backward()

        assert unreached(model) == []
        assert len(result.auxiliary) == len(model.auxiliary_weights)
        assert all(side.shape == result.logits.shape for side in result.auxiliary)


@every
@torch.no_grad()
def test_an_exported_graph_gives_the_same_for_images_it_never_saw(name: str) -> None:
    model = ready(name)

    exported = torch.export.export(model, (image(model),)).module()

    assert_same(exported, model)


@every
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@torch.no_grad()
def test_a_trace_gives_the_same_for_images_it_never_saw(name: str) -> None:
    model = ready(name)

    traced = torch.jit.trace(OnlyLogits(model), image(model), check_trace=False)

    assert_same(traced, OnlyLogits(model))


@every
@torch.no_grad()
def test_a_compiled_network_gives_the_same_for_images_it_never_saw(name: str) -> None:
    model = ready(name)
    torch.compiler.reset()

    compiled = torch.compile(model, backend="eager", fullgraph=name not in SPLIT_WHEN_COMPILED)
    compiled(image(model))

    assert_same(compiled, model)


@pytest.mark.skipif(not (shutil.which("g++") or os.environ.get("CXX")), reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
@torch.no_grad()
def test_the_mixture_compiles_to_machine_code_that_gives_the_same() -> None:
    mixture = MixtureOfSkips((4,), (1,), width=4, num_experts=2, top_k=1, reference_level=0).eval()
    seen, new = torch.randn(2, 3, 4, 16, 16)
    torch.compiler.reset()

    compiled = torch.compile(mixture, fullgraph=True)
    compiled([seen])

    assert torch.allclose(compiled([new])[0][0], mixture([new])[0][0], atol=1e-6)


@with_mixture
def test_stage_1_hands_over_to_stage_2(name: str) -> None:
    first, second = small(name, stage=1), small(name)

    unmatched = second.load_state_dict(first.state_dict(), strict=False)

    assert (first.stage, second.stage) == (1, 2)
    assert unmatched.unexpected_keys == []
    assert {key.partition(".")[0] for key in unmatched.missing_keys} == {"mixture"}


@with_mixture
def test_a_step_of_stage_2_changes_the_mixture_and_nothing_else(name: str) -> None:
    model = settled(small(name))
    for part_name, part in model.named_children():
        part.train(part_name == "mixture").requires_grad_(part_name == "mixture")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)

    loss(model(image(model, batch=4))).backward()
    optimiser.step()

    changed = {key for key, value in model.state_dict().items() if not torch.equal(before[key], value)}
    assert {key.partition(".")[0] for key in changed} == {"mixture"}
    assert unreached(model) == []


@with_mixture
def test_unused_experts_learn_at_every_step(name: str) -> None:
    model = small(name, top_k=1, ev_loss=False).train()

    for _ in range(3):
        model.zero_grad()
        loss(model(image(model, batch=3))).backward()

        assert unreached(model) == []


@with_mixture
def test_without_it_routers_of_one_expert_learn_nothing(name: str) -> None:
    model = small(name, top_k=1, ev_loss=False, train_unused=False).train()

    loss(model(image(model, batch=3))).backward()

    idle = set(unreached(model))
    assert "mixture.routers.gates" in idle
    assert all(key.startswith(("mixture.routers.", "mixture.experts.")) for key in idle)


@with_mixture
@torch.inference_mode()
def test_switches_of_the_mixture_work_in_every_combination(name: str) -> None:
    switches = ("light_mixture", "hierarchical_experts", "double_softmax", "residual_skips")
    for values in itertools.product((False, True), repeat=len(switches)):
        chosen = dict(zip(switches, values, strict=True))
        model = settled(small(name, num_experts=5, router_temperature=2.0, **chosen)).eval()

        result = model(image(model), top_k=3)

        assert result.routing is not None
        assert (result.routing.selected.sum(-1) == 3).all()
        assert result.routing.selected.shape[1] == (1 if values[0] else len(model.encoder.channels) - 1)


@without_mixture
def test_a_network_without_a_mixture_says_so(name: str) -> None:
    model = small(name)

    assert (model.stage, model.num_experts) == (1, 0)
    with pytest.raises(ModelError, match=f"'{name}' has no mixture of experts .* got stage 2"):
        small(name, stage=2)
    with pytest.raises(ModelError, match="no routers"):
        model(image(model), routing=torch.ones(4, 4))


@pytest.mark.parametrize("name", list_models(dims=2))
def test_a_domain_is_refused_by_2d_networks(name: str) -> None:
    model = small(name)

    with pytest.raises(ModelError, match="domain 'liver'"):
        model(image(model), domain="liver")


@pytest.mark.parametrize("name", list_models(dims=2))
def test_the_halo_lies_on_the_grid_of_the_network(name: str) -> None:
    model = small(name)

    halos = [model.halo_of(tile) for tile in (256, 512, 1024, 2048, 4096)]
    assert model.halo == halos[1] > 0
    assert halos == sorted(halos, reverse=True)
    assert all(halo % model.required_multiple == 0 for halo in (*halos, model.near_halo or 0))
    assert model.near_halo is None or model.near_halo <= min(halos)
