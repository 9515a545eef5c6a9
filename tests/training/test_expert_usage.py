"""Expert usage: its mean, and the warning about an expert that takes a router over."""

from __future__ import annotations

import pytest
import torch

from src_model.events import ExpertUsage
from src_model.training.history import EpochRecord
from src_model.training.usage import UsageMeter, dominance_warnings

EVEN, TAKEN, OTHER = (0.25, 0.25, 0.25, 0.25), (0.05, 0.05, 0.85, 0.05), (0.9, 0.1, 0.0, 0.0)


def _records(*usages: ExpertUsage | None) -> list[EpochRecord]:
    numbers = dict.fromkeys(
        ("train_loss", "segmentation_loss", "balance_loss", "validation_loss", "dice", "iou"), 0.5
    )
    return [
        EpochRecord(stage="2", epoch=epoch, learning_rate=1e-3, seconds=1.0, expert_usage=usage, **numbers)
        for epoch, usage in enumerate(usages, start=1)
    ]


def test_the_mean_counts_every_sample_once() -> None:
    meter = UsageMeter()
    meter.add(torch.tensor([[[1.0, 0.0]]]))
    meter.add(torch.tensor([[[0.0, 1.0]], [[0.5, 0.5]], [[0.5, 0.5]]]))

    usage = meter.mean()

    assert usage == ((pytest.approx(0.5), pytest.approx(0.5)),)


def test_without_routers_there_is_no_usage() -> None:
    assert UsageMeter().mean() is None


def test_an_expert_above_four_fifths_for_three_epochs_is_named_with_its_router() -> None:
    warnings = dominance_warnings(_records(*[(EVEN, TAKEN)] * 3), 0.01)

    assert len(warnings) == 1
    assert "Expert 3" in warnings[0]
    assert "router 2" in warnings[0]
    assert "balance_weight" in warnings[0]


@pytest.mark.parametrize(
    "usages",
    [
        pytest.param([(TAKEN,)] * 2, id="only two epochs"),
        pytest.param([(TAKEN,), (EVEN,), (TAKEN,)], id="a break between"),
        pytest.param([(TAKEN,), (OTHER,), (TAKEN,)], id="another expert between"),
        pytest.param([(TAKEN,)] * 4, id="told before"),
        pytest.param([None, None, None], id="nothing routed"),
        pytest.param([], id="nothing at all"),
    ],
)
def test_no_warning_without_a_fresh_series_of_three(usages: list[ExpertUsage | None]) -> None:
    assert dominance_warnings(_records(*usages), 0.01) == []
