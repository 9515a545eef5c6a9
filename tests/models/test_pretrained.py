"""ImageNet weights: what is taken, what is refused, and when nothing is fetched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from src_model import download
from src_model.errors import CheckpointError, DownloadError, ModelError
from src_model.models import pretrained
from src_model.models.backbones import make_encoder
from src_model.models.base import SegmentationModel
from src_model.models.checkpoint import load_checkpoint, save_checkpoint
from src_model.models.pretrained import IMAGENET, WeightFile, find_weights
from src_model.models.registry import create_model, list_models, models_with_weights

Publish = Callable[..., Path]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Put a state dict into an empty cache as the published weights, narrow ones, of a network."""
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(pretrained, "FULL_WIDTH", 16)

    def put(name: str, state: Any) -> Path:
        path = tmp_path / "cache" / f"{name}.pth"
        path.parent.mkdir(exist_ok=True)
        torch.save(state, path)
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        address = f"http://127.0.0.1:9/{name}.pth"  # nobody answers there
        monkeypatch.setitem(pretrained.IMAGENET, name, WeightFile(address, checksum[:8]))
        return path

    return put


@pytest.mark.parametrize(
    ("network", "encoder", "published"),
    [
        ("utanet", "resnet34", "resnet34"),
        ("light-utanet", "resnet18", "resnet18"),
        ("light-utanet-slim", "resnet34-strided", "resnet34"),
        ("light-utanet-mobile", "mobilenetv2", "mobilenet_v2"),
        ("light-utanet-mobile", "mobilenetv2-16", "mobilenet_v2"),
        ("deeplabv3plus", "resnet34", "resnet34"),
    ],
)
def test_an_encoder_starts_from_the_published_weights(
    publish: Publish, network: str, encoder: str, published: str
) -> None:
    source = make_encoder(encoder, 3, 16)
    publish(published, {**source.state_dict(), "fc.weight": torch.zeros(3)})

    model = create_model(network, encoder=encoder, base_channels=16, encoder_weights="imagenet")

    own, theirs = model.encoder.state_dict(), source.state_dict()
    shared = [key for key in own if key.startswith(source.pretrained_prefixes)]
    assert len(shared) > 0.9 * len(own)
    assert all(torch.equal(own[key], theirs[key]) for key in shared)
    assert model.config["options"].keys() == model.default_options().keys()


def test_the_first_convolution_of_grey_images_stays_fresh(publish: Publish) -> None:
    source = make_encoder("mobilenetv2", 3, 16)
    publish("mobilenet_v2", source.state_dict())

    model = create_model("light-utanet-mobile", in_channels=1, base_channels=16, encoder_weights="imagenet")

    own, theirs = model.encoder.state_dict(), source.state_dict()
    assert own["features.0.0.weight"].shape[1] == 1
    assert torch.equal(own["features.1.conv.0.0.weight"], theirs["features.1.conv.0.0.weight"])


def test_a_tampered_file_is_refused(publish: Publish) -> None:
    path = publish("resnet34", make_encoder("resnet34", 3, 16).state_dict())
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(DownloadError, match=r"resnet34\.pth is damaged or not the original"):
        create_model("utanet", base_channels=16, encoder_weights="imagenet")


def test_weights_of_another_width_are_refused(publish: Publish) -> None:
    publish("resnet34", make_encoder("resnet34", 3, 8).state_dict())

    with pytest.raises(
        CheckpointError, match="give a state dict of resnet34 to an encoder of its full width"
    ):
        create_model("utanet", base_channels=16, encoder_weights="imagenet")
    with pytest.raises(ModelError, match="fit an encoder of base_channels 16 but got 8; give base_channels"):
        create_model("utanet", base_channels=8, encoder_weights="imagenet")


def test_offline_says_what_to_do(publish: Publish) -> None:
    publish("resnet34", {}).unlink()

    with pytest.raises(DownloadError, match=r"put the file resnet34\.pth into .*cache by hand, or go on"):
        create_model("utanet", base_channels=16, encoder_weights="imagenet")


def test_other_weights_and_networks_are_refused() -> None:
    with pytest.raises(ModelError, match="must be 'imagenet' or left out but got 'coco'"):
        create_model("utanet", base_channels=16, encoder_weights="coco")
    with pytest.raises(ModelError, match="'unet' has no encoder with published weights"):
        create_model("unet", base_channels=4, encoder_weights="imagenet")


def test_opening_a_checkpoint_fetches_nothing(publish: Publish, tmp_path: Path) -> None:
    path = publish("resnet34", make_encoder("resnet34", 3, 16).state_dict())
    model = create_model("utanet", base_channels=16, encoder_weights="imagenet")
    file = save_checkpoint(tmp_path / "net.safetensors", model)
    path.unlink()

    assert isinstance(load_checkpoint(file).model, SegmentationModel)
    with torch.device("meta"):
        create_model("utanet", base_channels=16, encoder_weights="imagenet")


@pytest.mark.parametrize("name", list_models())
def test_the_networks_with_weights_are_those_that_can_load_them(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name)

    if name in models_with_weights():
        assert find_weights(model) in IMAGENET.values()
    else:
        with pytest.raises(ModelError, match=f"'{name}' has no encoder .* use one of: utanet,"):
            find_weights(model)


def test_the_addresses_carry_their_checksums() -> None:
    for file in IMAGENET.values():
        assert file.address.endswith(f"-{file.sha256}.pth")
