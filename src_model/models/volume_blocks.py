"""Blocks of the 3D U2-Net: residual pair, down- and up-sampling, side outputs, a domain's own ends."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src_model.models.blocks import has_memory
from src_model.models.domain_conv import SLOPE, DomainConv, Sharing, instance_norm
from src_model.models.domains import Domain


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU, in place."""
    return F.leaky_relu(x, SLOPE, inplace=True)


class EncoderBlock(nn.Module):
    """Two convolutions; the input is added before the last activation where ``residual``."""

    def __init__(self, sharing: Sharing, channels: int, *, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.conv1 = DomainConv(sharing, channels, channels)
        self.conv2 = DomainConv(sharing, channels, channels)

    def forward(self, x: Tensor, domain: int) -> Tensor:
        """``(B, C, D, H, W)`` to the same shape."""
        out = self.conv2(activate(self.conv1(x, domain)), domain)
        return activate(x + out if self.residual else out)


class DownSample(nn.Module):
    """Strided convolution that halves some axes and doubles the channels."""

    def __init__(self, sharing: Sharing, channels: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv = DomainConv(sharing, channels, 2 * channels, stride=stride)

    def forward(self, x: Tensor, domain: int) -> Tensor:
        """``(B, C, D, H, W)`` to ``(B, 2C, D / stride, ...)``."""
        return activate(self.conv(x, domain))


class UpBlock(nn.Module):
    """Repeat voxels up to the skip's grid, halve the channels, join the skip, convolve twice."""

    def __init__(self, sharing: Sharing, channels: int) -> None:
        super().__init__()
        self.up = DomainConv(sharing, 2 * channels, channels)
        self.conv1 = DomainConv(sharing, 2 * channels, channels)
        self.conv2 = DomainConv(sharing, channels, channels, kernel=1)

    def forward(self, below: Tensor, skip: Tensor, domain: int) -> Tensor:
        """``(B, 2C, D / stride, ...)`` and ``(B, C, D, H, W)`` to ``(B, C, D, H, W)``."""
        below = activate(self.up(enlarge(below, skip.shape[2:]), domain))
        out = activate(self.conv1(torch.cat([below, skip], dim=1), domain))
        return activate(self.conv2(out, domain))


class SideOutput(nn.Module):
    """Logits of a coarser level, and their normalised form that the finer levels add up."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, num_classes, 1)
        self.norm = instance_norm(num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, C, D, H, W)`` to two maps ``(B, num_classes, D, H, W)``: logits, normalised."""
        logits = self.conv(x)
        return logits, activate(self.norm(logits))


def enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    """Repeat the voxels of ``(B, C, D, H, W)`` up to ``size``, a multiple of its own."""
    return F.interpolate(x, size=list(size), mode="nearest")


def make_input(channels: int, domain: Domain) -> nn.Sequential:
    """The first convolution of a domain, from its image to ``channels``."""
    return nn.Sequential(
        nn.Conv3d(domain.in_channels, channels, 3, padding=1),
        instance_norm(channels),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def make_side_output(channels: int, domain: Domain) -> SideOutput:
    """A side output of a domain from a map of ``channels``."""
    return SideOutput(channels, domain.num_classes)


def make_output(channels: int, domain: Domain) -> nn.Conv3d:
    """The last convolution of a domain, from ``channels`` to its logits."""
    return nn.Conv3d(channels, domain.num_classes, 1)


def init_volume_weights(module: nn.Module) -> None:
    """Initialise convolutions by their number of inputs (He et al., 2015).

    Meant for ``network.apply(init_volume_weights)``; normalisations start as the identity already. A
    network that has no memory yet is left as it is.
    """
    if isinstance(module, nn.Conv3d) and has_memory(module):
        nn.init.kaiming_normal_(module.weight, a=SLOPE, mode="fan_in", nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
