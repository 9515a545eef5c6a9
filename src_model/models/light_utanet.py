"""Lightweight Hierarchical UTANet, equal to the published one, and two that are really small.

The light network has experts of ever larger surroundings behind one router, a depthwise separable
ASPP on the deepest features and a depthwise separable decoder.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from src_model.models.options import MixtureOptions
from src_model.models.utanet import UTANet


class LightUTANet(UTANet):
    """On ResNet34, as published; most of its cost is the encoder at full resolution."""

    name = "light-utanet"
    halo = 80
    larger_tiles: ClassVar[dict[int, int]] = {1024: 32}
    halo_varies = True
    near_halo = 16
    defaults = MixtureOptions(
        light_decoder=True, light_aspp=True, hierarchical_experts=True, light_mixture=True
    )


class LightUTANetMobile(LightUTANet):
    """On MobileNetV2 that keeps its resolution from 1/16 on, which measured better than 1/32."""

    name = "light-utanet-mobile"
    defaults = replace(LightUTANet.defaults, encoder="mobilenetv2-16")


class LightUTANetSlim(LightUTANet):
    """On the first three stages of ResNet34 with its strided stem."""

    name = "light-utanet-slim"
    defaults = replace(LightUTANet.defaults, encoder="resnet34-strided")
