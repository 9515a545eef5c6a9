"""Weights of the published code: what is taken, ignored and refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from src_model.errors import CheckpointError
from src_model.models.base import SegmentationModel
from src_model.models.published import convert_published, load_published_weights
from src_model.models.registry import create_model
from src_model.models.utanet import UTANet

_OWN_TO_PUBLISHED = {
    "encoder.stem.": "conv1.",
    "encoder.layer": "resnet.layer",
    "decoder.ups.0.": "up5.",
    "decoder.ups.1.": "up4.",
    "decoder.ups.2.": "up3.",
    "decoder.ups.3.": "up2.",
    "head.": "pred.",
    "mixture.fuse.": "fuse.",
    "mixture.experts.": "moe.experts.",
    "mixture.dockers.0.": "docker1.",
    "mixture.dockers.1.": "docker2.",
    "mixture.dockers.2.": "docker3.",
    "mixture.dockers.3.": "docker4.",
}
_EXPERT_PARTS = {".expand.": ".seq.0.", ".mix.": ".seq.1.", ".norm.": ".seq.2.", ".reduce.": ".seq.4."}


def published_names(model: UTANet) -> dict[str, Tensor]:
    """The model's weights under the published names."""
    state: dict[str, Tensor] = {}
    for own, tensor in model.state_dict().items():
        if own == "mixture.routers.gates":
            state.update({f"moe.gate{number + 1}": gate for number, gate in enumerate(tensor)})
            continue
        key = own
        if own.startswith("mixture.experts."):
            for part, sequence in _EXPERT_PARTS.items():
                key = key.replace(part, sequence)
        start = next(start for start in _OWN_TO_PUBLISHED if key.startswith(start))
        state[_OWN_TO_PUBLISHED[start] + key.removeprefix(start)] = tensor.clone()
    return state


@pytest.fixture
def model(small_utanet: Callable[..., UTANet]) -> UTANet:
    return small_utanet()


def test_weights_come_back_under_their_own_names(small_utanet: Callable[..., UTANet], model: UTANet) -> None:
    other = small_utanet()

    load_published_weights(other, published_names(model))

    own, theirs = model.state_dict(), other.state_dict()
    assert all(torch.equal(own[key], theirs[key]) for key in own)


def test_a_wrapper_prefix_and_missing_batch_counts_do_not_matter(model: UTANet) -> None:
    state = {f"module.{k}": v for k, v in published_names(model).items() if not k.endswith("tracked")}

    load_published_weights(model, state)


@pytest.mark.parametrize(("weights", "network"), [(1, 2), (2, 1)])
def test_weights_of_the_other_stage_are_refused(
    small_utanet: Callable[..., UTANet], weights: int, network: int
) -> None:
    state = published_names(small_utanet(stage=weights))

    with pytest.raises(CheckpointError, match=f"of stage {weights} .* create it with stage={weights}"):
        load_published_weights(small_utanet(stage=network), state)


def test_a_missing_weight_is_named_and_the_model_unchanged(model: UTANet) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = {key: value + 1 for key, value in published_names(model).items()}
    del state["up3.conv.0.bias"]

    with pytest.raises(CheckpointError, match=r"lack 'decoder\.ups\.2\.conv\.0\.bias'"):
        load_published_weights(model, state)

    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_another_number_of_channels_is_named_by_its_shape(
    small_utanet: Callable[..., UTANet], model: UTANet
) -> None:
    with pytest.raises(CheckpointError, match=r"\(4, 3, 3, 3\) but the network expects \(4, 1, 3, 3\)"):
        load_published_weights(small_utanet(in_channels=1), published_names(model))


def test_an_unknown_weight_is_named(model: UTANet) -> None:
    state = {**published_names(model), "attention.weight": torch.zeros(1)}

    with pytest.raises(CheckpointError, match=r"attention\.weight"):
        load_published_weights(model, state)


def test_a_missing_router_is_refused(model: UTANet) -> None:
    state = published_names(model)
    del state["moe.gate3"]

    with pytest.raises(CheckpointError, match=r"moe\.gate1"):
        load_published_weights(model, state)


def test_a_network_without_published_form_is_refused() -> None:
    with pytest.raises(CheckpointError, match="Linear"):
        load_published_weights(torch.nn.Linear(1, 1), {})


