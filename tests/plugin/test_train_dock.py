"""The Train dock by its real buttons, in a real viewer, with a small engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_utanet.adapters.pairs import Preview
from napari_utanet.shelf import Shelf
from napari_utanet.widgets.segment_dock import SegmentDock
from napari_utanet.widgets.train_dock import TrainDock
from src_model.errors import NonFiniteLossError


def tiny_preview(request: Any) -> Preview:
    return Preview(np.zeros((8, 8, 3), np.uint8), "2 pairs")


@pytest.fixture
def dock(open_dock: Any, trainer: Any) -> TrainDock:
    dock = open_dock(TrainDock, engine=trainer, make_preview=tiny_preview)
    dock.state.stage1_epochs = dock.state.stage2_epochs = 2
    return dock


@pytest.fixture
def press(qtbot: Any) -> Callable[[Any], None]:
    return lambda button: qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def finish(qtbot: Any) -> Callable[[TrainDock], None]:
    return lambda dock: qtbot.waitUntil(lambda: not dock.workers["train"].running, timeout=10_000)


def test_a_finished_run_puts_its_model_into_segment_and_chooses_it(
    dock: TrainDock, open_dock: Any, press: Any, finish: Any, segmenter: Any, shelf: Shelf
) -> None:
    segment = open_dock(SegmentDock, engine=segmenter)
    assert segment.checkpoint.value is None

    press(dock.start_button)
    finish(dock)

    assert segment.checkpoint.value == shelf.paths[0]
    assert segment.checkpoint.value.name == "model.safetensors"
    assert "Dice 0.81" in dock.status.text()
    assert dock.start_button.text() == "Start"
    assert dock.start_button.isEnabled()


def test_the_curves_show_each_epoch_with_the_second_stage_after_the_first(
    dock: TrainDock, press: Any, finish: Any
) -> None:
    press(dock.start_button)
    finish(dock)

    assert [epoch for epoch, _ in dock.curves.points["dice"]] == [1, 2, 3, 4]
    assert dock.curves.points["validation"][0] == (1.0, 0.4)
    assert dock.usage.texts()[0] == ["40%", "30%", "20%", "10%"]


def test_pause_holds_the_run_and_continue_lets_it_go_on(
    dock: TrainDock, press: Any, finish: Any, trainer: Any, qtbot: Any
) -> None:
    trainer.go.clear()
    press(dock.start_button)
    assert trainer.in_epoch.wait(10)
    press(dock.pause_button)
    assert (dock.pause_button.text(), dock.status.text()) == ("Continue", "Paused.")
    trainer.go.set()
    qtbot.wait(60)
    assert dock.workers["train"].running
    before = len(dock.curves.points.get("dice", []))

    press(dock.pause_button)
    finish(dock)

    assert before == 0
    assert "Dice 0.81" in dock.status.text()


def test_a_stopped_run_keeps_the_good_model_and_can_be_resumed(
    dock: TrainDock, press: Any, finish: Any, trainer: Any, shelf: Shelf, checkpoint: Path
) -> None:
    trainer.go.clear()
    press(dock.start_button)
    assert trainer.in_epoch.wait(10)
    press(dock.stop_button)
    assert not dock.stop_button.isEnabled()
    trainer.go.set()
    finish(dock)

    assert shelf.paths == [checkpoint]
    assert dock.status.text() == "Stopped; resume it any time."
    assert dock.start_button.text() == "Resume"

    press(dock.start_button)
    finish(dock)

    assert [config.resume for config in trainer.configs] == [False, True]
    assert trainer.configs[0].out == trainer.configs[1].out
    assert shelf.paths[0] == trainer.configs[0].out / "model.safetensors"


def test_a_failed_run_keeps_the_good_model_and_says_why(
    dock: TrainDock, press: Any, finish: Any, trainer: Any, shelf: Shelf, checkpoint: Path
) -> None:
    trainer.error = NonFiniteLossError("The loss became NaN in stage 1, epoch 1, batch 2; lower the rate.")

    press(dock.start_button)
    finish(dock)

    assert dock.status.text() == "The loss became NaN in stage 1, epoch 1, batch 2; lower the rate."
    assert dock.status.is_error
    assert shelf.paths == [checkpoint]


def test_pressing_start_twice_starts_one_run(dock: TrainDock, press: Any, finish: Any, trainer: Any) -> None:
    trainer.go.clear()
    press(dock.start_button)
    dock.controller.start()
    trainer.go.set()
    finish(dock)

    assert len(trainer.configs) == 1


def test_closing_the_viewer_ends_the_run_which_stays_resumable(
    viewer: Any, dock: TrainDock, press: Any, trainer: Any
) -> None:
    trainer.go.clear()
    press(dock.start_button)
    assert trainer.in_epoch.wait(10)
    trainer.go.set()

    viewer.close()

    assert not dock.workers["train"].running
    assert trainer.closed == 1
    assert (trainer.configs[0].out / "config.yaml").is_file()


def test_the_run_that_was_not_finished_last_time_is_offered(
    dock: TrainDock, open_dock: Any, press: Any, finish: Any, trainer: Any
) -> None:
    trainer.go.clear()
    press(dock.start_button)
    assert trainer.in_epoch.wait(10)
    press(dock.stop_button)
    trainer.go.set()
    finish(dock)

    later = open_dock(TrainDock, engine=trainer, make_preview=tiny_preview)
    assert not later.unfinished_button.isHidden()
    press(later.unfinished_button)

    assert later.start_button.text() == "Resume"
    assert later.state.out == trainer.configs[0].out
    assert "0 of 4 epochs done" in later.status.text()


def test_a_protocol_fills_in_epochs_and_batch(dock: TrainDock, press: Any, finish: Any, trainer: Any) -> None:
    dock.fields.protocol.value = "paper"

    shown = (dock.fields.stage1_epochs.value, dock.fields.stage2_epochs.value, dock.fields.batch_size.value)

    assert shown == (50, 20, 16)


def test_a_run_starts_from_imagenet_where_asked(
    dock: TrainDock, press: Any, finish: Any, trainer: Any
) -> None:
    press(dock.start_button)
    finish(dock)
    dock.fields.imagenet.value = True

    press(dock.start_button)
    finish(dock)

    assert [config.model.encoder_weights for config in trainer.configs] == [None, "imagenet"]


def test_imagenet_is_not_offered_for_networks_without_such_weights(dock: TrainDock, qtbot: Any) -> None:
    dock.look_up()
    qtbot.waitUntil(lambda: "unet" in dock.fields.model.choices, timeout=60_000)
    dock.fields.imagenet.value = True

    dock.fields.model.value = "unet"
    rests = not dock.fields.imagenet.enabled and not dock.fields.imagenet.value
    dock.set_resumable(True)
    dock.set_resumable(False)
    rests_still = not dock.fields.imagenet.enabled
    dock.fields.model.value = "light-utanet"

    assert rests
    assert rests_still
    assert not dock.state.imagenet
    assert dock.fields.imagenet.enabled


def test_a_folder_is_asked_for_and_a_missing_one_named(dock: TrainDock, press: Any, trainer: Any) -> None:
    dock.fields.source.value = "folder"
    press(dock.start_button)
    assert dock.status.text().startswith("Choose a folder of pairs")
    dock.fields.folder.line.setText("/nowhere/at all")

    press(dock.start_button)

    assert dock.status.text() == "There is no folder /nowhere/at all; check the path."
    assert trainer.configs == []


def test_a_folder_without_pairs_is_told_in_red(
    open_dock: Any, trainer: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = open_dock(TrainDock, engine=trainer)
    dock.fields.source.value = "folder"

    dock.fields.folder.value = tmp_path

    qtbot.waitUntil(lambda: "No pairs" in dock.dataset.error.text(), timeout=10_000)
    assert dock.dataset.error.is_error
    assert dock.picture.caption.text() == ""


def test_the_sample_nuclei_are_previewed_with_an_outline(open_dock: Any, trainer: Any, qtbot: Any) -> None:
    dock = open_dock(TrainDock, engine=trainer)

    qtbot.waitUntil(lambda: not dock.picture.image.isHidden(), timeout=10_000)

    assert dock.picture.caption.text().startswith("40 pairs")


def test_layers_drawn_in_the_viewer_become_pairs_in_the_run_folder(
    viewer: Any, dock: TrainDock, press: Any, finish: Any, trainer: Any
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (160, 200, 3), dtype=np.uint8)
    drawn = np.zeros((160, 200), int)
    drawn[20:60, 30:90] = 1
    viewer.add_image(image, name="my cells")
    viewer.add_labels(drawn)
    dock.fields.source.value = "layers"

    press(dock.start_button)
    finish(dock)

    root = trainer.configs[0].data.root
    assert len(list((root / "images").iterdir())) == 4
    first = root / "images" / "part-001.tif", root / "masks" / "part-001.tif"
    assert np.array_equal(tifffile.imread(first[0]), image[:80, :100])
    assert np.array_equal(tifffile.imread(first[1]), drawn[:80, :100])
    assert "my cells" in trainer.configs[0].out.name


@pytest.mark.parametrize(
    ("shape", "painted", "expected"),
    [((100, 200), True, "draw on a labels layer of the same size"), ((160, 200), False, "is empty")],
)
def test_labels_that_cannot_be_trained_on_are_refused(
    viewer: Any, dock: TrainDock, press: Any, finish: Any, shape: Any, painted: bool, expected: str
) -> None:
    viewer.add_image(np.zeros((160, 200)))
    viewer.add_labels(np.full(shape, int(painted)))
    dock.fields.source.value = "layers"

    press(dock.start_button)
    finish(dock)

    assert expected in dock.status.text()
    assert dock.status.is_error


def test_the_progress_tells_stage_epoch_and_time_left(
    dock: TrainDock, press: Any, finish: Any, trainer: Any, qtbot: Any
) -> None:
    trainer.go.clear()
    press(dock.start_button)

    qtbot.waitUntil(lambda: "epoch" in dock.progress.label.text(), timeout=10_000)

    assert dock.progress.label.text() == "Stage 1 · epoch 1 of 2 · about 65 s left"
    assert dock.progress.bar.value() == 83
    trainer.go.set()
    finish(dock)


def test_the_settings_rest_while_a_run_goes_on(
    dock: TrainDock, press: Any, finish: Any, trainer: Any
) -> None:
    trainer.go.clear()
    press(dock.start_button)

    assert not dock.fields.settings.isEnabled()
    assert not dock.start_button.isEnabled()
    trainer.go.set()
    finish(dock)
    assert dock.fields.settings.isEnabled()


def test_every_field_says_what_it_is_for(dock: TrainDock) -> None:
    tips = [
        field.line.toolTip() if hasattr(field, "line") else field.tooltip
        for field in dock.fields.by_name().values()
    ]

    assert all(len(tip) > 15 for tip in tips)
