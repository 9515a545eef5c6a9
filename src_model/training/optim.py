"""The optimiser and its schedule: AdamW under a cosine that is a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from src_model.config import StageConfig


def make_optimiser(model: nn.Module, settings: StageConfig) -> AdamW:
    """AdamW (Loshchilov and Hutter, 2019) over the parameters that require a gradient.

    Weight decay acts on weights of two and more dimensions; biases and the scales of
    normalisation layers are left free.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    # One call into C++ for all parameters: the interpreter lock stays free for a user interface.
    return AdamW([group for group in groups if group["params"]], lr=settings.learning_rate, fused=True)


def cosine(base: float, step: int, steps: int, warmup: float = 0.0) -> float:
    """Learning rate of ``step`` (from 0) of ``steps``: half a cosine from ``base`` towards 0.

    In the first ``warmup`` steps the cosine is multiplied by a line that rises to 1 (Goyal et al., 2017).
    """
    rise = min((step + 1) / warmup, 1.0) if warmup > 0 else 1.0
    return base * rise * 0.5 * (1.0 + math.cos(math.pi * step / max(steps, 1)))


def set_learning_rate(optimiser: AdamW, value: float) -> None:
    """Set the learning rate of all parameters for the next step."""
    for group in optimiser.param_groups:
        group["lr"] = value


def optimiser_tensors(model: nn.Module, optimiser: AdamW) -> dict[str, Tensor]:
    """State of the optimiser as tensors named ``<parameter>/<quantity>``."""
    return {
        f"{name}/{quantity}": value
        for name, parameter in model.named_parameters()
        for quantity, value in optimiser.state.get(parameter, {}).items()
    }


def load_optimiser_tensors(model: nn.Module, optimiser: AdamW, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimiser_tensors` gave."""
    parameters = dict(model.named_parameters())
    for key, value in tensors.items():
        name, _, quantity = key.rpartition("/")
        parameter = parameters[name]
        # A moment lies in memory like its parameter (channels_last): the fused step relies on it.
        like = parameter.detach() if value.shape == parameter.shape else value
        optimiser.state[parameter][quantity] = torch.empty_like(like, device=parameter.device).copy_(value)
