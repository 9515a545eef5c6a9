"""The record of a run: best epochs, what the user gets, and the table on disk."""

from __future__ import annotations

import csv
import io
import json

from src_model.config import StageConfig
from src_model.training.history import EpochRecord, History
from src_model.training.stages import Stage

SETTINGS = StageConfig(epochs=2, learning_rate=1e-3, weight_decay=0.0)
FIRST, SECOND = Stage("1", 1, SETTINGS), Stage("2", 2, SETTINGS)


def _record(stage: str, epoch: int, dice: float, loss: float = 0.5) -> EpochRecord:
    return EpochRecord(
        stage=stage,
        epoch=epoch,
        train_loss=0.7,
        segmentation_loss=0.6,
        balance_loss=0.1,
        validation_loss=loss,
        dice=dice,
        iou=dice / 2,
        learning_rate=1e-3,
        expert_usage=((0.1, 0.9),) if stage == "2" else None,
        seconds=2.0,
    )


def test_the_best_epoch_has_the_highest_dice_and_the_first_of_equals_wins() -> None:
    history = History((_record("1", 1, 0.4), _record("1", 2, 0.8), _record("1", 3, 0.8)))

    assert history.best(FIRST).epoch == 2


def test_at_equal_dice_the_lower_validation_loss_wins() -> None:
    history = History((_record("1", 1, 0.0, loss=0.9), _record("1", 2, 0.0, loss=0.8)))

    assert history.best(FIRST).epoch == 2


def test_the_best_of_a_stage_ignores_the_other_stage() -> None:
    history = History((_record("1", 1, 0.9), _record("2", 1, 0.5), _record("2", 2, 0.6)))

    assert history.best(SECOND).epoch == 2


def test_a_poor_start_of_stage_two_does_not_take_the_place_of_stage_one() -> None:
    history = History((_record("1", 1, 0.9), _record("1", 2, 0.8), _record("2", 1, 0.5)))

    chosen = history.chosen([FIRST, SECOND])

    assert chosen is not None
    assert (chosen.stage, chosen.epoch) == ("1", 1)


def test_a_complete_stage_two_gives_the_model_of_the_run() -> None:
    history = History((_record("1", 1, 0.9), *(_record("2", epoch, 0.5) for epoch in (1, 2))))

    chosen = history.chosen([FIRST, SECOND])

    assert chosen is not None
    assert chosen.stage == "2"


def test_a_stage_is_done_by_its_epochs_or_by_the_start_of_the_next() -> None:
    assert not History().done(FIRST)
    assert not History((_record("1", 1, 0.5),)).done(FIRST)
    assert History((_record("1", 1, 0.5), _record("1", 2, 0.5))).done(FIRST)
    assert History((_record("1", 1, 0.5), _record("2", 1, 0.5))).done(FIRST)


def test_a_record_survives_the_way_through_json() -> None:
    record = _record("2", 3, 0.123456789012345678)

    again = EpochRecord.from_dict(json.loads(json.dumps(record.to_dict())))

    assert again == record


def test_the_table_has_a_line_per_epoch_and_a_column_per_router_and_expert() -> None:
    history = History((_record("1", 1, 0.25), _record("2", 1, 0.5)))

    rows = list(csv.DictReader(io.StringIO(history.to_csv())))

    assert [row["dice"] for row in rows] == ["0.25", "0.5"]
    assert [row["router1_expert2"] for row in rows] == ["", "0.9"]
