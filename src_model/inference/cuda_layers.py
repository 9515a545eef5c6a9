"""Layers that give the same values in the way that a CUDA device is fastest at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src_model.inference.folding import like
from src_model.inference.fused import ConvRelu, Fused
from src_model.models.encoders import PointwiseStrided
from src_model.models.experts import Expert, ExpertBank
from src_model.models.skips import MixtureOfSkips


def suit_cuda(model: nn.Module) -> None:
    """Put such layers into a network after :func:`src_model.inference.fused.fuse_passes`, in place.

    After it no step depends on what the routers decide.
    """
    for module in list(model.modules()):
        if isinstance(module, MixtureOfSkips):
            pointwise = all(isinstance(expert, Expert) for expert in module.experts)
            module.experts.run_all = True
            if pointwise:
                module.register_module("experts", JointExperts(module.experts))
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, PointwiseStrided) or (
                type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and layer.groups == 1
            ):
                setattr(module, name, Pointwise.of(layer))
            elif type(layer) is nn.Conv2d and layer.groups == layer.out_channels and layer.dilation[0] > 1:
                setattr(module, name, Phased.of(layer))


class Pointwise(Fused):
    """A 1x1 convolution as a matrix product, which adds the bias on the way."""

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution, the channels last in memory."""
        rows, columns = self.stride
        seen = x[..., ::rows, ::columns].permute(0, 2, 3, 1).to(self.weight.dtype)
        return F.linear(seen, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class Phased(Fused):
    """A depthwise convolution whose taps lie ``d`` pixels apart, on every ``d``-th pixel of each axis.

    Each of these ``d * d`` images has its taps side by side, for which there are fast kernels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution."""
        step, (height, width) = self.dilation[0], x.shape[2:]
        x = F.pad(x.to(self.weight.dtype), (0, -width % step, 0, -height % step))
        count, channels, rows, columns = x.shape
        last = x.permute(0, 2, 3, 1).reshape(count, rows // step, step, columns // step, step, channels)
        phases = last.permute(2, 4, 0, 1, 3, 5).reshape(-1, rows // step, columns // step, channels)
        made = F.conv2d(
            phases.permute(0, 3, 1, 2),
            self.weight,
            self.bias,
            padding=(self.kernel_size[0] // 2, self.kernel_size[1] // 2),
            groups=self.groups,
        )
        back = made.permute(0, 2, 3, 1).reshape(step, step, count, rows // step, columns // step, channels)
        whole = back.permute(2, 3, 0, 4, 1, 5).reshape(count, rows, columns, channels)
        return whole[:, :height, :width].permute(0, 3, 1, 2)


class JointExperts(nn.Module):
    """A bank of pointwise experts as two matrix products: all of them, and all mixtures of them.

    An expert ends with a linear step and a mixture is a weighted sum, so both together are one step whose
    matrix the weights make for each sample.

    Parameters
    ----------
    bank
        Of :class:`src_model.models.experts.Expert`, their first two convolutions merged.
    """

    def __init__(self, bank: ExpertBank) -> None:
        super().__init__()
        self.bank = bank
        experts = [cast(Expert, expert) for expert in bank]
        firsts = [cast(nn.Conv2d, expert.mix) for expert in experts]
        weight = torch.cat([first.weight for first in firsts])
        bias = torch.cat([cast(Tensor, first.bias) for first in firsts])
        self.hidden = ConvRelu.of(cast(nn.Conv2d, like(firsts[0], weight, bias)))
        lasts = [cast(nn.Conv2d, expert.reduce) for expert in experts]
        self.register_buffer("matrix", torch.stack([last.weight.flatten(1).T.float() for last in lasts]))
        self.register_buffer("bias", torch.stack([cast(Tensor, last.bias).float() for last in lasts]))

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.bank)

    def mix(self, x: Tensor, weights: Tensor) -> list[Tensor]:
        """See :meth:`src_model.models.experts.ExpertBank.mix`."""
        hidden = self.hidden(x)
        count, _, height, width = hidden.shape
        matrix, bias = cast(Tensor, self.matrix), cast(Tensor, self.bias)
        with torch.autocast(x.device.type, enabled=False):
            mixing = torch.einsum("bre,edc->bedrc", weights, matrix).flatten(1, 2).flatten(2)
            shift = torch.einsum("bre,ec->brc", weights, bias).flatten(1)[:, None]
            flat = hidden.permute(0, 2, 3, 1).reshape(count, height * width, -1)
            mixed = torch.baddbmm(shift.to(flat.dtype), flat, mixing.to(flat.dtype))
        routers = mixed.view(count, height, width, weights.shape[1], -1)
        return [part.permute(0, 3, 1, 2) for part in routers.unbind(3)]
