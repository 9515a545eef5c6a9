"""Skip connections through a mixture of experts, as one part that any U-Net can use in 2-D and 3-D.

Source: the task-adaptive mixture of skip connections (TA-MoSC) of UTANet (AAAI 2025).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from src_model.errors import ModelError
from src_model.models.blocks import CONVOLUTION
from src_model.models.experts import (
    ExpertBank,
    RouterBank,
    Routing,
    add_unused,
    balance_loss,
    check_top_k,
    select_top,
    weigh,
)
from src_model.models.mixture_ends import Dock, Fuse


class Segmentation(NamedTuple):
    """What a network returns."""

    logits: Tensor
    """``(B, K, [D,] H, W)``, never after a sigmoid or softmax."""
    balance_loss: Tensor
    """Scalar, float32; 0 without a mixture."""
    auxiliary: tuple[Tensor, ...] = ()
    """Logits of side outputs for deep supervision, where the network has any."""
    routing: Routing | None = None
    """What the routers decided; ``None`` without a mixture."""


class MixtureOfSkips(nn.Module):
    """Fuse the levels, let one router per level mix shared experts, and hand each level its mix.

    All levels are resized to one grid, joined and reduced to ``width`` channels. Each router
    (one per level, or a single one in the light form) weighs the experts' outputs on this fused
    map; a *docker* (1x1 convolution, BatchNorm, ReLU) turns the mix into the level's channels and
    it is resized to the level's grid.

    Parameters
    ----------
    channels, strides
        Of the levels, finest first; one router belongs to each.
    dims
        2 or 3 spatial axes.
    width
        Channels of the fused map and of the experts.
    num_experts, top_k
        Experts in the shared bank, and how many of them each router uses for a sample.
    reference_level
        Index of the level whose grid the mixture works on.
    ev_loss
        Whether the balance loss is computed (else it is 0).
    train_unused
        Whether, in training, an expert that no sample of the batch chose gets one random sample.
    double_softmax
        See :func:`src_model.models.experts.weigh`.
    hierarchical_experts
        See :class:`src_model.models.experts.ExpertBank`.
    router_temperature
        Divides the routers' logits.
    residual
        Whether the mixture is added to the plain features, each channel by a learnt scale that begins
        at 0, instead of replacing them. The dockers then have no ReLU. Ours: a decoder that was trained
        on plain skips begins exactly where it was.
    light
        The form of the published light network: one router (with a bias) for all levels, grouped
        convolutions to fuse and to dock, and corners kept in place when maps are resized.

    Raises
    ------
    ModelError
        When the numbers do not fit together.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        dims: int = 2,
        width: int = 64,
        num_experts: int = 4,
        top_k: int = 2,
        reference_level: int = 1,
        ev_loss: bool = True,
        train_unused: bool = True,
        double_softmax: bool = True,
        hierarchical_experts: bool = False,
        router_temperature: float = 1.0,
        residual: bool = False,
        light: bool = False,
    ) -> None:
        super().__init__()
        _check(channels, strides, dims, width, num_experts, reference_level)
        if not 0 < router_temperature < math.inf:
            raise ModelError(f"The router's temperature must be above 0 but got {router_temperature}.")
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.dims, self.width, self.num_experts = dims, width, num_experts
        self.reference_level = reference_level
        self.top_k = check_top_k(top_k, num_experts)
        self.ev_loss, self.train_unused, self.double_softmax = ev_loss, train_unused, double_softmax
        self.light = light
        self.num_routers = 1 if light else len(channels)
        self.fuse = Fuse(channels, width, dims=dims, light=light)
        self.routers = RouterBank(
            width, self.num_routers, num_experts, bias=light, temperature=router_temperature
        )
        self.experts = ExpertBank(width, num_experts, dims=dims, hierarchical=hierarchical_experts)
        self.dockers = nn.ModuleList(
            Dock(width, c, dims=dims, light=light, activation=not residual) for c in channels
        )
        self.scales = nn.ParameterList(torch.zeros(c, *[1] * dims) for c in channels) if residual else None

    def forward(
        self,
        features: Sequence[Tensor],
        *,
        top_k: int | None = None,
        routing: Routing | Tensor | None = None,
    ) -> tuple[list[Tensor], Tensor, Routing]:
        """Replace the features by their mixtures.

        Parameters
        ----------
        features
            One ``(B, channels[i], [D,] H, W)`` per level, each on its own grid.
        top_k
            Instead of the number given at construction.
        routing
            Instead of the routers' decision: a :class:`Routing`, whose weights are used as they
            are, or probabilities ``(B, R, E)`` or ``(R, E)``, of which the ``top_k`` are kept.

        Returns
        -------
        skips : list of Tensor
            Same shapes as ``features``.
        balance_loss : Tensor
            Scalar, float32.
        routing : Routing
            What was used.

        Raises
        ------
        ModelError
            When the number of levels, ``top_k`` or the shape of ``routing`` does not fit.
        """
        fused = self.fused(features)
        decision = self._decide(fused, self.top_k if top_k is None else top_k, routing)
        mixtures = self.experts.mix(fused, decision.weights)
        del fused  # before the skips are made, which are as large
        if self.num_routers == 1:
            mixtures = mixtures * len(self.channels)
        skips = [
            docker(mixture, feature.shape[2:])
            for docker, mixture, feature in zip(self.dockers, mixtures, features, strict=True)
        ]
        if self.scales is not None:
            skips = [
                feature + scale.to(skip.dtype) * skip
                for feature, scale, skip in zip(features, self.scales, skips, strict=True)
            ]
        loss = balance_loss(decision.probabilities) if self.ev_loss else decision.weights.new_zeros(())
        return skips, loss, decision

    def fused(self, features: Sequence[Tensor]) -> Tensor:
        """All levels on the grid of the reference level, ``(B, width, [D,] h, w)``."""
        if len(features) != len(self.channels):
            raise ModelError(f"Expected features of {len(self.channels)} levels but got {len(features)}.")
        joined: Tensor = self.fuse(features, features[self.reference_level].shape[2:])
        return joined

    def expert_maps(self, features: Sequence[Tensor]) -> Tensor:
        """Output of every expert for every sample, ``(B, E, width, [D,] h, w)``, chosen or not."""
        fused = self.fused(features)
        return torch.stack([expert(fused) for expert in self.experts], dim=1)

    def _decide(self, fused: Tensor, top_k: int, routing: Routing | Tensor | None) -> Routing:
        shape = (len(fused), self.num_routers, self.num_experts)
        if isinstance(routing, Routing):
            return Routing(*(_fit(part, shape, fused.device) for part in routing))
        probabilities = self.routers(fused) if routing is None else _fit(routing, shape, fused.device)
        selected = select_top(probabilities.detach(), top_k)
        if self.training and self.train_unused:
            selected = add_unused(selected)
        return Routing(probabilities, weigh(probabilities, selected, double_softmax=self.double_softmax))


