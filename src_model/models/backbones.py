"""The encoders by name: an explicit dictionary."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from src_model.errors import ModelError
from src_model.models.encoders import (
    Encoder,
    ResNet18Encoder,
    ResNet34Encoder,
    StridedResNet34Encoder,
)
from src_model.models.mobilenet import MobileNetV2Encoder

_ENCODERS: dict[str, Callable[[int, int], Encoder]] = {
    "resnet34": ResNet34Encoder,
    "resnet18": ResNet18Encoder,
    "resnet34-strided": StridedResNet34Encoder,
    "mobilenetv2": MobileNetV2Encoder,
    "mobilenetv2-16": partial(MobileNetV2Encoder, coarsest=16),
}
ENCODER_NAMES = tuple(_ENCODERS)


def make_encoder(name: str, in_channels: int, base_channels: int) -> Encoder:
    """Make an encoder with fresh weights.

    Parameters
    ----------
    name
        One of ``ENCODER_NAMES``.
    in_channels
        Channels of the image.
    base_channels
        64 = the published width; an even number.

    Raises
    ------
    ModelError
        When ``base_channels`` is odd.
    """
    if base_channels % 2:
        raise ModelError(f"base_channels must be an even number but got {base_channels}.")
    return _ENCODERS[name](in_channels, base_channels)
