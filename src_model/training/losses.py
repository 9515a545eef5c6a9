"""What training minimises: cross-entropy plus Dice, and the balance of the experts."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor

from src_model.models.skips import Segmentation


class Losses(NamedTuple):
    """Scalars, float32, of one micro-batch."""

    total: Tensor
    """``segmentation + weight * balance``: what is differentiated."""
    segmentation: Tensor
    balance: Tensor
    """Before its weight."""


class Objective:
    """Loss of a network's output against the masks.

    With one channel of logits: binary cross-entropy and Dice of the sigmoid (Milletari et al.,
    2016). With more: cross-entropy over all classes and Dice of the softmax, mean over the
    foreground classes. It is a mean over the samples of a batch (each sample has its own Dice),
    so the loss of a batch is the mean of the losses of its parts. The balance loss is one of the
    whole batch and is not.

    Parameters
    ----------
    balance_weight
        Weight of the balance loss, 0.01 in the UTANet paper.
    auxiliary_weights
        Weights of the side outputs of a network with deep supervision, beside 1 for the main one.
    """

    def __init__(self, balance_weight: float, auxiliary_weights: tuple[float, ...] = ()) -> None:
        self.balance_weight = balance_weight
        self.auxiliary_weights = auxiliary_weights
        self._dice_of_one = DiceLoss(sigmoid=True)
        self._dice_of_several = DiceLoss(softmax=True, to_onehot_y=True, include_background=False)

    def __call__(self, output: Segmentation, masks: Tensor) -> Losses:
        """Compare ``output`` with ``masks`` (int64 ``(B, [D,] H, W)``, 0 = background)."""
        segmentation = self.segmentation(output.logits, masks)
        if output.auxiliary:
            for weight, logits in zip(self.auxiliary_weights, output.auxiliary, strict=True):
                segmentation = segmentation + weight * self.segmentation(logits, masks)
        balance = output.balance_loss.float()
        if output.routing is None:
            return Losses(segmentation, segmentation, balance)
        return Losses(segmentation + self.balance_weight * balance, segmentation, balance)

    def segmentation(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Cross-entropy plus Dice of ``logits`` ``(B, K, [D,] H, W)``, computed in float32; a scalar."""
        logits = logits.float()
        target = masks.unsqueeze(1)
        if logits.shape[1] == 1:
            target = (target > 0).float()
            dice: Tensor = self._dice_of_one(logits, target)
            return F.binary_cross_entropy_with_logits(logits, target) + dice
        dice = self._dice_of_several(logits, target)
        return F.cross_entropy(logits, masks) + dice
