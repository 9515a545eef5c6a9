"""A 3-D convolution that several domains share, each with its own adapter and normalisation.

Sources: separable adapters from the 3D U2-Net (Huang et al., MICCAI 2019); series and parallel ones
from the residual adapters (Rebuffi et al., 2017 and 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from src_model.models.domains import Domain, PerDomain

MODES = ("universal", "shared", "independent")
ADAPTERS = ("separable", "series", "parallel")
SLOPE = 0.01
"""Of the leaky ReLU below zero."""


@dataclass(frozen=True)
class Sharing:
    """What the domains of one network share.

    Attributes
    ----------
    domains
        Of the network, by index.
    mode
        ``universal``: convolutions shared, an adapter and a normalisation per domain;
        ``shared``: convolutions shared, a normalisation per domain; ``independent``: nothing
        shared.
    adapter
        In ``universal`` mode: ``separable``, a channel-wise convolution per domain before a
        shared pointwise one; ``series``, a pointwise residual after the shared convolution;
        ``parallel``, a pointwise convolution beside it.
    """

    domains: tuple[Domain, ...]
    mode: str
    adapter: str


class ChannelwiseAdapter(nn.Module):
    """Channel-wise 3x3x3 convolution, instance normalisation, leaky ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)
        self.norm = instance_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, D, H, W)`` to the same shape."""
        return F.leaky_relu(self.norm(self.conv(x)), SLOPE, inplace=True)


class SeriesAdapter(nn.Module):
    """Pointwise convolution of the normalised map, added to the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = instance_norm(channels)
        self.conv = nn.Conv3d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, D, H, W)`` to the same shape."""
        result: Tensor = x + self.conv(self.norm(x))
        return result


class ParallelAdapter(nn.Module):
    """Pointwise convolution, to be added to the shared one."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, D, H, W)`` to ``(B, out_channels, D, H, W)``."""
        result: Tensor = self.conv(x)
        return result


class DomainConv(nn.Module):
    """Convolution and instance normalisation of one domain among several.

    Parameters
    ----------
    sharing
        What the domains share.
    in_channels, out_channels
        Of the map.
    kernel
        Side of the convolution, 1 or 3; the separable form is 3 always.
    stride
        Per axis, to halve some axes: a dense shared convolution in every form but
        ``independent``, as published. ``None`` keeps the size.
    """

    def __init__(
        self,
        sharing: Sharing,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 3,
        stride: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        adapter = sharing.adapter if sharing.mode == "universal" and stride is None else None
        self.adapter = adapter
        self._margins = None if stride is None else _margins(stride)
        make = partial(
            _convolution,
            in_channels,
            out_channels,
            kernel=1 if adapter == "separable" else kernel,
            stride=stride,
        )
        self.conv: nn.Module = PerDomain(sharing.domains, make) if sharing.mode == "independent" else make()
        self.adapters: PerDomain | None = None
        if adapter is not None:
            self.adapters = PerDomain(sharing.domains, partial(_adapter, adapter, in_channels, out_channels))
        self.norms = PerDomain(sharing.domains, partial(instance_norm, out_channels))

    def forward(self, x: Tensor, domain: int) -> Tensor:
        """``(B, C, D, H, W)`` to ``(B, out_channels, D / stride, ...)``, without activation."""
        if self._margins is not None:
            x = F.pad(x, self._margins)
        conv = self.conv[domain] if isinstance(self.conv, PerDomain) else self.conv
        if self.adapters is None:
            x = conv(x)
        elif self.adapter == "separable":
            x = conv(self.adapters[domain](x))
        elif self.adapter == "series":
            x = self.adapters[domain](conv(x))
        else:
            x = conv(x) + self.adapters[domain](x)
        result: Tensor = self.norms[domain](x)
        return result


def instance_norm(channels: int, _domain: Domain | None = None) -> nn.InstanceNorm3d:
    """Instance normalisation with a learned scale and shift, without running statistics."""
    return nn.InstanceNorm3d(channels, affine=True)


def _convolution(
    in_channels: int,
    out_channels: int,
    _domain: Domain | None = None,
    *,
    kernel: int,
    stride: tuple[int, int, int] | None,
) -> nn.Conv3d:
    if stride is None:
        return nn.Conv3d(in_channels, out_channels, kernel, padding=kernel // 2)
    return nn.Conv3d(in_channels, out_channels, kernel, stride=stride)


def _adapter(kind: str, in_channels: int, out_channels: int, _domain: Domain) -> nn.Module:
    if kind == "separable":
        return ChannelwiseAdapter(in_channels)
    if kind == "series":
        return SeriesAdapter(out_channels)
    return ParallelAdapter(in_channels, out_channels)


def _margins(stride: Sequence[int]) -> tuple[int, ...]:
    """Zeros around each axis, last axis first: the far end alone where the axis is halved."""
    return tuple(width for length in reversed(stride) for width in ((0, 1) if length == 2 else (1, 1)))
