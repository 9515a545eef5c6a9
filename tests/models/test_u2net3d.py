"""The 3D U2-Net: sizes, modes, adapters, domains and side outputs."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from src_model.errors import CheckpointError, ModelError
from src_model.models.checkpoint import load_checkpoint, save_checkpoint
from src_model.models.published import convert_published, load_published_weights
from src_model.models.registry import create_model
from src_model.models.universal3d import U2Net3D

FORMS = [
    ("universal", "separable"),
    ("universal", "series"),
    ("universal", "parallel"),
    ("shared", "separable"),
    ("independent", "separable"),
]
DOMAINS = {
    "hippocampus": {"in_channels": 1, "num_classes": 3},
    "prostate": {"in_channels": 2, "num_classes": 1},
}


def small(**arguments: Any) -> U2Net3D:
    """A network with 4 channels in the first level and two domains, in evaluation mode."""
    model = create_model(
        "u2net3d", **{"base_channels": 4, "poolings": (1, 2, 2), "domains": DOMAINS, **arguments}
    )
    assert isinstance(model, U2Net3D)
    return model.eval()


def both(model: U2Net3D) -> list[Tensor]:
    """Logits of fixed volumes of the two first domains."""
    generator = torch.Generator().manual_seed(3)
    volumes = [torch.randn(1, channels, 6, 9, 8, generator=generator) for channels in (1, 2)]
    training = model.training
    with torch.no_grad():
        logits = [model.eval()(volume, domain=index).logits for index, volume in enumerate(volumes)]
    model.train(training)
    return logits


@pytest.mark.parametrize(("mode", "adapter"), FORMS)
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 5, 7), (4, 8, 8)])
@torch.inference_mode()
def test_any_size_comes_back_in_every_form(mode: str, adapter: str, size: tuple[int, int, int]) -> None:
    model = small(mode=mode, adapter=adapter)

    first = model(torch.randn(2, 1, *size), domain="hippocampus")
    second = model(torch.randn(2, 2, *size), domain=1)

    assert first.logits.shape == (2, 3, *size)
    assert second.logits.shape == (2, 1, *size)
    assert torch.isfinite(first.logits).all()
    assert float(first.balance_loss) == 0.0
    assert first.routing is None


@torch.inference_mode()
def test_the_forms_hold_different_parameters() -> None:
    counts = [sum(p.numel() for p in small(mode=m, adapter=a).parameters()) for m, a in FORMS]

    separable, series, parallel, shared, independent = counts
    assert separable < shared < min(series, parallel) < independent


@torch.inference_mode()
def test_a_domain_is_found_by_name_and_by_index() -> None:
    model = small()
    volume = torch.randn(1, 2, 4, 8, 8)

    by_name = model(volume, domain="prostate").logits

    assert torch.equal(model(volume, domain=1).logits, by_name)
    assert torch.equal(model(volume, domain=np.int64(1)).logits, by_name)


@torch.inference_mode()
def test_two_domains_give_different_logits_for_one_volume() -> None:
    model = small(domains=["left", "right"], in_channels=1, num_classes=2)
    volume = torch.randn(1, 1, 4, 8, 8)

    assert not torch.equal(model(volume, domain="left").logits, model(volume, domain="right").logits)


@torch.inference_mode()
def test_a_single_domain_need_not_be_named() -> None:
    model = small(domains=None, in_channels=2, num_classes=4)

    assert list(model.domains) == ["default"]
    assert model(torch.randn(1, 2, 4, 4, 4)).logits.shape == (1, 4, 4, 4, 4)


@pytest.mark.parametrize("domain", ["liver", 2, -1, 1.0, True])
def test_an_unknown_domain_is_refused_with_the_known_names(domain: Any) -> None:
    with pytest.raises(ModelError, match=r"no domain .* known: 'hippocampus', 'prostate'"):
        small()(torch.zeros(1, 1, 4, 4, 4), domain=domain)


def test_one_of_several_domains_must_be_named() -> None:
    with pytest.raises(ModelError, match=r"several domains; choose one as .* 'hippocampus', 'prostate'"):
        small()(torch.zeros(1, 1, 4, 4, 4))


def test_the_channels_of_the_domain_count() -> None:
    with pytest.raises(ModelError, match="1 channels but this network expects 2"):
        small()(torch.zeros(1, 1, 4, 4, 4), domain="prostate")


def test_an_image_in_a_volume_network_names_the_networks_that_fit() -> None:
    with pytest.raises(ModelError, match=r"\(B, C, D, H, W\) but got 4 axes.*2-D images use one of: utanet"):
        small()(torch.zeros(1, 1, 16, 16), domain=0)


def test_a_volume_in_an_image_network_names_the_networks_that_fit() -> None:
    model = create_model("utanet", base_channels=4, mixture_width=4)

    with pytest.raises(ModelError, match=r"\(B, C, H, W\) but got 5 axes.*3-D images use one of: u2net3d"):
        model(torch.zeros(1, 3, 16, 16, 16))


def test_routing_and_stage_2_are_refused() -> None:
    with pytest.raises(ModelError, match="no routers"):
        small()(torch.zeros(1, 1, 4, 4, 4), domain=0, routing=torch.ones(4, 4))
    with pytest.raises(ModelError, match=r"no mixture .* stage 1 only"):
        small(stage=2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mode": "global"}, "mode must be one of 'universal', 'shared', 'independent' but got 'global'"),
        ({"adapter": "wide"}, "adapter must be one of 'separable', .* but got 'wide'"),
        ({"poolings": (1, 2)}, r"poolings must be three whole numbers .* got \(1, 2\)"),
        ({"poolings": (0, 0, 0)}, "poolings must be three"),
        ({"poolings": 3}, "poolings must be three"),
        ({"poolings": (9, 1, 1)}, "of 0 to 8, not all 0, but got"),
        ({"domains": []}, "domains is empty"),
        ({"domains": "liver"}, "list or mapping of names but got 'liver'"),
        ({"domains": ["a", "a"]}, "same name"),
        ({"domains": {"a": {"classes": 2}}}, "'a' may state in_channels and num_classes"),
        ({"domains": {"a": {"num_classes": 0}}}, "num_classes of the domain 'a' must be .* but got 0"),
        ({"base_channels": 0}, "base_channels must be a whole number"),
        ({"deep_supervision": "no"}, "deep_supervision must be true or false"),
    ],
)
def test_a_value_out_of_bounds_is_named(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        small(**arguments)


@pytest.mark.parametrize(("poolings", "sides"), [((1, 1, 1), 0), ((0, 2, 2), 1), ((1, 3, 2), 2)])
def test_side_outputs_come_in_training_at_the_size_of_the_logits(
    poolings: tuple[int, int, int], sides: int
) -> None:
    model = small(poolings=poolings)
    volume = torch.randn(2, 1, 3, 9, 10)

    trained = model.train()(volume, domain=0)
    evaluated = model.eval()(volume, domain=0)

    assert [side.shape for side in trained.auxiliary] == [(2, 3, 3, 9, 10)] * sides
    assert len(model.auxiliary_weights) == sides
    assert evaluated.auxiliary == ()
    assert torch.equal(trained.logits, evaluated.logits)


def test_without_deep_supervision_there_are_no_side_outputs() -> None:
    model = small(poolings=(2, 2, 2), deep_supervision=False).train()

    assert model(torch.randn(1, 1, 4, 4, 4), domain=0).auxiliary == ()
    assert not any(key.startswith("sides.") for key in model.state_dict())


@torch.inference_mode()
def test_each_axis_is_halved_as_often_as_asked() -> None:
    model = small(poolings=(0, 1, 3))
    seen: list[tuple[int, ...]] = []
    for block in model.blocks:
        block.register_forward_hook(lambda _m, _a, out: seen.append(tuple(out.shape[2:])))

    model(torch.randn(1, 1, 5, 8, 16), domain=0)

    assert seen == [(5, 8, 16), (5, 4, 8), (5, 4, 4), (5, 4, 2)]
    assert (model.strides, model.required_multiple) == ((1, 2, 8), 8)


@pytest.mark.parametrize(("mode", "adapter"), FORMS)
def test_every_parameter_that_a_domain_uses_learns(mode: str, adapter: str) -> None:
    model = small(mode=mode, adapter=adapter).train()

    result = model(torch.randn(2, 1, 4, 8, 8), domain=0)
    loss = result.logits.square().mean() + sum(side.square().mean() for side in result.auxiliary)
    loss.backward()

    own = {id(p) for p in [*model.domain_parameters(0), *model.shared_parameters()]}
    used = {name: p for name, p in model.named_parameters() if id(p) in own}
    still = [name for name, p in used.items() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias just before a normalisation cannot change the output.
    assert [name for name in still if not name.endswith("bias")] == []
    assert all(p.grad is None for p in model.domain_parameters(1))


@pytest.mark.parametrize(("mode", "adapter"), FORMS)
def test_own_and_shared_parameters_make_up_the_network(mode: str, adapter: str) -> None:
    model = small(mode=mode, adapter=adapter)

    parts = [model.domain_parameters(0), model.domain_parameters("prostate"), model.shared_parameters()]
    ids = [id(p) for part in parts for p in part]

    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    assert (mode == "independent") == (not list(model.shared_parameters()))


@pytest.mark.parametrize(("mode", "adapter"), FORMS)
def test_training_an_added_domain_leaves_the_others_bit_equal(mode: str, adapter: str) -> None:
    model = small(mode=mode, adapter=adapter)
    before = both(model)

    model.add_domain("heart", in_channels=3, num_classes=2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    model.train()
    for _ in range(2):
        optimiser.zero_grad()
        model(torch.randn(2, 3, 4, 8, 8), domain="heart").logits.square().mean().backward()
        optimiser.step()

    assert all(torch.equal(old, new) for old, new in zip(before, both(model), strict=True))
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert trained == {id(p) for p in model.domain_parameters("heart")}
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.domain_parameters("heart"))


def test_an_added_domain_stands_in_the_description_and_in_the_checkpoint(tmp_path: Path) -> None:
    model = small()
    before = model.config

    model.add_domain("heart", num_classes=2)
    loaded = load_checkpoint(save_checkpoint(tmp_path / "m.safetensors", model)).model

    assert "heart" not in before["options"]["domains"]
    assert model.config["options"]["domains"]["heart"] == {"in_channels": 1, "num_classes": 2}
    assert loaded.config == model.config
    volume = torch.randn(1, 1, 5, 6, 7)
    assert torch.equal(loaded(volume, domain="heart").logits, model(volume, domain=2).logits)
    assert all(torch.equal(old, new) for old, new in zip(both(model), both(loaded), strict=True))


@pytest.mark.parametrize(("mode", "adapter"), FORMS)
def test_a_checkpoint_is_bit_equal_in_every_form(tmp_path: Path, mode: str, adapter: str) -> None:
    model = small(mode=mode, adapter=adapter)

    loaded = load_checkpoint(save_checkpoint(tmp_path / "m.safetensors", model)).model

    assert loaded.config == model.config
    assert all(torch.equal(old, new) for old, new in zip(both(model), both(loaded), strict=True))


def test_a_taken_name_and_a_wrong_number_are_refused_and_change_nothing() -> None:
    model = small()
    keys = list(model.state_dict())

    with pytest.raises(ModelError, match=r"has a domain 'prostate' already"):
        model.add_domain("prostate")
    with pytest.raises(ModelError, match=r"in_channels of the domain 'heart' must be .* but got 0"):
        model.add_domain("heart", in_channels=0)

    assert list(model.state_dict()) == keys
    assert all(p.requires_grad for p in model.parameters())


def test_a_domain_cannot_be_added_to_an_image_network() -> None:
    model = create_model("utanet", stage=1, base_channels=4)

    with pytest.raises(ModelError, match=r"'utanet' has no domains, .* with domains: u2net3d"):
        model.add_domain("liver")


def test_one_domain_can_be_trained_alone() -> None:
    model = small()

    model.freeze_all_but("prostate")

    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert trained == {id(p) for p in model.domain_parameters(1)}


def test_the_network_can_be_copied_and_sent_to_another_process() -> None:
    model = small()
    expected = both(model)

    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other.add_domain("heart")
        assert all(torch.equal(old, new) for old, new in zip(expected, both(other), strict=True))
    assert list(model.domains) == list(DOMAINS)


def test_a_fresh_network_starts_sane_and_bfloat16_trains() -> None:
    model = small(base_channels=8, poolings=(2, 2, 2)).train()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = model(torch.randn(2, 1, 16, 16, 16), domain=0)
    result.logits.float().square().mean().backward()

    assert 0.01 < result.logits.float().std() < 10
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_published_weights_of_another_network_are_refused() -> None:
    model = small()

    with pytest.raises(CheckpointError, match=r"hold 'moe\.gate1', which the published 3D U2-Net"):
        load_published_weights(model, {"moe.gate1": torch.zeros(2, 2)})
    with pytest.raises(CheckpointError, match=r"lack 'inputs\.0\.0\.weight'"):
        load_published_weights(model, {"in_tr_list.0.op1.0.bias": torch.zeros(4)})


def test_a_published_file_needs_the_poolings_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not store how often each axis is halved"):
        convert_published(tmp_path / "u2net3d.pth", "u2net3d")
