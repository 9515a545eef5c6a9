"""Encoders: an image in, one feature map per level out."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from src_model.errors import CheckpointError
from src_model.models.blocks import conv_bn_relu


class PointwiseStrided(nn.Conv2d):
    """A strided 1x1 convolution that drops the skipped pixels first: the same values.

    PyTorch 2.13's own one writes outside its memory in the backward pass on a CPU, for fewer than
    16 channels in channels_last and odd batches.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C', ceil(H / stride), ceil(W / stride))``."""
        rows, columns = self.stride
        return F.conv2d(x[..., ::rows, ::columns], self.weight, self.bias)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al., CVPR 2016); torchvision's parameter names."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                PointwiseStrided(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        result: Tensor = self.relu(y + shortcut)
        return result


class ResNet34Encoder(nn.Module):
    """The four stages of ResNet34 behind a 3x3 stem that keeps the full resolution.

    Parameters
    ----------
    in_channels
        Channels of the image.
    base_channels
        Channels of the first two levels; the others have 2, 4 and 8 times as many. 64 is
        ResNet34; smaller values make small networks for tests and weak machines.

    Attributes
    ----------
    channels, strides : tuple of int
        Of the five levels, from the finest to the coarsest.
    """

    blocks = (3, 4, 6, 3)

    def __init__(self, in_channels: int = 3, base_channels: int = 64) -> None:
        super().__init__()
        width = base_channels
        self.channels = (width, width, 2 * width, 4 * width, 8 * width)
        self.strides = (1, 2, 4, 8, 16)
        self.stem = conv_bn_relu(in_channels, width)
        self.pool = nn.MaxPool2d(2)
        self.layer1 = _stage(width, width, self.blocks[0], stride=1)
        self.layer2 = _stage(width, 2 * width, self.blocks[1], stride=2)
        self.layer3 = _stage(2 * width, 4 * width, self.blocks[2], stride=2)
        self.layer4 = _stage(4 * width, 8 * width, self.blocks[3], stride=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of the five levels.

        Parameters
        ----------
        x
            ``(B, in_channels, H, W)``; H and W divide by 16.

        Returns
        -------
        list of Tensor
            ``(B, channels[i], H / strides[i], W / strides[i])``.
        """
        features = [self.stem(x)]
        below = self.pool(features[0])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            below = layer(below)
            features.append(below)
        return features

    def load_imagenet(self, state_dict: Mapping[str, Tensor]) -> None:
        """Take ``layer1`` to ``layer4`` from the state dict of torchvision's ``resnet34``.

        Its stem (``conv1``, ``bn1``) and classifier (``fc``) have no place here and are ignored;
        the stem of this encoder stays as it is.

        Raises
        ------
        CheckpointError
            When a tensor is missing or has another shape.
        """
        own = self.state_dict()
        wanted = {key: tensor for key, tensor in own.items() if key.startswith("layer")}
        for key, tensor in wanted.items():
            if key.endswith("num_batches_tracked") and key not in state_dict:
                continue
            if key not in state_dict:
                raise CheckpointError(f"The encoder weights lack '{key}'; give a state dict of a ResNet34.")
            if state_dict[key].shape != tensor.shape:
                raise CheckpointError(
                    f"The encoder weight '{key}' has shape {tuple(state_dict[key].shape)} but expected "
                    f"{tuple(tensor.shape)}; give a state dict of a ResNet34."
                )
        self.load_state_dict(
            {key: state_dict.get(key, tensor) for key, tensor in own.items() if key in wanted}, strict=False
        )


def _stage(in_channels: int, out_channels: int, count: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels) for _ in range(count - 1)))
