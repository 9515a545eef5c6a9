"""In which number type a network computes: the fastest that is accurate on the device it runs on."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from src_model.device import Precision, autocast, is_out_of_memory, resolve_precision
from src_model.errors import ConfigError
from src_model.inference.transfer import layout_of
from src_model.models.base import SegmentationModel
from src_model.models.blocks import INTERPOLATION
from src_model.models.skips import Segmentation

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
ALLOWED = 0.05
"""What probabilities may be off, root mean square; of trained networks they are off by 0.002 to 0.003 in
bfloat16."""
_SIDE = {2: 128, 3: 32}
"""Side of the input that is tried."""


def choose_precision(
    name: str,
    model: SegmentationModel,
    device: torch.device,
    *,
    in_channels: int,
    top_k: int | None,
    domain: str | None,
) -> Precision:
    """The precision of that name; ``auto`` tries the narrow type that the device is fast at.

    Parameters
    ----------
    name
        One of :data:`PRECISIONS`.
    model, device
        In float32, on this device, in evaluation mode.
    in_channels
        Of the images.
    top_k, domain
        As for the network.

    Raises
    ------
    ConfigError
        When there is no such precision, or the device does not have it.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"The precision must be auto, float32, bfloat16 or float16 but got '{name}'.")
    if name == "float16" and device.type == "cpu":
        raise ConfigError(
            "The precision float16 needs a GPU but got the device 'cpu'; choose bfloat16 or float32."
        )
    precision = resolve_precision(name, device)
    if name == "auto" and precision == "float32" and device.type == "cuda":
        precision = "float16"  # what cards have that are too old for bfloat16
    if name != "auto" or precision == "float32":
        return precision
    batch = made_up_images(model.dims, in_channels).to(device)
    try:
        error = narrow_error(model, batch, precision, top_k=top_k, domain=domain)
    except RuntimeError as reason:
        if is_out_of_memory(reason):
            return precision  # which takes less of it
        raise
    return precision if error <= ALLOWED else "float32"


def narrow_error(
    model: SegmentationModel,
    batch: Tensor,
    precision: Precision,
    *,
    top_k: int | None = None,
    domain: str | None = None,
) -> float:
    """How far the probabilities in a precision are from those in float32, root mean square.

    With the experts that float32 chose; infinite where a probability is not finite.
    """
    with torch.inference_mode():
        exact: Segmentation = model(batch, top_k=top_k, domain=domain)
        chosen = {} if exact.routing is None else {"routing": exact.routing}
        with autocast(batch.device, precision):
            rough: Segmentation = model(batch, top_k=top_k, domain=domain, **chosen)
        error = float((_probabilities(rough) - _probabilities(exact)).square().mean().sqrt())
    return error if math.isfinite(error) else math.inf


def _probabilities(result: Segmentation) -> Tensor:
    logits = result.logits.float()
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def made_up_images(dims: int, channels: int) -> Tensor:
    """Two standardised images of soft blobs (2, C, [D,] H, W), always the same."""
    side = _SIDE[dims]
    drawn = torch.Generator().manual_seed(0)
    coarse = torch.randn(2, channels, *[side // 8] * dims, generator=drawn)
    blobs = F.interpolate(coarse, size=[side] * dims, mode=INTERPOLATION[dims])
    images = blobs + 0.3 * torch.randn(blobs.shape, generator=drawn)
    return images.contiguous(memory_format=layout_of(images))
