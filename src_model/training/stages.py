"""What each stage trains and what it keeps frozen, and how stage 2 takes over from stage 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from src_model.config import ModelConfig, StageConfig, TrainConfig
from src_model.errors import CheckpointError, ConfigError
from src_model.models.base import SegmentationModel
from src_model.models.pretrained import find_weights
from src_model.models.registry import check_options, create_model
from src_model.training.domains import adapted_network
from src_model.training.seeding import seeded

StageName = Literal["1", "2", "3", "joint"]
MIXTURE = "mixture"
"""Name of the part that stage 2 trains: fuse, experts, routers and dockers."""


@dataclass(frozen=True)
class Stage:
    """One stage of a run."""

    name: StageName
    network: Literal[1, 2]
    """1: plain skips; 2: mixture of experts."""
    settings: StageConfig
    keep: Literal["best", "last"] = "best"
    """Which of its epochs counts."""

    @property
    def continues(self) -> bool:
        """Whether it starts from the weights of the stage before, in the same network."""
        return self.name == "3"

    @property
    def frozen(self) -> bool:
        """Whether all but the mixture is kept as stage 1 left it."""
        return self.name == "2"

    @property
    def prefix(self) -> str:
        """How the names of the trained tensors begin."""
        return f"{MIXTURE}." if self.frozen else ""


@dataclass(frozen=True)
class Plan:
    """The stages of a run in order, and what the user should know about them."""

    stages: tuple[Stage, ...]
    warnings: tuple[str, ...] = ()


def plan_stages(config: TrainConfig) -> Plan:
    """Which stages a configuration asks for.

    A network without a mixture has stage 1 only, which is said by a warning.

    Raises
    ------
    ConfigError
        When no stage has an epoch, or stage 2 would start from nothing.
    ModelError
        When the network cannot be made, or there are no such weights for its encoder.
    """
    network = outline(config.model)
    takes_over = config.stage in ("second", "longer")
    if takes_over != (config.model.stage1_from is not None):
        raise ConfigError(
            "model.stage1_from and stage: second or longer belong together: a checkpoint of stage 1, and the "
            "wish to train the mixture on top of it, or to train it longer; give both or neither."
        )
    first = Stage("1", 1, config.stage1, config.keep)
    second, third = Stage("2", 2, config.stage2, config.keep), Stage("3", 2, config.stage3, config.keep)
    wanted = {
        "both": (first, second, third),
        "first": (first,),
        "second": (second, third),
        "longer": (Stage("3", 1, config.stage3, config.keep),),
        "joint": (Stage("joint", 2, config.stage1, config.keep),),
    }[config.stage]
    warnings: tuple[str, ...] = ()
    if config.stage == "second" and not network.has_mixture:
        raise ConfigError(
            f"The network '{config.model.name}' has no mixture of experts and so no second stage; choose "
            "another network, or stage: first."
        )
    if config.stage in ("both", "joint") and not network.has_mixture:
        wanted = (first,)
        warnings = (f"The network '{config.model.name}' has no mixture of experts: only stage 1 is trained.",)
    stages = tuple(stage for stage in wanted if stage.settings.epochs > 0)
    if not stages:
        key = {"second": "stage2", "longer": "stage3"}.get(config.stage, "stage1")
        raise ConfigError(f"All stages have 0 epochs; give {key}.epochs at least 1.")
    if config.stage == "both" and stages[0] is not first:
        raise ConfigError(
            f"Stage {stages[0].name} starts from the weights of stage 1 but stage1.epochs is 0; give it at "
            "least 1, or train everything at once with stage: joint."
        )
    return Plan(stages, warnings)


def outline(model: ModelConfig) -> SegmentationModel:
    """The network of that configuration with its last stage and without values, made in no time.

    Raises
    ------
    ModelError
        When the network or one of its options does not exist or is out of its bounds, or there
        are no such weights for its encoder.
    """
    check_options(model.name, model.options)
    with torch.device("meta"):
        network = _create(model, None)
    if model.encoder_weights is not None:
        find_weights(network, model.encoder_weights)
    return network


def build_network(config: TrainConfig, stage: Stage) -> SegmentationModel:
    """The network of ``stage`` with fresh weights that depend on the seed and the stage alone.

    One that is adapted has the weights of its checkpoint, and only its new domains learn.
    """
    with seeded(torch.device("cpu"), config.seed, "weights", stage.name):
        if config.model.adapt_from is not None:
            return adapted_network(config.model)
        network = _create(config.model, stage.network)
    freeze(network, stage)
    return network


def _create(model: ModelConfig, network: int | None) -> SegmentationModel:
    return create_model(
        model.name,
        in_channels=model.in_channels,
        num_classes=model.num_classes,
        stage=network,
        top_k=model.top_k,
        **model.options,
    )


def freeze(model: nn.Module, stage: Stage) -> None:
    """Let only what ``stage`` trains require a gradient."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(stage.prefix))


def set_training(model: nn.Module, stage: Stage) -> None:
    """Training mode, except that frozen parts keep their BatchNorm statistics (evaluation mode)."""
    model.train()
    if stage.frozen:
        for name, part in model.named_children():
            part.train(name == MIXTURE)


def take_over(model: nn.Module, weights: Mapping[str, Tensor], stage: Stage) -> None:
    """Load the weights that ``stage`` starts from; a mixture that they do not have yet stays as it is.

    Raises
    ------
    CheckpointError
        When the weights lack one that is needed, or are of another network.
    """
    mixed = stage.continues and any(_is_of_mixture(key) for key in weights)
    own = {key: value for key, value in model.state_dict().items() if mixed or not _is_of_mixture(key)}
    for key, value in own.items():
        if key not in weights:
            raise CheckpointError(
                f"The weights that stage {stage.name} starts from lack '{key}'; train the stage before it "
                "of this network first."
            )
        if weights[key].shape != value.shape:
            raise CheckpointError(
                f"The weights that stage {stage.name} starts from are of another network: '{key}' has shape "
                f"{tuple(weights[key].shape)} instead of {tuple(value.shape)}; give both the same settings."
            )
    model.load_state_dict({key: weights[key] for key in own}, strict=False)


def _is_of_mixture(key: str) -> bool:
    return key.startswith(f"{MIXTURE}.")
