"""ImageNet weights for the encoders: torchvision's files, by address and checksum.

They were trained on images standardised with mean (0.485, 0.456, 0.406) and standard deviation
(0.229, 0.224, 0.225); another standardisation costs little, as every network is trained further.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from src_model.download import Progress, fetch
from src_model.errors import CheckpointError, ModelError
from src_model.models.encoders import Encoder
from src_model.models.registry import models_with_weights

if TYPE_CHECKING:
    from src_model.models.base import SegmentationModel


class WeightFile(NamedTuple):
    """Where the weights of one network lie."""

    address: str
    sha256: str
    """How the checksum begins."""


_TORCHVISION = "https://download.pytorch.org/models/"
IMAGENET = {
    "resnet18": WeightFile(_TORCHVISION + "resnet18-f37072fd.pth", "f37072fd"),
    "resnet34": WeightFile(_TORCHVISION + "resnet34-b627a593.pth", "b627a593"),
    "mobilenet_v2": WeightFile(_TORCHVISION + "mobilenet_v2-b0353104.pth", "b0353104"),
}
"""By torchvision's name of the network; the first version of its weights (IMAGENET1K_V1)."""

FULL_WIDTH = 64
"""``base_channels`` of the encoders that the published weights fit."""


def find_weights(model: SegmentationModel, weights: str = "imagenet") -> WeightFile:
    """The file of published weights that fits the encoder of ``model``; fetches nothing.

    Raises
    ------
    ModelError
        When there are no such weights, the network has no encoder of ours, or not its full width.
    """
    if weights != "imagenet":
        raise ModelError(f"encoder_weights must be 'imagenet' or left out but got {weights!r}.")
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, Encoder):
        raise ModelError(
            f"The network '{model.name}' has no encoder with published weights; leave encoder_weights out, "
            f"or use one of: {', '.join(models_with_weights())}."
        )
    width = model.config["options"]["base_channels"]
    if width != FULL_WIDTH:
        raise ModelError(
            f"The ImageNet weights fit an encoder of base_channels {FULL_WIDTH} but got {width}; give "
            f"base_channels {FULL_WIDTH} or leave encoder_weights out."
        )
    return IMAGENET[encoder.pretrained_name]


def load_encoder_weights(
    model: SegmentationModel, weights: str = "imagenet", *, progress: Progress | None = None
) -> None:
    """Fill the encoder of ``model`` with published weights, fetched where they are not yet there.

    A network without values (on the device ``meta``) is left as it is and nothing is fetched.

    Parameters
    ----------
    model
        A network on one of our encoders, at its full width.
    weights
        ``"imagenet"``.
    progress
        Called with the bytes so far and in total while they are fetched.

    Raises
    ------
    ModelError
        When there are no such weights, the network has no encoder of ours, or not its full width.
    DownloadError
        When the file cannot be fetched or is not the original.
    CheckpointError
        When the file does not fit the encoder.
    """
    file = find_weights(model, weights)
    encoder: Any = model.encoder
    if not next(encoder.parameters()).is_meta:
        encoder.load_imagenet(_state(file, progress))


def _state(file: WeightFile, progress: Progress | None) -> Mapping[str, torch.Tensor]:
    path = fetch(file.address, file.sha256, progress=progress)
    content: Any = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__} but expected a state dict.")
    return content
