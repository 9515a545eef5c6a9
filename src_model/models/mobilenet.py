"""The encoder MobileNetV2 with torchvision's parameter names, for small machines.

Source: MobileNetV2 (Sandler et al., CVPR 2018), Table 2.
"""

from __future__ import annotations

from torch import Tensor, nn

from src_model.models.blocks import conv_bn_relu
from src_model.models.encoders import Encoder

# Expansion, channels, blocks, stride of the first block.
_GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_FINE = 16
_STEM = 32
_LAST_GROUPS = 160  # those at stride 32
_FULL_WIDTH = 64


class MobileNetV2Encoder(Encoder):
    """The inverted residual blocks of MobileNetV2, and one convolution at the full resolution.

    MobileNetV2 starts at half the resolution; the finest level is a 3x3 convolution of the image
    beside it. The last 1x1 convolution before the classifier is left out.

    Parameters
    ----------
    in_channels
        Channels of the image.
    base_channels
        64 is MobileNetV2; other values scale all its channels in proportion.
    coarsest
        Stride of the last level: 32 as published; 16 keeps the resolution in the last blocks,
        which then look twice as far (dilation 2).
    """

    pretrained_name = "mobilenet_v2"
    pretrained_prefixes = ("features",)

    def __init__(self, in_channels: int = 3, base_channels: int = 64, *, coarsest: int = 32) -> None:
        super().__init__()
        scale = base_channels / _FULL_WIDTH
        fine, width = _scaled(_FINE, scale), _scaled(_STEM, scale)
        blocks: list[nn.Module] = [_conv(in_channels, width, 3, stride=2)]
        levels = {2: (0, width)}  # stride: its last block and that one's channels
        stride = 2
        for expansion, full, count, step in _GROUPS:
            group = _scaled(full, scale)
            for number in range(count):
                halve = number == 0 and 2 * stride <= coarsest and step == 2
                # Where the resolution is kept, all but the block that would have halved it look further.
                dilate = coarsest < 32 and full >= _LAST_GROUPS and not (number == 0 and step == 2)
                blocks.append(
                    InvertedResidual(
                        width, group, expansion, stride=2 if halve else 1, dilation=2 if dilate else 1
                    )
                )
                width = group
                stride *= 2 if halve else 1
                levels[stride] = (len(blocks) - 1, width)
        self.fine = conv_bn_relu(in_channels, fine)
        self.features = nn.Sequential(*blocks)
        self.ends = frozenset(end for end, _ in levels.values())
        self.channels = (fine, *(channels for _, channels in levels.values()))
        self.strides = (1, *levels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of the levels; see :meth:`Encoder.forward`."""
        features = [self.fine(x)]
        for number, block in enumerate(self.features):
            x = block(x)
            if number in self.ends:
                features.append(x)
        return features


class InvertedResidual(nn.Module):
    """1x1 convolution to more channels, depthwise 3x3, 1x1 back without activation; a shortcut
    where input and output are alike.
    """

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, *, stride: int, dilation: int
    ) -> None:
        super().__init__()
        inner = expansion * in_channels
        expand = [] if expansion == 1 else [_conv(in_channels, inner, 1)]
        self.conv = nn.Sequential(
            *expand,
            _conv(inner, inner, 3, stride=stride, dilation=dilation, groups=inner),
            nn.Conv2d(inner, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``."""
        y: Tensor = self.conv(x)
        return x + y if self.shortcut else y


def _conv(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding, dilation=dilation, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )


def _scaled(channels: int, scale: float) -> int:
    """``channels * scale`` to the nearest multiple of 8, at least 8."""
    return max(8, int(channels * scale / 8 + 0.5) * 8)
