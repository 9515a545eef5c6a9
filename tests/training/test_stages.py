"""What each stage trains, and what stays as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from src_model.config import TrainConfig
from src_model.errors import CheckpointError, ConfigError, ModelError
from src_model.models.utanet import UTANet
from src_model.nested import merge
from src_model.training.stages import build_network, plan_stages, set_training, take_over


def _config(**changes: Any) -> TrainConfig:
    values = {
        "data": {"root": Path("data")},
        "out": Path("run"),
        "model": {"options": {"base_channels": 4, "mixture_width": 4}},
    }
    return TrainConfig.parse(merge(values, changes))


@pytest.mark.parametrize(("plan", "names"), [("both", "12"), ("first", "1")])
def test_the_plan_names_its_stages(plan: str, names: str) -> None:
    assert [stage.name for stage in plan_stages(_config(stage=plan)).stages] == list(names)


def test_a_joint_plan_trains_everything_of_the_mixture_network_at_once() -> None:
    config = _config(stage="joint")
    (stage,) = plan_stages(config).stages

    model = build_network(config, stage)

    assert model.stage == 2
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_network_without_a_mixture_has_stage_one_only_and_says_so() -> None:
    plan = plan_stages(TrainConfig(data={"root": "data"}, out="run", model={"name": "unet"}))

    assert [stage.name for stage in plan.stages] == ["1"]
    assert "only stage 1 is trained" in plan.warnings[0]


@pytest.mark.parametrize(
    ("epochs", "message"), [((0, 0), "All stages have 0 epochs"), ((0, 3), "stage1.epochs is 0")]
)
def test_a_plan_without_a_beginning_is_refused(epochs: tuple[int, int], message: str) -> None:
    settings = {"learning_rate": 1e-3, "weight_decay": 0.0}
    first, second = ({"epochs": number, **settings} for number in epochs)

    with pytest.raises(ConfigError, match=message):
        plan_stages(_config(stage1=first, stage2=second))


def test_training_longer_without_an_epoch_names_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"give stage3\.epochs at least 1"):
        plan_stages(_config(stage="longer", model={"stage1_from": "model.safetensors"}))


def test_a_network_without_a_mixture_can_be_trained_longer() -> None:
    config = TrainConfig.parse(
        {
            "data": {"root": "data"},
            "out": "run",
            "stage": "longer",
            "stage3": {"epochs": 2, "learning_rate": 1e-3, "weight_decay": 0.0},
            "model": {"name": "unet", "stage1_from": "model.safetensors"},
        }
    )

    (stage,) = plan_stages(config).stages

    assert (stage.name, stage.network, stage.continues) == ("3", 1, True)


def test_more_experts_than_there_are_is_refused_before_any_training() -> None:
    with pytest.raises(ModelError, match="top_k"):
        plan_stages(_config(model={"top_k": 9}))


def test_the_weights_follow_from_the_seed_alone() -> None:
    (stage,) = plan_stages(_config(stage="first")).stages
    torch.manual_seed(1)
    first = build_network(_config(), stage).state_dict()
    torch.manual_seed(2)
    second = build_network(_config(), stage).state_dict()
    other = build_network(_config(seed=1), stage).state_dict()

    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


def test_stage_two_trains_the_mixture_alone_and_keeps_frozen_statistics() -> None:
    config = _config()
    stage = plan_stages(config).stages[1]
    model = build_network(config, stage)

    set_training(model, stage)

    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    training = {name for name, part in model.named_children() if part.training}
    assert trained == training == {"mixture"}
    assert not any(module.training for module in model.encoder.modules())


def test_stage_two_builds_no_graph_for_the_frozen_encoder() -> None:
    config = _config()
    stage = plan_stages(config).stages[1]
    model = build_network(config, stage)
    assert isinstance(model, UTANet)
    set_training(model, stage)
    kept: list[torch.Tensor] = []
    model.encoder.register_forward_hook(lambda _module, _input, features: kept.extend(features))

    loss = model(torch.rand(2, 3, 32, 32)).logits.sum()
    loss.backward()

    assert len(kept) == 5
    assert not any(feature.requires_grad for feature in kept)
    assert all(p.grad is None for p in (*model.encoder.parameters(), *model.decoder.parameters()))
    assert model.mixture is not None
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.mixture.parameters())


def test_stage_two_takes_over_everything_but_the_mixture() -> None:
    config = _config()
    first, second = plan_stages(config).stages
    source, target = build_network(config, first), build_network(config, second)
    mixture = {k: v.clone() for k, v in target.state_dict().items() if k.startswith("mixture.")}

    take_over(target, source.state_dict(), second)

    weights = target.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in source.state_dict().items())
    assert all(torch.equal(weights[key], value) for key, value in mixture.items())
    assert len(source.state_dict()) + len(mixture) == len(weights)


def test_weights_of_another_network_cannot_be_taken_over() -> None:
    config = _config()
    stage = plan_stages(config).stages[1]
    target = build_network(config, stage)
    wider = build_network(_config(model={"options": {"base_channels": 8}}), stage).state_dict()

    with pytest.raises(CheckpointError, match="lack 'encoder"):
        take_over(target, {}, stage)
    with pytest.raises(CheckpointError, match="are of another network"):
        take_over(target, wider, stage)


def test_stage_three_goes_on_with_everything_from_stage_two() -> None:
    config = _config(stage3={"epochs": 2, "learning_rate": 1e-4, "weight_decay": 0.0})
    _, second, third = plan_stages(config).stages
    source, target = build_network(config, second), build_network(config, third)

    take_over(target, source.state_dict(), third)

    assert third.name == "3"
    assert all(parameter.requires_grad for parameter in target.parameters())
    assert all(torch.equal(target.state_dict()[key], value) for key, value in source.state_dict().items())


def test_without_stage_two_stage_three_adds_a_fresh_mixture_and_trains_everything() -> None:
    settings = {"epochs": 1, "learning_rate": 1e-4, "weight_decay": 0.0}
    config = _config(stage2={**settings, "epochs": 0}, stage3=settings)
    first, third = plan_stages(config).stages
    before, network = build_network(config, first), build_network(config, third)
    fresh = {key: value.clone() for key, value in network.state_dict().items() if "mixture." in key}

    take_over(network, before.state_dict(), third)

    after = network.state_dict()
    assert (first.name, third.name) == ("1", "3")
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(after[key], value) for key, value in before.state_dict().items())
    assert all(torch.equal(after[key], value) for key, value in fresh.items())


def test_stage_three_cannot_begin_a_run() -> None:
    settings = {"epochs": 1, "learning_rate": 1e-4, "weight_decay": 0.0}
    none = {**settings, "epochs": 0}

    with pytest.raises(ConfigError, match=r"Stage 3 starts from .* stage1\.epochs is 0"):
        plan_stages(_config(stage1=none, stage2=none, stage3=settings))


@pytest.mark.parametrize(
    "changes", [{"stage": "second"}, {"stage": "longer"}, {"model": {"stage1_from": "model.safetensors"}}]
)
def test_a_second_stage_alone_and_its_checkpoint_belong_together(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="belong together"):
        plan_stages(_config(**changes))


def test_a_network_without_a_mixture_cannot_have_the_second_stage_alone() -> None:
    config = TrainConfig.parse(
        {
            "data": {"root": "data"},
            "out": "run",
            "stage": "second",
            "model": {"name": "unet", "stage1_from": "model.safetensors"},
        }
    )

    with pytest.raises(ConfigError, match="'unet' has no mixture of experts"):
        plan_stages(config)
