"""Puts layers in strips, which need little memory, into a network that runs on a processor."""

from __future__ import annotations

from typing import cast

from torch import nn

from src_model.inference.later import MadeLater
from src_model.inference.maps import Maps
from src_model.inference.rewrites import SplitFuse
from src_model.inference.strips import (
    BankStrips,
    DockStrips,
    FuseStrips,
    JoinedASPP,
    Strips,
    UpStrips,
    reach_of,
)
from src_model.models.aspp import ASPP
from src_model.models.decoders import UNetDecoder
from src_model.models.encoders import ResNet34Encoder
from src_model.models.mixture_ends import Dock
from src_model.models.mobilenet import InvertedResidual, MobileNetV2Encoder
from src_model.models.skips import MixtureOfSkips
from src_model.models.utanet import UTANet


def run_in_strips(model: nn.Module, maps: Maps) -> None:
    """Put layers in strips into a network that runs on a processor, in place.

    Parameters
    ----------
    model
        For images (2-D), after :func:`src_model.inference.fused.fuse_passes`.
    maps
        Makes their results.
    """
    finest_later = _finest_can_wait(model)
    for module in list(model.modules()):
        if isinstance(module, MobileNetV2Encoder):
            fine, reach = module.fine, reach_of(module.fine)
            module.register_module("fine", MadeLater(fine, reach) if finest_later else Strips(fine, maps))
            module.features[0] = Strips(module.features[0], maps)
        if isinstance(module, ResNet34Encoder):
            module.stem[0] = Strips(module.stem[0], maps)
        for name, child in list(module.named_children()):
            if isinstance(child, InvertedResidual):
                setattr(module, name, Strips(child, maps))
        if isinstance(module, MixtureOfSkips):
            _mixture_in_strips(module, maps, finest_later=finest_later)
    if isinstance(model, UTANet) and isinstance(model.bottleneck, ASPP):
        model.bottleneck = JoinedASPP(model.bottleneck, maps)
    if isinstance(model, UTANet) and type(model.decoder) is UNetDecoder:
        *ups, last = model.decoder.ups
        model.decoder.ups = nn.ModuleList(UpStrips(up, maps) for up in ups)
        model.decoder.ups.append(UpStrips(last, maps, model.head))
        model.head = nn.Sequential()


def _finest_can_wait(model: nn.Module) -> bool:
    """Whether nothing but strips looks at the finest level, before the mixture and behind it."""
    if not (isinstance(model, UTANet) and type(model.decoder) is UNetDecoder):
        return False
    mixture = model.mixture
    return mixture is None or (mixture.scales is None and isinstance(mixture.fuse, SplitFuse))


def _mixture_in_strips(mixture: MixtureOfSkips, maps: Maps, *, finest_later: bool) -> None:
    if isinstance(mixture.fuse, SplitFuse):
        mixture.register_module("fuse", FuseStrips(mixture.fuse, maps))
    mixture.experts = BankStrips(mixture.experts, maps)
    for number, dock in enumerate(mixture.dockers):
        mixture.dockers[number] = DockStrips(cast(Dock, dock), maps, later=finest_later and number == 0)
