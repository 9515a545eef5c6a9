"""A run that starts from ImageNet weights: fetched once with events, taken over, and kept when resumed."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from src_model import download
from src_model.config import TrainConfig
from src_model.errors import DownloadError, ModelError
from src_model.events import Control, Downloading, EpochFinished, Event, RunFinished, RunStarted, RunStopped
from src_model.models import pretrained
from src_model.models.backbones import make_encoder
from src_model.models.checkpoint import load_checkpoint
from src_model.models.pretrained import WeightFile
from src_model.training import encoder_weights
from src_model.training.trainer import train

MakeConfig = Callable[..., TrainConfig]
WIDTH = 4
MODEL = {"encoder_weights": "imagenet"}
STILL = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0}


@pytest.fixture
def published(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The state dict that a local server gives as ImageNet weights; the cache is empty."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        state = make_encoder("resnet34", 3, WIDTH).state_dict()
    content = io.BytesIO()
    torch.save(state, content)
    server.publish(content.getvalue())
    monkeypatch.setattr(pretrained, "FULL_WIDTH", WIDTH)
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "cache")
    file = WeightFile(server.address, server.sha256[:8])
    monkeypatch.setitem(pretrained.IMAGENET, "resnet34", file)
    return state


def _downloads(events: list[Event]) -> list[Downloading]:
    return [event for event in events if isinstance(event, Downloading)]


def _weights(path: Path) -> dict[str, Tensor]:
    return load_checkpoint(path).model.state_dict()


def test_both_stages_stand_on_the_fetched_encoder(
    make_config: MakeConfig, published: dict[str, Tensor]
) -> None:
    config = make_config(model=MODEL, stage1=STILL, stage2=STILL)

    *_, finished = train(config)

    assert isinstance(finished, RunFinished)
    checkpoint = load_checkpoint(finished.checkpoint)
    own = checkpoint.model.state_dict()
    shared = [key for key in published if key.startswith("layer") and key.endswith("weight")]
    assert all(torch.allclose(own[f"encoder.{key}"], published[key], atol=1e-6) for key in shared)
    assert checkpoint.training["encoder_weights"] == "imagenet"


def test_the_download_is_told_before_the_run_and_once_only(
    make_config: MakeConfig, published: dict[str, Tensor], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_weights.time, "monotonic", lambda: 1.0)

    first, second = train(make_config("first", model=MODEL)), train(make_config("second", model=MODEL))

    size = len(server.content)
    assert next(first) == Downloading(name="ImageNet weights", done=0, total=0)
    assert next(first) == Downloading(name="ImageNet weights", done=size, total=size)
    assert isinstance(next(first), RunStarted)
    assert isinstance(next(second), RunStarted)
    assert len(server.requests) == 1


def test_a_resumed_run_fetches_nothing_and_ends_with_the_same_weights(
    make_config: MakeConfig, published: dict[str, Tensor], server: Any, tmp_path: Path
) -> None:
    whole, broken = (make_config(out, model=MODEL, stage2={"epochs": 1}) for out in ("whole", "broken"))
    list(train(whole))
    events = train(broken)
    next(event for event in events if isinstance(event, EpochFinished))
    events.close()  # type: ignore[attr-defined]
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    server.requests.clear()

    rest = list(train(broken.model_copy(update={"resume": True})))

    assert _downloads(rest) == []
    assert server.requests == []
    expected, found = _weights(whole.out / "model.safetensors"), _weights(broken.out / "model.safetensors")
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_stop_while_fetching_keeps_what_arrived_and_the_next_start_goes_on(
    make_config: MakeConfig, published: dict[str, Tensor], server: Any, tmp_path: Path
) -> None:
    config, control = make_config(model=MODEL, stage="first", stage1=STILL), Control()
    seen = []
    for event in train(config, control=control):
        seen.append(event)
        control.stop()
    (partial,) = (tmp_path / "cache").iterdir()
    arrived = partial.stat().st_size

    *_, finished = train(config)

    assert [type(event) for event in seen] == [Downloading, RunStopped]
    assert arrived > 0
    assert server.requests == [None, f"bytes={arrived}-"]
    assert isinstance(finished, RunFinished)


def test_offline_the_folder_can_be_used_again_without_the_weights(
    make_config: MakeConfig, published: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = WeightFile("http://127.0.0.1:9/weights.pth", "0")
    monkeypatch.setitem(pretrained.IMAGENET, "resnet34", nobody)
    with pytest.raises(DownloadError, match=r"put the file weights\.pth into .* or go on without it"):
        list(train(make_config(model=MODEL)))

    *_, finished = train(make_config(stage="first", stage1=STILL))

    assert isinstance(finished, RunFinished)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"name": "unet", "options": {}}, "'unet' has no encoder with published weights; .* one of: utanet,"),
        ({"options": {"base_channels": 32}}, "fit an encoder of base_channels 64 but got 32"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_any_data_is_read(
    model: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    values = {
        "data": {"root": tmp_path / "nowhere"},
        "out": tmp_path / "run",
        "model": {"encoder_weights": "imagenet", **model},
    }

    with pytest.raises(ModelError, match=sentence):
        list(train(TrainConfig.parse(values)))

    assert not (tmp_path / "run").exists()
