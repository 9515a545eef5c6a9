"""The objective: cross-entropy plus Dice plus balance."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from src_model.models.experts import Routing
from src_model.models.skips import Segmentation
from src_model.training.losses import Objective


def _output(logits: Tensor, balance: float = 0.0, routed: bool = False) -> Segmentation:
    share = torch.ones(len(logits), 1, 1)
    return Segmentation(logits, torch.tensor(balance), (), Routing(share, share) if routed else None)


def test_one_class_is_binary_cross_entropy_plus_one_minus_soft_dice() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 8, 8, generator=generator)
    masks = torch.randint(0, 2, (3, 8, 8), generator=generator)

    loss = Objective(0.0)(_output(logits), masks).total

    probability, truth = logits[:, 0].sigmoid(), masks.float()
    overlap = 2 * (probability * truth).sum((1, 2)) / (probability.sum((1, 2)) + truth.sum((1, 2)))
    expected = F.binary_cross_entropy(probability, truth) + (1 - overlap).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


def test_several_classes_average_the_dice_of_the_foreground_only() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 8, generator=generator)
    masks = torch.randint(0, 3, (2, 8, 8), generator=generator)

    loss = Objective(0.0)(_output(logits), masks).total

    probability = logits.softmax(1)[:, 1:]
    truth = F.one_hot(masks, 3).permute(0, 3, 1, 2)[:, 1:].float()
    overlap = 2 * (probability * truth).sum((2, 3)) / (probability.sum((2, 3)) + truth.sum((2, 3)))
    expected = F.cross_entropy(logits, masks) + (1 - overlap).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


def test_the_balance_loss_enters_with_its_weight_and_is_reported_without() -> None:
    logits, masks = torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)

    losses = Objective(0.01)(_output(logits, balance=5.0, routed=True), masks)

    assert losses.balance.item() == 5.0
    assert (losses.total - losses.segmentation).item() == pytest.approx(0.05)


def test_the_loss_of_a_batch_is_the_mean_over_its_samples() -> None:
    logits, masks = torch.randn(4, 1, 8, 8), torch.randint(0, 2, (4, 8, 8))
    masks[1] = 0
    objective = Objective(0.0)

    whole = objective.segmentation(logits, masks)

    single = [objective.segmentation(logits[i : i + 1], masks[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(whole, torch.stack(single).mean())


def test_half_precision_logits_are_compared_in_full_precision() -> None:
    logits, masks = torch.randn(2, 1, 8, 8).bfloat16(), torch.randint(0, 2, (2, 8, 8))

    loss = Objective(0.0).segmentation(logits, masks)

    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, Objective(0.0).segmentation(logits.float(), masks))


def test_side_outputs_count_by_their_weights_beside_the_main_one() -> None:
    logits, side = torch.randn(2, 1, 8, 8), torch.randn(2, 1, 8, 8)
    masks = torch.randint(0, 2, (2, 8, 8))
    plain = Objective(0.0)
    output = _output(logits)._replace(auxiliary=(side, side))

    loss = Objective(0.0, (0.5, 0.3))(output, masks).segmentation

    expected = plain.segmentation(logits, masks) + 0.8 * plain.segmentation(side, masks)
    torch.testing.assert_close(loss, expected)
