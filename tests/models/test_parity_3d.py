"""The published 3D U2-Net's weights give the published network's logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_parity import drawn_weight

from src_model.models.profile import count_parameters
from src_model.models.published import load_published_weights
from src_model.models.registry import create_model

FIXTURES = Path(__file__).parents[1] / "fixtures"
FIGURES = json.loads((FIXTURES / "u2net3d_published.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", FIGURES["cases"], ids=lambda case: case["name"])
def test_the_logits_equal_the_published_ones(
    case: dict[str, Any], record_property: pytest.RecordProperty
) -> None:
    sizes = zip(case["in_channels"], case["num_classes"], strict=True)
    model = create_model(
        "u2net3d",
        mode=case["mode"],
        adapter=case["module"].removesuffix("_adapter"),
        base_channels=case["base_channels"],
        poolings=case["num_pool_per_axis"],
        domains={f"organ {i}": {"in_channels": c, "num_classes": k} for i, (c, k) in enumerate(sizes)},
    ).eval()
    state = {key: drawn_weight(key, tuple(shape)) for key, shape in FIGURES["shapes"].items()}
    load_published_weights(model, state)
    volume = np.random.default_rng(case["input_seed"]).standard_normal(case["input_shape"]).astype("float32")
    expected = np.load(FIXTURES / "u2net3d_published.npz")[case["name"]]

    with torch.inference_mode():
        logits = model(torch.from_numpy(volume), domain=case["domain"]).logits.numpy()

    step = case["output_stride"]
    difference = float(np.abs(logits[..., ::step, ::step, ::step] - expected).max())
    record_property("largest_difference", difference)
    print(f"\n{case['name']}: largest difference {difference:.2e}")
    assert difference <= 1e-3
    assert count_parameters(model) == case["params"]
