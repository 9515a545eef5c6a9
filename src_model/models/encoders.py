"""Encoders: an image in, one feature map per level out; the ResNet family."""

from __future__ import annotations

from abc import ABC, abstractmethod
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


class Encoder(nn.Module, ABC):
    """An image in, one feature map per level out.

    Attributes
    ----------
    channels, strides : tuple of int
        Of the levels, from the finest to the coarsest; each stride is twice the one before.
    pretrained_name : str
        Name of the published weights that fit; see :mod:`src_model.models.pretrained`.
    pretrained_prefixes : tuple of str
        How the names of the tensors begin that are taken from them.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    pretrained_name: str
    pretrained_prefixes: tuple[str, ...]

    @abstractmethod
    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of the levels.

        Parameters
        ----------
        x
            ``(B, in_channels, H, W)``; H and W divide by the last stride.

        Returns
        -------
        list of Tensor
            ``(B, channels[i], H / strides[i], W / strides[i])``.
        """

    def load_imagenet(self, state_dict: Mapping[str, Tensor]) -> None:
        """Take the parts that this encoder shares with torchvision's network from its state dict.

        Other tensors there (the classifier, a stem that has no place here) are ignored; parts
        that only this encoder has stay as they are. So does a first convolution for images that
        are not RGB.

        Raises
        ------
        CheckpointError
            When a tensor is missing or has another shape.
        """
        own = self.state_dict()
        taken: dict[str, Tensor] = {}
        for key, tensor in own.items():
            if not key.startswith(self.pretrained_prefixes):
                continue
            if key not in state_dict:
                if key.endswith("num_batches_tracked"):
                    continue
                raise CheckpointError(
                    f"The encoder weights lack '{key}'; give a state dict of {self.pretrained_name}."
                )
            given = state_dict[key]
            if tensor.ndim == 4 and tensor.shape[1] != 3 == given.shape[1]:
                continue
            if given.shape != tensor.shape:
                raise CheckpointError(
                    f"The encoder weight '{key}' has shape {tuple(given.shape)} but expected "
                    f"{tuple(tensor.shape)}; give a state dict of {self.pretrained_name} to an encoder "
                    "of its full width."
                )
            taken[key] = given
        self.load_state_dict(taken, strict=False)


class ResNet34Encoder(Encoder):
    """The four stages of ResNet34 behind a 3x3 stem that keeps the full resolution.

    Of the published weights the four stages are taken, not the stem.

    Parameters
    ----------
    in_channels
        Channels of the image.
    base_channels
        Channels of the first two levels; the others have 2, 4 and 8 times as many. 64 is
        ResNet34; smaller values make small networks for tests and weak machines.
    """

    blocks = (3, 4, 6, 3)
    pretrained_name = "resnet34"
    pretrained_prefixes = ("layer",)

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
        """Features of the five levels; see :meth:`Encoder.forward`."""
        features = [self.stem(x)]
        below = self.pool(features[0])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            below = layer(below)
            features.append(below)
        return features


class ResNet18Encoder(ResNet34Encoder):
    """The same with the shorter stages of ResNet18."""

    blocks = (2, 2, 2, 2)
    pretrained_name = "resnet18"


class StridedResNet34Encoder(Encoder):
    """ResNet34 with its own strided stem, up to its third stage, and one convolution beside it.

    The stem halves the image before the first block, so a block sees a quarter of the pixels
    that it sees in :class:`ResNet34Encoder`; without the fourth stage 8.2 of 21.3 million
    parameters are left. The finest level is a 3x3 convolution of the image.

    Parameters
    ----------
    in_channels, base_channels
        As for :class:`ResNet34Encoder`; the finest level has a quarter of ``base_channels``.
    """

    blocks = (3, 4, 6)
    pretrained_name = "resnet34"
    pretrained_prefixes = ("conv1", "bn1", "layer")

    def __init__(self, in_channels: int = 3, base_channels: int = 64) -> None:
        super().__init__()
        width = base_channels
        fine = max(width // 4, 4)
        self.channels = (fine, width, width, 2 * width, 4 * width)
        self.strides = (1, 2, 4, 8, 16)
        self.fine = conv_bn_relu(in_channels, fine)
        self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(width, width, self.blocks[0], stride=1)
        self.layer2 = _stage(width, 2 * width, self.blocks[1], stride=2)
        self.layer3 = _stage(2 * width, 4 * width, self.blocks[2], stride=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of the five levels; see :meth:`Encoder.forward`."""
        features = [self.fine(x), self.relu(self.bn1(self.conv1(x)))]
        below = self.pool(features[1])
        for layer in (self.layer1, self.layer2, self.layer3):
            below = layer(below)
            features.append(below)
        return features


def _stage(in_channels: int, out_channels: int, count: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels) for _ in range(count - 1)))