def test_a_published_file_becomes_a_network_of_its_own_channels_and_classes(tmp_path: Path) -> None:
    source = UTANet(in_channels=1, num_classes=9, stage=1).eval()
    torch.save({"epoch": 3, "state_dict": published_names(source)}, tmp_path / "net.pth")

    model = convert_published(tmp_path / "net.pth", "utanet")

    assert isinstance(model, UTANet)
    assert (model.in_channels, model.num_classes, model.stage, model.training) == (1, 9, 1, False)
    image = torch.randn(1, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(model(image).logits, source(image).logits)


class _Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    torch.save({"weights": _Malicious(tmp_path / "attacked")}, tmp_path / "bad.pth")

    with pytest.raises(CheckpointError, match="would run code"):
        convert_published(tmp_path / "bad.pth", "utanet")

    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pth").write_bytes(content)

    with pytest.raises(CheckpointError, match=r"bad\.pth"):
        convert_published(tmp_path / "bad.pth", "utanet")


def test_a_missing_file_and_other_content_are_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")

    with pytest.raises(CheckpointError, match="There is no file"):
        convert_published(tmp_path / "absent.pth", "utanet")
    with pytest.raises(CheckpointError, match="holds a Tensor"):
        convert_published(tmp_path / "tensor.pth", "utanet")
    with pytest.raises(CheckpointError, match="does not hold a published 'utanet'"):
        convert_published(tmp_path / "other.pth", "utanet")


def light_names(model: SegmentationModel) -> dict[str, Tensor]:
    """The light model's weights under the published names."""
    parts = {
        "encoder.stem.": "conv1.",
        "encoder.layer": "resnet.layer",
        "bottleneck.point.": "aspp.aspp1.",
        "bottleneck.dilated.0.": "aspp.aspp2.",
        "bottleneck.dilated.1.": "aspp.aspp3.",
        "bottleneck.pooled.0.": "aspp.global_pool.1.",
        "bottleneck.project.": "aspp.project.",
        **{f"decoder.ups.{number}.": f"up{5 - number}." for number in range(4)},
        "head.": "pred.",
        "mixture.fuse.": "fuse.",
        "mixture.experts.3.expand.": "moe.experts.3.conv.1.",
        "mixture.experts.": "moe.experts.",
        **{f"mixture.dockers.{number}.": f"docker{number + 1}." for number in range(4)},
    }
    inner = {".look.": ".conv.0.", ".reduce.": ".conv.3.", ".depthwise.": ".dw."}
    state: dict[str, Tensor] = {}
    for own, tensor in model.state_dict().items():
        if own.startswith("mixture.routers."):
            continue
        start = next(start for start in parts if own.startswith(start))
        key = own.removeprefix(start)
        if start.startswith("decoder.ups."):
            key = key.replace("conv.0.", "pw.").replace("conv.1.", "bn.")
        if start == "mixture.experts.":
            key = key.replace(".norm.", ".conv.1.")
        key = parts[start] + key
        for ours, theirs in inner.items():
            key = key.replace(ours, theirs)
        state[key] = tensor.clone()
    if model.stage == 2:
        state["moe.gate_conv.1.weight"] = model.state_dict()["mixture.routers.gates"][0].T[:, :, None, None]
        state["moe.gate_conv.1.bias"] = model.state_dict()["mixture.routers.bias"][0]
    return state


@pytest.mark.parametrize("stage", [1, 2])
def test_a_published_light_file_becomes_a_light_network(tmp_path: Path, stage: int) -> None:
    source = create_model("light-utanet", in_channels=1, num_classes=2, stage=stage).eval()
    torch.save(light_names(source), tmp_path / "light.pth")

    model = convert_published(tmp_path / "light.pth", "light-utanet")

    own, theirs = source.state_dict(), model.state_dict()
    assert (model.name, model.in_channels, model.num_classes, model.stage) == ("light-utanet", 1, 2, stage)
    assert all(torch.equal(own[key], theirs[key]) for key in own)


def test_weights_of_one_published_network_do_not_fit_the_other(model: UTANet) -> None:
    light = create_model("light-utanet", base_channels=4, mixture_width=8)

    with pytest.raises(CheckpointError, match="which the published 'utanet' does not have"):
        load_published_weights(model, light_names(light))
    with pytest.raises(CheckpointError, match="which the published 'light-utanet' does not have"):
        load_published_weights(light, published_names(model))


def test_networks_that_were_never_published_are_refused() -> None:
    with pytest.raises(
        CheckpointError, match="for 'unet'; there are some for 'utanet', 'light-utanet' and 'u2net3d'"
    ):
        load_published_weights(create_model("unet", base_channels=4), {})
