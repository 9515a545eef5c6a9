"""Whole runs on a small dataset: the events, the files, and what each stage leaves unchanged."""

from __future__ import annotations

import csv
import json
import pickle
from collections.abc import Callable, Sequence

import pytest
import torch

from src_model.config import TrainConfig
from src_model.events import (
    CheckpointSaved,
    Control,
    EpochFinished,
    Event,
    RunFinished,
    RunStarted,
    RunStopped,
    StageFinished,
    StepFinished,
    Warned,
)
from src_model.models.checkpoint import Checkpoint, load_checkpoint
from src_model.training import stage_work, usage
from src_model.training.trainer import train
from src_model.training.validation import Scores

MakeConfig = Callable[..., TrainConfig]


def _of(kind: type[Event], events: Sequence[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def test_a_run_tells_its_whole_story_in_order(make_config: MakeConfig) -> None:
    config = make_config()

    events = list(train(config))

    kinds = [event.kind for event in events if not isinstance(event, (CheckpointSaved, Warned))]
    epoch = ["step_finished"] * 3 + ["epoch_finished"]
    stage = epoch * 2 + ["stage_finished"]
    assert kinds == ["run_started", *stage, *stage, "run_finished"]
    started = events[0]
    assert isinstance(started, RunStarted)
    assert (started.train_images, started.validation_images, started.stages) == (6, 2, ("1", "2"))
    assert [(e.stage, e.epoch) for e in events if isinstance(e, EpochFinished)] == [
        ("1", 1),
        ("1", 2),
        ("2", 1),
        ("2", 2),
    ]
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert finished.checkpoint == config.out / "model.safetensors"


def test_events_are_plain_data(make_config: MakeConfig) -> None:
    events = list(train(make_config(stage="first")))

    for event in events:
        assert pickle.loads(pickle.dumps(event)) == event
        json.dumps(event.to_dict())


def test_epochs_report_routers_in_stage_two_only_and_time_left_falls_to_nothing(
    make_config: MakeConfig,
) -> None:
    epochs = [event for event in train(make_config()) if isinstance(event, EpochFinished)]

    assert epochs[0].expert_usage is None
    shares = epochs[-1].expert_usage
    assert shares is not None
    assert [len(row) for row in shares] == [4] * 4
    assert all(sum(row) == pytest.approx(1.0, abs=1e-3) for row in shares)
    assert epochs[-1].balance_loss > 0
    assert epochs[-1].train_loss == pytest.approx(
        epochs[-1].segmentation_loss + 0.01 * epochs[-1].balance_loss, abs=1e-5
    )
    assert epochs[-1].seconds_left == 0.0


def test_the_checkpoint_carries_everything_needed_to_use_it(make_config: MakeConfig) -> None:
    config = make_config(classes=[{"name": "nucleus", "color": "#ff0000"}], pixel_size_um=0.25)

    *_, finished = train(config)

    assert isinstance(finished, RunFinished)
    checkpoint = load_checkpoint(finished.checkpoint)
    assert checkpoint.config["stage"] == 2
    assert checkpoint.classes == config.classes
    assert checkpoint.pixel_size_um == 0.25
    assert len(checkpoint.normalisation.mean) == 3
    assert [(entry["stage"], entry["epoch"]) for entry in checkpoint.history] == [
        ("1", 1),
        ("1", 2),
        ("2", 1),
        ("2", 2),
    ]
    assert checkpoint.training["image_size"] == 32
    assert checkpoint.training["sampling"] == "crop"


def test_the_run_folder_holds_the_files_of_a_run_and_nothing_else(make_config: MakeConfig) -> None:
    config = make_config()

    events = list(train(config))

    best = {e.stage: e.best_epoch for e in events if isinstance(e, StageFinished)}
    assert sorted(path.name for path in config.out.iterdir()) == [
        ".lock",
        f"best-stage1-epoch{best['1']}.safetensors",
        f"best-stage2-epoch{best['2']}.safetensors",
        "config.yaml",
        "history.csv",
        "last.safetensors",
        "model.safetensors",
    ]
    with (config.out / "history.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 4
    assert TrainConfig.from_yaml(config.out / "config.yaml") == config


def _best(config: TrainConfig, stage: str) -> Checkpoint:
    (path,) = config.out.glob(f"best-stage{stage}-*.safetensors")
    return load_checkpoint(path)


def test_stage_two_changes_the_mixture_alone_bit_for_bit(make_config: MakeConfig) -> None:
    config = make_config(precision="bfloat16")

    list(train(config))

    first, second = _best(config, "1").model.state_dict(), _best(config, "2").model.state_dict()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
    assert {key.split(".")[0] for key in second.keys() - first.keys()} == {"mixture"}


def test_a_joint_run_trains_the_mixture_and_the_rest_together(make_config: MakeConfig) -> None:
    config = make_config(stage="joint")

    events = list(train(config))

    assert {event.stage for event in events if isinstance(event, StepFinished)} == {"joint"}
    epochs = [event for event in events if isinstance(event, EpochFinished)]
    assert epochs[0].expert_usage is not None
    assert load_checkpoint(config.out / "model.safetensors").config["stage"] == 2


def test_training_learns_bright_rectangles(make_config: MakeConfig) -> None:
    stage = {"epochs": 12, "learning_rate": 1e-2}
    config = make_config(stage="first", stage1=stage, precision="float32")

    *_, finished = train(config)

    assert isinstance(finished, RunFinished)
    assert finished.dice > 0.8


def test_the_configuration_is_not_changed(make_config: MakeConfig) -> None:
    config = make_config(stage="first")
    before = config.to_yaml()

    list(train(config))

    assert config.to_yaml() == before


def test_a_stop_ends_with_an_event_that_says_what_is_kept(make_config: MakeConfig) -> None:
    control = Control()
    events = []
    for event in train(make_config(), control=control):
        events.append(event)
        if isinstance(event, EpochFinished) and event.stage == "2":
            control.stop()

    last = events[-1]
    assert isinstance(last, RunStopped)
    assert "everything up to stage 2, epoch 1 is kept" in last.message
    assert last.checkpoint is not None
    assert last.checkpoint.exists()


def test_a_stop_before_the_first_epoch_leaves_no_checkpoint(make_config: MakeConfig) -> None:
    control = Control()
    control.stop()

    *_, last = train(make_config(), control=control)

    assert isinstance(last, RunStopped)
    assert last.checkpoint is None


def test_a_pause_holds_the_next_step_and_takes_no_time(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control()
    waits = []
    monkeypatch.setattr(control._go, "wait", lambda: waits.append(control.state))

    for event in train(make_config(stage="first"), control=control):
        if isinstance(event, StepFinished) and (event.epoch, event.step) == (1, 1):
            control.pause()
        if isinstance(event, StepFinished) and (event.epoch, event.step) == (1, 2):
            control.resume()

    assert waits[:3] == ["running", "paused", "running"]


def test_a_second_stage_that_costs_dice_is_told_with_the_better_model(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = iter([0.8, 0.7, 0.5, 0.6])
    monkeypatch.setattr(stage_work, "validate", lambda *_, **__: Scores(0.3, next(dice), 0.5))

    events = list(train(make_config()))

    notes = [event.message for event in events if isinstance(event, Warned)]
    better = make_config().out / "best-stage1-epoch1.safetensors"
    assert notes == [
        "Stage 2 ended with a validation Dice of 0.600, below the 0.800 of stage 1; give it more epochs, or "
        f"use the model of stage 1, {better}."
    ]
    assert better.is_file()


def test_an_expert_that_takes_over_raises_a_warning_event(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "DOMINANT_SHARE", 0.2)
    monkeypatch.setattr(usage, "DOMINANT_EPOCHS", 2)

    events = list(train(make_config()))

    messages = [event.message for event in events if isinstance(event, Warned)]
    assert len([message for message in messages if "balance_weight" in message]) == 4
