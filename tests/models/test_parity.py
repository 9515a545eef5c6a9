"""The published networks' weights give the published networks' outputs."""

from __future__ import annotations

import functools
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from src_model.models.profile import count_parameters
from src_model.models.published import load_published_weights
from src_model.models.registry import create_model
from src_model.models.skips import Segmentation

FIXTURES = Path(__file__).parents[1] / "fixtures"
FIGURES = {
    network: json.loads((FIXTURES / f"{file}.json").read_text(encoding="utf-8"))
    for network, file in (("utanet", "utanet_published"), ("light-utanet", "light_published"))
}
UTANET_CASES, LIGHT_CASES = (FIGURES[network]["cases"] for network in ("utanet", "light-utanet"))


@functools.cache
def drawn_weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """The weight that belongs to a key and shape."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("running_var"):
        values = 1 + 0.5 * rng.random(shape)
    elif key.endswith("running_mean"):
        values = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1:
        values = 0.1 * rng.standard_normal(shape) + float(key.endswith("weight"))
    elif key.rpartition(".")[2].startswith("gate"):
        values = 2.0 * rng.standard_normal(shape) / np.sqrt(shape[0])
    else:
        values = 1.2 * rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


def published_state(
    network: str, stage: int = 2, in_channels: int = 3, num_classes: int = 1
) -> dict[str, Tensor]:
    """A state dict as the published code saves it, its second copy of the encoder included."""
    state: dict[str, Tensor] = {}
    for key, listed in FIGURES[network]["shapes"].items():
        shape = list(listed)
        if stage == 1 and key.startswith(("fuse.", "moe.", "docker")):
            continue
        if key == "conv1.0.weight":
            shape[1] = in_channels
        if key.startswith("pred.3."):
            shape[0] = num_classes
        source = key
        if key[:5] in ("conv2", "conv3", "conv4", "conv5"):
            source = f"resnet.layer{int(key[4]) - 1}{key[5:]}"
        tracked = key.endswith("num_batches_tracked")
        state[key] = torch.tensor(0) if tracked else drawn_weight(source, tuple(shape))
    return state


def output_and_expectation(
    network: str, case: dict[str, Any], fixture: str
) -> tuple[Segmentation, np.ndarray, np.ndarray]:
    """The result for a case, its logits where the figures are, and the figures."""
    arguments = {key: case[key] for key in ("stage", "in_channels", "num_classes")}
    model = create_model(network, top_k=case["top_k"], **arguments).eval()
    load_published_weights(model, published_state(network, **arguments))
    image = np.random.default_rng(case["input_seed"]).standard_normal(case["input_shape"]).astype("float32")
    with torch.inference_mode():
        result = model(torch.from_numpy(image))
    step = case["output_stride"]
    expected = np.load(FIXTURES / f"{fixture}.npz")[case["name"]]
    return result, result.logits[..., ::step, ::step].numpy(), expected


def report(case: dict[str, Any], output: np.ndarray, expected: np.ndarray) -> float:
    """Print and return the largest difference."""
    difference = float(np.abs(output - expected).max())
    print(f"\n{case['name']}: largest difference {difference:.2e}")
    return difference


@pytest.mark.parametrize("case", UTANET_CASES, ids=lambda case: case["name"])
def test_the_output_equals_the_published_one(
    case: dict[str, Any], record_property: pytest.RecordProperty
) -> None:
    result, logits, expected = output_and_expectation("utanet", case, "utanet_published")

    one_class = case["num_classes"] == 1
    output = 1 / (1 + np.exp(-logits)) if one_class else logits
    difference = report(case, output, expected)
    record_property("largest_difference", difference)
    assert difference <= (1e-5 if one_class else 1e-3)
    assert float(result.balance_loss) == pytest.approx(case["balance_loss"], rel=1e-4)


@pytest.mark.parametrize("case", LIGHT_CASES, ids=lambda case: case["name"])
def test_the_light_output_equals_the_published_one(
    case: dict[str, Any], record_property: pytest.RecordProperty
) -> None:
    result, logits, expected = output_and_expectation("light-utanet", case, "light_published")

    difference = report(case, logits, expected)
    record_property("largest_difference", difference)
    assert difference <= 1e-3
    assert float(result.balance_loss) == pytest.approx(case["balance_loss"], rel=1e-4)


@pytest.mark.parametrize("case", [LIGHT_CASES[0], LIGHT_CASES[1]], ids=lambda case: f"stage{case['stage']}")
def test_the_light_network_has_the_published_parameters_in_use(case: dict[str, Any]) -> None:
    assert count_parameters(create_model("light-utanet", stage=case["stage"])) == case["parameters"]
