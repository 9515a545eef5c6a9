"""Features of the frozen encoder: computed once for stage 2, and the weights are the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from src_model.config import AugmentConfig, TrainConfig
from src_model.device import Precision, autocast
from src_model.events import EpochFinished, RunFinished
from src_model.models.checkpoint import load_checkpoint
from src_model.models.registry import create_model
from src_model.models.utanet import UTANet
from src_model.tiling.plan import Box
from src_model.training import frozen
from src_model.training.frozen import bytes_of_features, frozen_features
from src_model.training.stages import build_network, plan_stages
from src_model.training.trainer import train

MakeConfig = Callable[..., TrainConfig]

CPU = torch.device("cpu")
STILL = {name: 0.0 for name in AugmentConfig.model_fields if name != "zoom"}
"""No augmentation."""


@pytest.fixture
def make_still(make_config: MakeConfig) -> MakeConfig:
    """Runs in which every image is the same in each epoch: 1 + 3 epochs on 6 + 2 images."""

    def make(out: str = "run", **changes: Any) -> TrainConfig:
        values: dict[str, Any] = {
            "data": {"sampling": "resize"},
            "augment": STILL,
            "stage1": {"epochs": 1},
            "stage2": {"epochs": 3},
        }
        return make_config(out, **(values | changes))

    return make


def _weights(config: TrainConfig) -> dict[str, torch.Tensor]:
    *_, finished = train(config)
    assert isinstance(finished, RunFinished)
    return load_file(config.out / "last.safetensors")


@pytest.mark.parametrize("name", ["utanet", "utanet-plusplus", "light-utanet"])
def test_image_by_image_the_weights_are_those_of_training_without_the_memory(
    make_still: MakeConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    options = {"name": name, "options": {"base_channels": 4, "mixture_width": 4}}
    remembered = _weights(make_still("with", model=options, batch_size=1))
    monkeypatch.setattr(frozen, "_SHARE_OF_MEMORY", 0.0)
    computed = _weights(make_still("without", model=options, batch_size=1))

    assert all(torch.equal(remembered[key], computed[key]) for key in computed)


_TAKEN_AWAY = re.compile(r"(expand|mix|fuse\.0|dockers\.\d\.0)\.bias$|running_mean$")
"""Biases that BatchNorm takes away, and the means that follow them.

The gradient of such a bias is zero but for rounding, of which AdamW makes steps of full length: two runs may
differ there by any number of them, and the networks compute the same.
"""


def test_in_batches_the_weights_and_predictions_differ_by_rounding_at_most(
    make_still: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"precision": "float32", "weight_average": 0.5}
    remembered = _weights(make_still("with", **changes))
    monkeypatch.setattr(frozen, "_SHARE_OF_MEMORY", 0.0)
    computed = _weights(make_still("without", **changes))

    for key, value in computed.items():
        if not _TAKEN_AWAY.search(key):
            torch.testing.assert_close(remembered[key], value, rtol=1e-3, atol=1e-4, msg=key)
    logits = [_logits(make_still(out, **changes)) for out in ("with", "without")]
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def _logits(config: TrainConfig) -> torch.Tensor:
    """What the finished network of a run says about one image of noise."""
    network = load_checkpoint(config.out / "model.safetensors").model.eval()
    logits: torch.Tensor = network(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    return logits


def _encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images go through the encoder of a network with a mixture, at each call."""
    sizes: list[int] = []
    features = UTANet.features

    def count(self: UTANet, x: torch.Tensor, part: Box | None = None) -> list[torch.Tensor]:
        if self.mixture is not None:
            sizes.append(len(x))
        return features(self, x, part)

    monkeypatch.setattr(UTANet, "features", count)
    return sizes


def test_each_image_goes_through_the_frozen_encoder_once(
    make_still: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = _encoded(monkeypatch)

    list(train(make_still()))

    assert encoded == [1] * 8


def test_images_that_are_augmented_are_encoded_anew_and_those_to_score_on_are_not(
    make_still: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = _encoded(monkeypatch)

    list(train(make_still(augment={**STILL, "stain": 1.0})))

    assert sum(encoded) == 3 * 6 + 2


def test_a_resumed_run_fills_the_memory_again_and_ends_with_the_same_weights(make_still: MakeConfig) -> None:
    whole = _weights(make_still("whole"))
    broken = make_still("broken")
    events = train(broken)
    next(event for event in events if isinstance(event, EpochFinished) and event.stage == "2")
    events.close()  # type: ignore[attr-defined]

    resumed = _weights(broken.model_copy(update={"resume": True}))

    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


def test_remembered_features_have_no_graph_and_serve_training_and_scoring_alike(
    make_still: MakeConfig,
) -> None:
    config = make_still()
    stage = plan_stages(config).stages[1]
    model = build_network(config, stage).eval()
    features = frozen_features(model, stage, config, 1, CPU, "float32")
    assert features is not None
    (sample,) = [_sample(1)]
    images = torch.from_numpy(sample.image)[None]

    with torch.inference_mode():
        frozen.forward(model, images, [sample], features)
    output = frozen.forward(model, images, [sample], features)
    output.logits.sum().backward()

    assert len(features) == 1
    assert not any(level.requires_grad or level.is_inference() for level in features.of([sample], images))
    assert torch.equal(output.logits, model(images).logits)


def _sample(seed: int) -> Any:
    import numpy as np

    from src_model.data.sample import Sample

    rng = np.random.default_rng(seed)
    return Sample(rng.random((3, 32, 32), np.float32), np.zeros((32, 32), np.int64), "case")


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        pytest.param(1, {"data": {"sampling": "crop"}}, id="random crops"),
        pytest.param(1, {"stage2": {"epochs": 1}}, id="a single epoch"),
        pytest.param(0, {"stage1": {"epochs": 2}}, id="a stage that trains the encoder"),
    ],
)
def test_where_nothing_would_be_asked_for_twice_nothing_is_kept(
    make_still: MakeConfig, stage: int, changes: dict[str, Any]
) -> None:
    config = make_still(**changes)
    chosen = plan_stages(config).stages[stage]

    assert frozen_features(build_network(config, chosen), chosen, config, 8, CPU, "float32") is None


def test_more_than_a_quarter_of_the_free_memory_is_never_taken(
    make_still: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_still()
    stage = plan_stages(config).stages[1]
    model = build_network(config, stage)
    assert isinstance(model, UTANet)
    needed = 8 * bytes_of_features(model, 32, "float32")

    kept = []
    for free in (4 * needed, 4 * needed - 4):
        monkeypatch.setattr(frozen, "_free_memory", lambda _device, free=free: free)
        kept.append(frozen_features(model, stage, config, 8, CPU, "float32") is not None)

    assert kept == [True, False]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["utanet", "light-utanet-slim", "light-utanet-mobile"])
def test_the_memory_that_features_take_is_known_before(name: str, precision: Precision) -> None:
    model = create_model(name).eval()
    assert isinstance(model, UTANet)

    with torch.no_grad(), autocast(CPU, precision):
        levels = model.features(torch.rand(1, 3, 40, 40))

    assert sum(level.nbytes for level in levels) == bytes_of_features(model, 40, precision)


@pytest.mark.parametrize("name", STILL)
def test_an_image_stays_as_it_is_only_where_every_augmentation_is_off(name: str) -> None:
    assert AugmentConfig(**STILL).off
    assert not AugmentConfig(**{**STILL, name: 0.01}).off
