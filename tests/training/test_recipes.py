"""What a recipe may add to the two stages: averaged weights, a last epoch that counts, a shared stage 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from src_model.config import TrainConfig
from src_model.errors import CheckpointError
from src_model.events import EpochFinished, RunFinished, RunStarted
from src_model.models.registry import create_model
from src_model.training.average import MovingAverage
from src_model.training.history import EpochRecord, History
from src_model.training.stages import Stage, plan_stages
from src_model.training.trainer import train

MakeConfig = Callable[..., TrainConfig]


def _record(*, epoch: int, dice: float) -> EpochRecord:
    return EpochRecord(
        stage="1",
        epoch=epoch,
        train_loss=1.0,
        segmentation_loss=1.0,
        balance_loss=0.0,
        validation_loss=1.0,
        dice=dice,
        iou=dice,
        learning_rate=0.0,
        expert_usage=None,
        seconds=1.0,
    )


def _network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return create_model("utanet", base_channels=4, mixture_width=4)


def test_the_average_keeps_its_share_and_takes_the_rest_from_the_newest_weights() -> None:
    first, newest = _network(0), _network(1)
    average = MovingAverage(first, 0.9)

    average.update(newest, step=1000)

    for key, value in average.model.state_dict().items():
        before, after = first.state_dict()[key], newest.state_dict()[key]
        expected = 0.9 * before + 0.1 * after if value.is_floating_point() else after
        assert torch.allclose(value, expected)


def test_the_average_forgets_the_random_start_faster_than_its_decay() -> None:
    first, newest = _network(0), _network(1)
    average = MovingAverage(first, 0.999)

    average.update(newest, step=0)

    key = "head.0.weight"
    expected = 0.1 * first.state_dict()[key] + 0.9 * newest.state_dict()[key]
    assert torch.allclose(average.model.state_dict()[key], expected)


def test_an_average_of_the_mixture_leaves_the_frozen_parts_bit_for_bit() -> None:
    first, newest = _network(0), _network(1)
    average = MovingAverage(first, 0.9, "mixture.")

    average.update(newest, step=10)

    weights = average.model.state_dict()
    assert torch.equal(weights["head.0.weight"], first.state_dict()["head.0.weight"])
    assert not torch.equal(weights["mixture.fuse.0.weight"], first.state_dict()["mixture.fuse.0.weight"])


def test_the_averaged_weights_are_what_a_run_keeps(make_config: MakeConfig) -> None:
    config = make_config(stage="first", weight_average=0.5, keep="last")

    list(train(config))

    kept, state = load_file(config.out / "model.safetensors"), load_file(config.out / "last.safetensors")
    assert all(torch.equal(value, state[f"average/{key}"]) for key, value in kept.items())
    assert not torch.equal(kept["head.0.weight"], state["model/head.0.weight"])


@pytest.mark.parametrize("stop_after", [("1", 1), ("2", 1), ("3", 1)])
def test_a_resumed_run_with_averages_and_three_stages_ends_like_an_uninterrupted_one(
    make_config: MakeConfig, stop_after: tuple[str, int]
) -> None:
    third = {"epochs": 2, "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_epochs": 0.5}
    whole, broken = (make_config(out, weight_average=0.8, stage3=third) for out in ("whole", "broken"))
    list(train(whole))

    events = train(broken)
    for event in events:
        if isinstance(event, EpochFinished) and (event.stage, event.epoch) == stop_after:
            break
    events.close()  # type: ignore[attr-defined]
    last = list(train(broken.model_copy(update={"resume": True})))[-1]

    assert isinstance(last, RunFinished)
    one, other = (load_file(config.out / "model.safetensors") for config in (whole, broken))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_with_keep_last_a_worse_last_epoch_counts_more_than_a_better_one_before(
    make_config: MakeConfig,
) -> None:
    def stage_of(keep: str) -> Stage:
        (stage,) = plan_stages(make_config(stage="first", keep=keep)).stages
        return stage

    history = History((_record(epoch=1, dice=0.9), _record(epoch=2, dice=0.5)))

    assert history.best(stage_of("best")).epoch == 1
    assert history.best(stage_of("last")).epoch == 2
    assert history.chosen([stage_of("last")]) == history.records[1]


def test_two_runs_of_stage_two_may_share_one_stage_one(make_config: MakeConfig) -> None:
    both = make_config("both")
    first = make_config("first", stage="first")
    list(train(both))
    list(train(first))
    shared = {"stage1_from": first.out / "model.safetensors"}

    second = make_config("second", stage="second", model=shared)
    started, *_ = (event for event in train(second) if isinstance(event, RunStarted))

    assert started.stages == ("2",)
    one, other = (load_file(config.out / "model.safetensors") for config in (both, second))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_stage_one_can_be_trained_longer_without_a_mixture(make_config: MakeConfig) -> None:
    first = make_config("first", stage="first")
    list(train(first))
    before = first.out / "model.safetensors"
    settings = {"epochs": 1, "learning_rate": 1e-3, "weight_decay": 0.0}

    longer = make_config("longer", stage="longer", model={"stage1_from": before}, stage3=settings)
    started, *_ = (event for event in train(longer) if isinstance(event, RunStarted))

    old, new = load_file(before), load_file(longer.out / "model.safetensors")
    change = max(float((old[key].float() - new[key].float()).abs().max()) for key in old if "weight" in key)
    assert started.stages == ("3",)
    assert old.keys() == new.keys()  # no mixture was added
    assert 0 < change < 0.05  # it went on from those weights


def test_a_shared_stage_one_of_another_network_is_refused_in_one_sentence(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    first = make_config("first", stage="first", model={"options": {"base_channels": 8}})
    list(train(first))

    with pytest.raises(CheckpointError, match="are of another network"):
        list(
            train(
                make_config("second", stage="second", model={"stage1_from": first.out / "model.safetensors"})
            )
        )
