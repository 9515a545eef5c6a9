"""Parameters, multiply-adds and latency."""

from __future__ import annotations

import pytest

from src_model.models.profile import count_gmac, count_parameters, profile_model
from src_model.models.registry import create_model


def test_utanet_has_the_published_parameters_without_the_unused_ones() -> None:
    assert count_parameters(create_model("utanet")) == 24_276_969 - 522_536


def test_multiply_adds_match_a_hand_count() -> None:
    model = create_model("utanet", stage=1)

    # 18.87 at 224 x 224, and the cost is proportional to the number of pixels
    assert count_gmac(model, 64, 64) * (224 / 64) ** 2 == pytest.approx(18.867, abs=0.01)


def test_a_profile_leaves_the_modes_as_they_were() -> None:
    model = create_model("utanet", base_channels=4, mixture_width=8).train()
    model.encoder.eval()

    profile = profile_model(model, height=32, width=48, repeats=1)

    assert (profile.name, profile.stage, profile.height, profile.width) == ("utanet", 2, 32, 48)
    assert profile.parameters > profile.mixture_parameters > 0
    assert profile.gmac > 0
    assert profile.latency_ms > 0
    assert model.training
    assert not model.encoder.training
