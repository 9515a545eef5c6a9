"""Counts of the networks for the tables of the documentation, each made once."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from src_model.models.base import SegmentationModel
from src_model.models.profile import VOLUME_SIDE, count_gmac, count_parameters, gmac_of
from src_model.models.registry import create_model
from src_model.models.skips import MixtureOfSkips

SIDE = 224
"""Of the image, pixels."""


@cache
def outline(name: str, *, stage: int | None = None, **options: Any) -> SegmentationModel:
    """A network without values, to be counted; ``stage`` ``None`` = its last one."""
    with torch.device("meta"):
        return create_model(name, stage=stage, **options)


def parameters(name: str, *, stage: int | None = None, **options: Any) -> int:
    """All parameters of a network."""
    return count_parameters(outline(name, stage=stage, **options))


def mixture_parameters(name: str, **options: Any) -> int:
    """Those that stage 2 trains."""
    return parameters(name, stage=2, **options) - parameters(name, stage=1, **options)


def gmac(name: str, *, stage: int | None = None, top_k: int = 2, **options: Any) -> float:
    """10^9 multiply-adds at most; see :func:`src_model.models.profile.count_gmac`."""
    model = outline(name, stage=stage, **options)
    if model.stage == 1:
        return count_gmac(model, side_of(model), side_of(model))
    mixture = model.mixture
    assert isinstance(mixture, MixtureOfSkips)
    needed = min(mixture.num_routers * top_k, mixture.num_experts)
    return _mixed_gmac(name, top_k if needed < mixture.num_experts else mixture.num_experts, **options)


@cache
def _mixed_gmac(name: str, top_k: int, **options: Any) -> float:
    """Of stage 2, with real values: the mixture must see which experts were chosen."""
    return count_gmac(create_model(name, stage=2, **options), SIDE, SIDE, top_k=top_k)


def encoder_gmac(name: str) -> float:
    """10^9 multiply-adds of the encoder alone."""
    encoder = outline(name, stage=1).encoder
    assert isinstance(encoder, nn.Module)
    return gmac_of(encoder, torch.zeros(1, 3, SIDE, SIDE, device="meta"))


def side_of(model: SegmentationModel) -> int:
    """Side of the image or volume that a network is measured on."""
    return VOLUME_SIDE if model.dims == 3 else SIDE
