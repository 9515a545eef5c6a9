"""Options of the networks: one field for each switch of an ablation, with its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What a network without a mixture is made of."""

    encoder: str = "resnet34"
    """One of ``src_model.models.backbones.ENCODER_NAMES``."""
    base_channels: int = 64
    """Width: 64 is the published encoder, smaller for a smaller network; an even number."""
    light_decoder: bool = False
    """Depthwise separable convolutions in the decoder."""
    light_aspp: bool = False
    """Depthwise separable ASPP on the deepest features."""

    def merged(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All options by name, those ``given`` instead of the defaults; a TypeError for unknown ones."""
        return asdict(type(self)(**{**asdict(self), **given}))


@dataclass(frozen=True, kw_only=True)
class MixtureOptions(NetworkOptions):
    """What a network with a mixture of skips is made of."""

    mixture_width: int = 64
    """Channels of the experts' maps."""
    num_experts: int = 4
    """Experts in the shared bank."""
    hierarchical_experts: bool = False
    """Experts that see ever larger surroundings instead of equal pointwise ones."""
    light_mixture: bool = False
    """One router for all levels, and grouped convolutions to fuse and to dock."""
    residual_skips: bool = False
    """Add the mixture to the plain skips, from zero on, instead of replacing them."""
    mixture_stride: int = 2
    """Stride of the grid on which the experts work, one of the encoder's: larger = wider surroundings."""
    mix_deepest: bool = False
    """Mix the deepest features as well, which see most of the image."""
    router_temperature: float = 1.0
    """Divides the routers' logits: above 1 softer, below 1 harder decisions."""
    double_softmax: bool = True
    """A second softmax over the kept probabilities (published code) instead of one (paper)."""
    ev_loss: bool = True
    """Compute the balance loss; off = 0."""
    train_unused: bool = True
    """In training, an expert that no sample chose gets one random sample."""


@dataclass(frozen=True, kw_only=True)
class PlusPlusOptions(MixtureOptions):
    """What UTANet++ is made of."""

    level_channels: int = 64
    """Channels to which each level is reduced before the five are joined."""
    gated_attention: bool = True
    """Spatial and channel attention after each decoder level."""
    deep_supervision: bool = True
    """Auxiliary logits in training, one for each decoder level."""
