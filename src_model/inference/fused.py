"""Layers that pass over memory once where PyTorch passes twice or more, for the device they run on.

A convolution writes its result; a bias, a ReLU, a sum and a join each read and write it again. On wide
maps these passes take as long as the arithmetic. The values stay the same, or are rounded less often.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from src_model.inference.folding import is_sequence, like, set_weights
from src_model.models.decoders import LightUpBlock, UpBlock
from src_model.models.encoders import BasicBlock
from src_model.models.experts import Expert, ExpertBank
from src_model.models.mixture_ends import Dock
from src_model.models.receptive_experts import LocalExpert


def fuse_passes(model: nn.Module) -> None:
    """Put such layers into a network, in place.

    Parameters
    ----------
    model
        Rewritten by :func:`src_model.inference.optimise.optimise`, with the number type and on the device
        that it keeps; images (2-D).
    """
    weight = next((part.weight for part in model.modules() if isinstance(part, nn.Conv2d)), None)
    if weight is None or not _supported(weight):
        return
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BasicBlock):
                setattr(module, name, FusedBlock(child))
            if isinstance(child, (UpBlock, LightUpBlock)):
                setattr(module, name, JoinedUp(child))
    for module in list(model.modules()):
        if is_sequence(module) or isinstance(module, Dock):
            _fuse_row(module)
        if isinstance(module, Expert):
            module.register_module("mix", ConvRelu.of(cast(nn.Conv2d, module.mix)))
            module.register_module("relu", nn.Identity())
        if isinstance(module, ExpertBank) and weight.device.type == "cpu":
            for number, expert in enumerate(module):
                if isinstance(expert, LocalExpert) and is_sequence(expert.look):
                    module[number] = HalvedExpert(expert)


def _supported(weight: Tensor) -> bool:
    """Whether the device's library has these layers for this number type, found by trying."""
    if weight.device.type not in ("cpu", "cuda") or torch.version.hip is not None:
        return False
    conv = nn.Conv2d(8, 8, 3, padding=1, device="meta", dtype=weight.dtype)
    set_weights(conv, weight.new_zeros(8, 8, 3, 3), weight.new_zeros(8))
    x = torch.zeros(1, 8, 4, 4, device=weight.device, dtype=weight.dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    try:
        with torch.inference_mode():
            AddRelu.of(conv)(ConvRelu.of(conv)(x), x)
            if x.device.type == "cpu":
                AddTo.of(conv)(x, x.clone())
    except (RuntimeError, AttributeError):
        return False
    return True


def _fuse_row(row: nn.Module) -> None:
    """Of layers that run one after the other: each convolution with the ReLU behind it."""
    layers = [(name, layer) for name, layer in row.named_children() if not isinstance(layer, nn.Identity)]
    for (name, layer), (later, activation) in pairwise(layers):
        if type(layer) is nn.Conv2d and layer.groups == 1 and type(activation) is nn.ReLU:
            setattr(row, name, ConvRelu.of(layer))
            setattr(row, later, nn.Identity())


class Fused(nn.Conv2d):
    """A convolution with something behind it."""

    @classmethod
    def of(cls, conv: nn.Conv2d) -> Self:
        """The same weights."""
        made = cls(
            conv.in_channels,
            conv.out_channels,
            cast(Any, conv.kernel_size),
            cast(Any, conv.stride),
            cast(Any, conv.padding),
            cast(Any, conv.dilation),
            conv.groups,
            bias=conv.bias is not None,
            device="meta",
            dtype=conv.weight.dtype,
        )
        set_weights(made, conv.weight, conv.bias)
        return made.eval()

    @property
    def place(self) -> tuple[Any, ...]:
        """Where it looks, in the order in which oneDNN takes it."""
        return self.padding, self.stride, self.dilation, self.groups


class ConvRelu(Fused):
    """A convolution and its ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution, then the ReLU."""
        x = x.to(self.weight.dtype)
        result: Tensor
        if x.is_cuda:
            place: Any = (self.stride, self.padding, self.dilation, self.groups)
            result = torch.cudnn_convolution_relu(x, self.weight, self.bias, *place)
        else:
            convolve = torch.ops.mkldnn._convolution_pointwise
            result = convolve(x, self.weight, self.bias, *self.place, "relu", [], "")
        return result


class AddRelu(Fused):
    """A convolution, what is added to its result, and the ReLU of the sum."""

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """As the convolution of ``x``, plus ``added``, then the ReLU."""
        assert added is not None
        added = added.to(self.weight.dtype)
        result: Tensor
        if x.is_cuda:
            place: Any = (self.stride, self.padding, self.dilation, self.groups)
            result = torch.cudnn_convolution_add_relu(x, self.weight, added, 1.0, self.bias, *place)
        else:
            convolve = torch.ops.mkldnn._convolution_pointwise.binary
            result = convolve(x, added, self.weight, self.bias, *self.place, "add", 1.0, "relu", [], "")
        return result


class AddTo(Fused):
    """A convolution whose result is added to a map, in place; for processors."""

    def forward(self, x: Tensor, total: Tensor | None = None) -> Tensor:
        """``total`` plus the convolution of ``x``."""
        assert total is not None
        add = torch.ops.mkldnn._convolution_pointwise_.binary
        result: Tensor = add(total, x, self.weight, self.bias, *self.place, "add", 1.0, None, [], None)
        return result


class HalvedExpert(nn.Module):
    """:class:`src_model.models.receptive_experts.LocalExpert`, one half of its channels after the other.

    Inside it has twice as many as the map. The half of it takes less memory, and less time to fetch.

    Parameters
    ----------
    expert
        After :func:`src_model.inference.folding.pair_depthwise`.
    """

    def __init__(self, expert: LocalExpert) -> None:
        super().__init__()
        look = cast(nn.Conv2d, cast(nn.Sequential, expert.look)[1])
        reduce = cast(nn.Conv2d, expert.reduce)
        width = look.out_channels // 2
        self.looks, self.reduces = nn.ModuleList(), nn.ModuleList()
        for first, kind in ((0, Fused), (width, AddTo)):
            half = slice(first, first + width)
            bias = None if look.bias is None else look.bias[half]
            seen = cast(nn.Conv2d, like(look, look.weight[half], bias, groups=width))
            seen.padding, seen.dilation = look.padding, look.dilation
            self.looks.append(ConvRelu.of(seen))
            made = like(reduce, reduce.weight[:, half], None if first else reduce.bias)
            self.reduces.append(kind.of(cast(nn.Conv2d, made)))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to the same shape."""
        result: Tensor = self.reduces[0](self.looks[0](x))
        self.reduces[1](self.looks[1](x), result)
        return result


class FusedBlock(nn.Module):
    """:class:`src_model.models.encoders.BasicBlock` in two steps."""

    def __init__(self, block: BasicBlock) -> None:
        super().__init__()
        self.downsample = block.downsample
        self.first, self.second = ConvRelu.of(block.conv1), AddRelu.of(block.conv2)

    def forward(self, x: Tensor) -> Tensor:
        """As the block."""
        shortcut = x if self.downsample is None else self.downsample(x)
        result: Tensor = self.second(self.first(x), shortcut)
        return result


class JoinedUp(nn.Module):
    """A decoder's block that writes what it up-samples at once where it is joined with the skip.

    A transposed convolution of 2 x 2 pixels with a step of 2 is a pointwise one to four times the
    channels, each quarter of which goes to one of the four pixels.
    """

    def __init__(self, block: UpBlock | LightUpBlock) -> None:
        super().__init__()
        up = cast(nn.ConvTranspose2d, block.up[0] if isinstance(block, UpBlock) else block.up)
        weight = up.weight.permute(2, 3, 1, 0).reshape(-1, up.in_channels, 1, 1)
        bias = None if up.bias is None else up.bias.repeat(4)
        point = nn.Conv2d(
            up.in_channels, len(weight), 1, bias=bias is not None, device="meta", dtype=weight.dtype
        )
        set_weights(point, weight, bias)
        self.point = ConvRelu.of(point) if isinstance(block, UpBlock) else point
        self.channels = up.out_channels
        self.rest = block.conv if isinstance(block, UpBlock) else nn.Sequential(block.depthwise, *block.conv)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """``(B, C, H, W)`` and ``(B, S, 2H, 2W)`` to ``(B, C/2, 2H, 2W)``."""
        points = self.point(below)
        count, _, height, width = points.shape
        seen = skip.shape[1]
        joined = torch.empty(
            (count, seen + self.channels, 2 * height, 2 * width),
            dtype=points.dtype,
            device=points.device,
            memory_format=torch.channels_last,
        )
        joined[:, :seen].copy_(skip)
        places = joined.permute(0, 2, 3, 1).view(count, height, 2, width, 2, -1)[..., seen:]
        quarters = points.permute(0, 2, 3, 1).reshape(count, height, width, 2, 2, self.channels)
        places.copy_(quarters.transpose(2, 3))
        result: Tensor = self.rest(joined)
        return result