def _fit(routing: Tensor, shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """``routing`` as float32 ``(B, R, E)`` on the device; ``(R, E)`` holds for every sample."""
    if tuple(routing.shape) not in (shape, shape[1:]):
        raise ModelError(
            f"Expected a routing of shape {shape} or {shape[1:]} (samples, routers, experts) "
            f"but got {tuple(routing.shape)}."
        )
    return routing.to(device, torch.float32).expand(shape)


def _check(
    channels: Sequence[int], strides: Sequence[int], dims: int, width: int, experts: int, reference: int
) -> None:
    if dims not in CONVOLUTION:
        raise ModelError(f"The mixture works in 2 or 3 dimensions but got {dims}.")
    if not channels or len(channels) != len(strides):
        raise ModelError(
            f"Expected one stride per level but got {len(channels)} channels and {len(strides)} strides."
        )
    if not _whole(channels) or not _whole(strides) or list(strides) != sorted(strides):
        raise ModelError(
            "Channels and strides must be whole numbers of at least 1, of the finest level first, but got "
            f"{tuple(channels)} and {tuple(strides)}."
        )
    if not 0 <= reference < len(channels):
        raise ModelError(f"The reference level must be from 0 to {len(channels) - 1} but got {reference}.")
    if width < 1 or experts < 1:
        raise ModelError(f"Width and number of experts must be at least 1 but got {width} and {experts}.")


def _whole(numbers: Sequence[object]) -> bool:
    return all(isinstance(number, int) and number >= 1 for number in numbers)
