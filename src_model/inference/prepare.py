"""From stored intensities to what the network was trained on: scaled, channels matched, standardised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.config import Normalisation
from src_model.data.normalise import match_channels, standardise
from src_model.inference.network import Network

MOST_SAMPLES = 4_000_000


@dataclass(frozen=True, eq=False)
class Preparation:
    low: float
    high: float
    in_channels: int
    normalisation: Normalisation

    @classmethod
    def of(cls, view: NDArray[Any], network: Network) -> Preparation:
        if view.dtype == np.uint8:
            low, high = 0.0, 255.0
        else:
            low, high = np.nanpercentile(view, [0.1, 99.9])
        match_channels(view[(0,) * (view.ndim - 3)][:1, :1].astype(np.float32), network.in_channels)
        return cls(float(low), float(high), network.in_channels, network.normalisation)

    def __call__(self, part: NDArray[Any]) -> NDArray[np.float32]:
        unit = np.nan_to_num((part.astype(np.float32) - self.low) / (self.high - self.low)).clip(0, 1)
        values = standardise(match_channels(unit.astype(np.float32), self.in_channels), self.normalisation)
        return np.ascontiguousarray(np.moveaxis(values, -1, 0), dtype=np.float32)

    def resized(self, plane: NDArray[Any], side: int) -> NDArray[np.float32]:
        import torch
        import torch.nn.functional as F

        values = torch.from_numpy(self(plane))[None]
        small = F.interpolate(values, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        result: NDArray[np.float32] = small[0].numpy()
        return result


def is_constant(plane: NDArray[Any]) -> bool:
    """Whether a plane has no contrast: all finite values equal, or none finite."""
    low = np.fmin.reduce(plane, axis=None)
    high = np.fmax.reduce(plane, axis=None)
    return not low < high
