"""Runs that meet trouble: losses that are no numbers, memory, masks, settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from src_model.config import TrainConfig
from src_model.errors import ConfigError, NonFiniteLossError
from src_model.events import EpochFinished, RunFinished, Warned
from src_model.models.checkpoint import load_checkpoint
from src_model.models.utanet import UTANet
from src_model.training.stage_work import StageWork
from src_model.training.trainer import train
from src_model.training.validation import overlap

MakeConfig = Callable[..., TrainConfig]


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(stage="first")
    step = StageWork.step

    def poison(self: StageWork, indices: list[int], epoch: int, number: int, steps: int) -> object:
        if (epoch, number) == (2, 2):
            torch.nn.init.constant_(self.model.head[0].weight, torch.nan)
        return step(self, indices, epoch, number, steps)

    monkeypatch.setattr(StageWork, "step", poison)
    with pytest.raises(NonFiniteLossError, match=r"stage 1, epoch 2, batch 2 \(images case\d, case\d\)"):
        list(train(config))

    checkpoint = load_checkpoint(config.out / "model.safetensors")
    assert all(bool(torch.isfinite(value).all()) for value in checkpoint.model.state_dict().values())
    assert [entry["epoch"] for entry in checkpoint.history] == [1]


def test_a_validation_that_is_no_number_stops_before_anything_is_saved(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(stage="first")
    step = StageWork.step

    def poison(self: StageWork, indices: list[int], epoch: int, number: int, steps: int) -> object:
        result = step(self, indices, epoch, number, steps)
        if number == steps:
            torch.nn.init.constant_(self.model.head[0].weight, torch.nan)
        return result

    monkeypatch.setattr(StageWork, "step", poison)
    with pytest.raises(NonFiniteLossError, match="The validation loss became nan in stage 1, epoch 1"):
        list(train(config))

    assert not list(config.out.glob("*.safetensors"))


def test_a_smaller_batch_after_memory_ran_out_is_remembered_by_the_run(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = UTANet.forward

    def limited(self: UTANet, x: torch.Tensor, **arguments: object) -> object:
        if len(x) > 2:
            raise torch.OutOfMemoryError("imagined memory is full")
        return forward(self, x, **arguments)

    monkeypatch.setattr(UTANet, "forward", limited)
    config = make_config(batch_size=6, stage="first")
    events = train(config)
    messages = []
    for event in events:
        if isinstance(event, Warned):
            messages.append(event.message)
        if isinstance(event, EpochFinished):
            break
    events.close()  # type: ignore[attr-defined]
    rest = list(train(config.model_copy(update={"resume": True})))

    assert len(messages) == 2
    assert "going on with 1 images at a time" in messages[1] or "going on with 3" in messages[0]
    assert not [event for event in rest if isinstance(event, Warned)]
    assert isinstance(rest[-1], RunFinished)


def test_several_classes_train_to_a_model_with_their_names(
    tmp_path: Path, write_pairs: Callable[..., Path], make_config: MakeConfig
) -> None:
    root = write_pairs(tmp_path / "two", classes=2)
    classes = [{"name": "gland", "color": "#00ff00"}, {"name": "lumen", "color": "#0000ff"}]
    config = make_config(data={"root": root}, model={"num_classes": 3}, classes=classes)

    *_, finished = train(config)

    assert isinstance(finished, RunFinished)
    assert 0.0 <= finished.dice <= 1.0
    checkpoint = load_checkpoint(finished.checkpoint)
    assert checkpoint.config["num_classes"] == 3
    assert [item.name for item in checkpoint.classes] == ["gland", "lumen"]


def test_a_wrong_number_of_names_is_refused_before_the_folder_is_made(make_config: MakeConfig) -> None:
    config = make_config(classes=[{"name": "a"}, {"name": "b"}])

    with pytest.raises(ConfigError, match="2 classes by name but 1 foreground"):
        list(train(config))

    assert not config.out.exists()


def test_images_that_cannot_be_used_leave_a_folder_that_can_be_used_again(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Exception, match="empty"):
        list(train(make_config(data={"root": tmp_path / "empty"})))

    *_, finished = train(make_config(stage="first"))

    assert isinstance(finished, RunFinished)


def test_the_score_of_several_classes_is_the_mean_over_those_present() -> None:
    truth = np.array([[0, 1, 1, 0], [0, 1, 1, 0]])
    found = np.array([[0, 1, 1, 0], [0, 0, 0, 3]])

    dice, iou = overlap(found, truth, several=True)

    assert dice == pytest.approx((2 * 2 / 6 + 0) / 2)
    assert iou == pytest.approx((2 / 4 + 0) / 2)
    assert overlap(np.zeros((2, 2)), np.zeros((2, 2)), several=True) == (1.0, 1.0)


def test_the_score_of_one_class_is_that_of_all_foreground() -> None:
    assert overlap(np.array([[1, 1, 0]]), np.array([[7, 0, 0]]), several=False) == pytest.approx(
        (2 / 3, 1 / 2)
    )
