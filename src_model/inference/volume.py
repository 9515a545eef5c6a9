"""Logits of a whole volume from overlapping patches, blended with a Gaussian window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor

from src_model.errors import ConfigError
from src_model.events import Control
from src_model.models.base import SegmentationModel


def predict_volume(
    model: SegmentationModel,
    values: NDArray[np.float32],
    *,
    domain: str | int | None = None,
    patch_size: Sequence[int] = (64, 64, 64),
    overlap: float = 0.5,
    batch_size: int = 1,
    control: Control | None = None,
) -> NDArray[np.float32]:
    """Run a 3-D network over a volume of any size.

    Parameters
    ----------
    model
        In evaluation mode; runs where its weights are, the result is gathered in main memory.
    values
        ``(C, Z, Y, X)``, standardised as in training.
    domain
        Of the volume; see the network.
    patch_size
        Voxels (Z, Y, X) that the network sees at once. An axis that is shorter is seen whole.
    overlap
        Share of a patch that its neighbour sees too, from 0 to below 1.
    batch_size
        Patches in one pass.
    control
        Asked between two passes.

    Returns
    -------
    ndarray
        Logits ``(K, Z, Y, X)``.

    Raises
    ------
    ConfigError
        When the patch size or the overlap is out of its bounds.
    ModelError
        When the volume or the domain does not fit the network.
    Stopped
        When ``control`` asked for it.
    """
    if len(patch_size) != 3 or min(patch_size) < 1:
        raise ConfigError(f"patch_size must be three sizes (Z, Y, X) of at least 1 but got {patch_size}.")
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap must be from 0 to below 1 but got {overlap}.")
    volume = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None]
    model.check_input(volume, volume.shape[1])  # the number of axes, before patches are cut
    window = [min(side, length) for side, length in zip(patch_size, volume.shape[2:], strict=True)]

    def run(patches: Tensor) -> Tensor:
        if control is not None:
            control.check()
        logits: Tensor = model(patches, domain=domain).logits
        return logits.float()

    with torch.inference_mode():
        blended: Tensor = sliding_window_inference(
            volume,
            roi_size=window,
            sw_batch_size=batch_size,
            predictor=run,
            overlap=overlap,
            mode="gaussian",
            sw_device=next(model.parameters()).device,
            device="cpu",
        )
    return blended[0].numpy()
