"""A moving average of the weights: what is validated and kept in place of the last step's noise."""

from __future__ import annotations

import copy

import torch
from torch import nn

from src_model.models.base import SegmentationModel


class MovingAverage:
    """Exponential moving average of a network (Polyak and Juditsky, 1992), BatchNorm statistics included.

    Parameters
    ----------
    model
        Its weights are where the average begins.
    decay
        Share of the average that a step keeps; in the first steps less, so that the random start
        is soon forgotten.
    prefix
        How the names of the tensors that change begin; the others stay as they are.
    """

    model: SegmentationModel
    """The averaged network, in evaluation mode."""

    def __init__(self, model: SegmentationModel, decay: float, prefix: str = "") -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay, self._prefix = decay, prefix

    def update(self, model: nn.Module, step: int) -> None:
        """Take the weights after ``step`` (from 0) in."""
        share = 1.0 - min(self._decay, (1 + step) / (10 + step))
        own, new = self.model.state_dict(), model.state_dict()
        changing = [key for key in own if key.startswith(self._prefix)]
        real = [key for key in changing if own[key].is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_([own[key] for key in real], [new[key] for key in real], share)
            for key in set(changing) - set(real):
                own[key].copy_(new[key])
