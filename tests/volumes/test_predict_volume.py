"""Whole volumes from overlapping patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from src_model.errors import ConfigError, ModelError, Stopped
from src_model.events import Control
from src_model.inference.volume import predict_volume
from src_model.models.registry import create_model
from src_model.models.skips import Segmentation
from src_model.models.universal3d import U2Net3D


@pytest.fixture
def model() -> U2Net3D:
    torch.manual_seed(0)
    made = create_model(
        "u2net3d", in_channels=1, domains={"a": {"num_classes": 2}, "b": {"num_classes": 3}},
        base_channels=4, poolings=(1, 2, 2),
    )  # fmt: skip
    assert isinstance(made, U2Net3D)
    return made.eval()


def volume(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_a_volume_that_fits_one_patch_equals_the_network_itself(model: U2Net3D) -> None:
    values = volume(1, 7, 9, 10)

    logits = predict_volume(model, values, domain="b", patch_size=(16, 16, 16))

    with torch.inference_mode():
        expected = model(torch.from_numpy(values)[None], domain="b").logits[0].numpy()
    assert logits.shape == (3, 7, 9, 10)
    assert np.allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_a_voxelwise_network_is_the_same_in_patches(model: U2Net3D, overlap: float) -> None:
    def voxelwise(x: Tensor, **_: object) -> Segmentation:
        return Segmentation(torch.cat([x, 2 * x], 1), torch.zeros(()))

    model.forward = voxelwise  # type: ignore[method-assign]
    values = volume(1, 21, 18, 5)

    logits = predict_volume(model, values, domain=0, patch_size=(8, 8, 8), overlap=overlap, batch_size=3)

    assert logits.shape == (2, 21, 18, 5)
    assert np.allclose(logits, np.concatenate([values, 2 * values]), atol=1e-5)


def test_a_stop_ends_between_two_passes(model: U2Net3D) -> None:
    control = Control()
    control.stop()

    with pytest.raises(Stopped):
        predict_volume(model, volume(1, 8, 8, 8), domain=0, between=control.check)


def test_what_does_not_fit_is_refused(model: U2Net3D) -> None:
    values = volume(1, 8, 8, 8)

    with pytest.raises(ModelError, match="no domain 'liver'"):
        predict_volume(model, values, domain="liver")
    with pytest.raises(ModelError, match="2 channels but this network expects 1"):
        predict_volume(model, volume(2, 8, 8, 8), domain=0)
    with pytest.raises(ModelError, match="2-D images use one of: utanet"):
        predict_volume(model, values[0], domain=0)
    with pytest.raises(ConfigError, match="overlap must be from 0 to below 1"):
        predict_volume(model, values, domain=0, overlap=1.0)
    with pytest.raises(ConfigError, match="patch_size must be three"):
        predict_volume(model, values, domain=0, patch_size=(8, 8))
