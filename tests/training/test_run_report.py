"""Every run ends with the scores of what it held out, in a table and a report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from src_model.config import TrainConfig
from src_model.evaluation.events import CaseScored
from src_model.evaluation.table import ScoreTable
from src_model.events import Control, RunFinished, Warned
from src_model.models.checkpoint import read_checkpoint_info
from src_model.training.trainer import train

MakeConfig = Callable[..., TrainConfig]


def _finished(events: list[object]) -> RunFinished:
    last = events[-1]
    assert isinstance(last, RunFinished)
    return last


def test_a_run_scores_exactly_the_images_that_it_held_out(make_config: MakeConfig) -> None:
    config = make_config(stage="first", report=True)

    finished = _finished(list(train(config)))

    held_out = read_checkpoint_info(finished.checkpoint).training["held_out"]
    table = ScoreTable.read(config.out / "metrics.csv")
    assert [list(table.cases)] == held_out
    assert len(table.cases) == 2
    assert finished.report == config.out / "report.html"


def test_the_report_shows_the_curves_of_the_run(make_config: MakeConfig) -> None:
    config = make_config(report=True)

    report = _finished(list(train(config))).report

    assert report is not None
    text = report.read_text(encoding="utf-8")
    assert "stage 1" in text.lower()
    assert "stage 2" in text.lower()
    assert "expert" in text.lower()


def test_classes_without_names_are_named_as_the_dataset_names_them(
    make_config: MakeConfig, write_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    config = make_config(
        stage="first", report=True, data={"root": write_pairs(tmp_path / "data"), "layout": "glas"}
    )

    finished = _finished(list(train(config)))

    assert [info.name for info in read_checkpoint_info(finished.checkpoint).classes] == ["gland"]
    assert ScoreTable.read(config.out / "metrics.csv").labels == ("gland",)


def test_a_run_without_a_report_writes_none(make_config: MakeConfig) -> None:
    config = make_config(stage="first", report=False)

    finished = _finished(list(train(config)))

    assert finished.report is None
    assert not (config.out / "metrics.csv").exists()


def test_a_complete_run_gets_the_report_that_it_lacks_when_it_is_resumed(make_config: MakeConfig) -> None:
    config = make_config(stage="first", report=False)
    list(train(config))

    finished = _finished(list(train(config.model_copy(update={"resume": True, "report": True}))))

    assert finished.report is not None
    assert finished.report.is_file()


def test_a_report_that_is_there_is_not_made_again(make_config: MakeConfig) -> None:
    config = make_config(stage="first", report=True)
    list(train(config))

    events = list(train(config.model_copy(update={"resume": True})))

    assert [type(event) for event in events] == [RunFinished]
    assert _finished(events).report == config.out / "report.html"


def test_data_that_are_gone_at_the_end_cost_the_report_alone(
    make_config: MakeConfig, write_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    root = write_pairs(tmp_path / "gone")
    config = make_config(stage="first", report=False, data={"root": root})
    list(train(config))
    shutil.rmtree(root)

    events = list(train(config.model_copy(update={"resume": True, "report": True})))

    assert _finished(events).report is None
    warning = next(event for event in events if isinstance(event, Warned))
    assert "report could not be written" in warning.message
    assert str(root) in warning.message


def test_a_stop_while_scoring_leaves_a_complete_run_without_a_report(make_config: MakeConfig) -> None:
    config = make_config(stage="first", report=True)
    control = Control()
    events = []
    for event in train(config, control=control):
        events.append(event)
        if isinstance(event, CaseScored):
            control.stop()

    assert _finished(events).report is None
    assert (config.out / "model.safetensors").is_file()
    assert not (config.out / "metrics.csv").exists()


@pytest.mark.parametrize("resolution", ["native", "training"])
def test_masks_are_compared_where_the_settings_say(make_config: MakeConfig, resolution: str) -> None:
    config = make_config(
        stage="first",
        report=True,
        report_resolution=resolution,
        data={"sampling": "resize"},
    )

    list(train(config))

    report = (config.out / "report.html").read_text(encoding="utf-8")
    assert ("resized to 32 x 32" in report) is (resolution == "training")
