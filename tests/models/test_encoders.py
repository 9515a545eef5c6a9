"""The encoder: its levels and the ImageNet weights it takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from src_model.errors import CheckpointError
from src_model.models.encoders import PointwiseStrided, ResNet34Encoder


@torch.inference_mode()
def test_levels_have_the_channels_and_strides_they_claim() -> None:
    encoder = ResNet34Encoder(2, base_channels=4).eval()

    features = encoder(torch.randn(1, 2, 32, 64))

    expected = [(1, c, 32 // s, 64 // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)]
    assert [tuple(f.shape) for f in features] == expected


def test_imagenet_weights_fill_the_four_layers_and_nothing_else() -> None:
    encoder, source = ResNet34Encoder(3, 4), ResNet34Encoder(3, 4)
    state = {k: v + 1 for k, v in source.state_dict().items() if k.startswith("layer")}
    state |= {
        "conv1.weight": torch.zeros(64, 3, 7, 7),
        "bn1.weight": torch.zeros(64),
        "fc.bias": torch.zeros(1000),
    }
    stem = {k: v.clone() for k, v in encoder.stem.state_dict().items()}

    encoder.load_imagenet(state)

    loaded = encoder.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in state.items() if k.startswith("layer"))
    assert all(torch.equal(stem[k], v) for k, v in encoder.stem.state_dict().items())


def test_the_names_are_those_of_resnet34() -> None:
    keys = ResNet34Encoder(3, 4).state_dict().keys()

    assert {"layer1.0.conv1.weight", "layer2.0.downsample.1.running_mean", "layer3.5.bn2.bias"} <= keys
    assert "layer1.0.downsample.0.weight" not in keys


def test_weights_of_another_network_are_refused() -> None:
    encoder = ResNet34Encoder(3, 4)

    with pytest.raises(CheckpointError, match=r"lack 'layer1\.0\.conv1\.weight'"):
        encoder.load_imagenet({})
    with pytest.raises(CheckpointError, match=r"shape \(8, 8, 3, 3\) but expected \(4, 4, 3, 3\)"):
        encoder.load_imagenet(ResNet34Encoder(3, 8).state_dict())


@pytest.mark.parametrize("side", [6, 7])
def test_the_strided_pointwise_convolution_gives_the_values_of_the_ordinary_one(side: int) -> None:
    ours = PointwiseStrided(16, 8, 1, 2, bias=False)
    ordinary = nn.Conv2d(16, 8, 1, 2, bias=False)
    ordinary.load_state_dict(ours.state_dict())
    image = torch.randn(2, 16, side, side)

    torch.testing.assert_close(ours(image), ordinary(image))
