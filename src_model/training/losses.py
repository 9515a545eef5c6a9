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

    The segmentation loss is a mean over the samples of a batch (each sample has its own Dice),
    so the loss of a batch is the mean of the losses of its parts. The balance loss is one of the
    whole batch and is not.

    Parameters
    ----------
    num_classes
        1: binary cross-entropy and Dice of the sigmoid (Milletari et al., 2016). More:
        cross-entropy over all classes and Dice of the softmax, mean over the foreground classes.
    balance_weight
        Weight of the balance loss, 0.01 in the UTANet paper.
    auxiliary_weights
        Weights of the side outputs of a network with deep supervision, beside 1 for the main one.
    """

    def __init__(
        self, num_classes: int, balance_weight: float, auxiliary_weights: tuple[float, ...] = ()
    ) -> None:
        self.num_classes = num_classes
        self.balance_weight = balance_weight
        self.auxiliary_weights = auxiliary_weights
        several = num_classes > 1
        self._dice = DiceLoss(
            sigmoid=not several, softmax=several, to_onehot_y=several, include_background=not several
        )

    def __call__(self, output: Segmentation, masks: Tensor) -> Losses:
        """Compare ``output`` with ``masks`` (int64 ``(B, H, W)``, 0 = background)."""
        segmentation = self.segmentation(output.logits, masks)
        if output.auxiliary:
            for weight, logits in zip(self.auxiliary_weights, output.auxiliary, strict=True):
                segmentation = segmentation + weight * self.segmentation(logits, masks)
        balance = output.balance_loss.float()
        if output.routing is None:
            return Losses(segmentation, segmentation, balance)
        return Losses(segmentation + self.balance_weight * balance, segmentation, balance)

    def segmentation(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Cross-entropy plus Dice of ``logits`` ``(B, K, H, W)``, computed in float32; a scalar."""
        logits = logits.float()
        if self.num_classes == 1:
            target = (masks > 0).unsqueeze(1).float()
            entropy = F.binary_cross_entropy_with_logits(logits, target)
        else:
            target = masks.unsqueeze(1)
            entropy = F.cross_entropy(logits, masks)
        dice: Tensor = self._dice(logits, target)
        return entropy + dice
