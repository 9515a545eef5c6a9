"""A fresh installation segments the samples at once, with the model that comes with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_utanet.samples import nuclei_fluorescence, nuclei_tissue, sample_folder
from napari_utanet.shelf import Shelf, included_models, shared_shelf
from napari_utanet.widgets.experts_dock import ExpertsDock
from napari_utanet.widgets.segment_dock import SegmentDock
from src_model.data.image_io import read_image, read_mask
from src_model.data.layouts import find_cases
from src_model.metrics.pixel import dice

INCLUDED = "Nuclei (included)"


@pytest.fixture
def fresh_dock(viewer: Any, qtbot: Any) -> Callable[[type], Any]:
    """Opens a dock as napari does after an installation, with the shelf of this installation."""

    def open_(dock_class: type) -> Any:
        dock = dock_class(viewer)
        viewer.window.add_dock_widget(dock, name=dock_class.__name__)
        dock.state.device = "cpu"
        return dock

    return open_


@pytest.fixture
def full_shelf(shelf: Shelf, checkpoint: Path, tmp_path: Path) -> Shelf:
    """The included model and one of the user's own."""
    return Shelf(tmp_path / "models.json", included_models())


def press(dock: Any, worker: str, qtbot: Any) -> None:
    qtbot.mouseClick(dock.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.workers[worker].running, timeout=60_000)


def truth_of(image: np.ndarray) -> np.ndarray:
    cases = find_cases(sample_folder() / "nuclei", split="test").cases
    return next(read_mask(case.mask) for case in cases if np.array_equal(read_image(case.image), image))


@pytest.mark.parametrize("sample", [nuclei_tissue, nuclei_fluorescence])
def test_open_a_sample_press_segment_and_get_the_nuclei(
    viewer: Any, fresh_dock: Any, qtbot: Any, sample: Callable[[], list[Any]]
) -> None:
    dock = fresh_dock(SegmentDock)
    assert dock.status.text() == "Open an image to segment it."
    for data, options, _ in sample():
        viewer.add_image(data, **options)
    assert dock.checkpoint.current_choice == INCLUDED
    assert dock.status.text() == "Ready."

    press(dock, "segment", qtbot)

    image = sample()[-1][0]
    mask = viewer.layers[-1]
    assert dice(mask.data, truth_of(image)) > 0.75
    assert list(mask.features["class"]) == ["background", "nucleus"]
    assert shared_shelf().paths == []


def test_the_experts_of_the_included_model_can_be_looked_into_at_once(
    viewer: Any, fresh_dock: Any, qtbot: Any
) -> None:
    dock = fresh_dock(ExpertsDock)
    viewer.add_image(nuclei_tissue()[-1][0], name="tissue")

    press(dock, "experts", qtbot)

    assert not dock.status.is_error, dock.status.text()
    assert dock.checkpoint.current_choice == INCLUDED
    assert len([layer for layer in viewer.layers if layer.name.startswith("tissue expert")]) == 4


@pytest.mark.parametrize("dock_class", [SegmentDock, ExpertsDock])
def test_an_own_model_is_chosen_and_the_included_one_listed_first(
    viewer: Any, full_shelf: Shelf, checkpoint: Path, dock_class: type
) -> None:
    dock = dock_class(viewer, shelf=full_shelf)
    viewer.window.add_dock_widget(dock)

    assert dock.checkpoint.choices == (*included_models(), checkpoint)
    assert dock.checkpoint.current_choice == "nuclei run"
    assert dock.state.checkpoint == checkpoint


def test_the_included_model_stays_chosen_until_another_is_trained_or_opened(
    viewer: Any, full_shelf: Shelf, checkpoint: Path, tmp_path: Path
) -> None:
    dock = SegmentDock(viewer, shelf=full_shelf)
    viewer.window.add_dock_widget(dock)
    dock.checkpoint.value = included_models()[0]
    full_shelf.changed.emit()
    assert dock.checkpoint.current_choice == INCLUDED

    newer = tmp_path / "newer.safetensors"
    newer.write_bytes(checkpoint.read_bytes())
    dock.controller.open_checkpoint(newer)

    assert dock.checkpoint.current_choice == "newer"
    assert dock.checkpoint.choices == (*included_models(), newer, checkpoint)


def test_when_an_own_model_is_deleted_the_next_one_takes_its_place(
    viewer: Any, full_shelf: Shelf, checkpoint: Path
) -> None:
    dock = SegmentDock(viewer, shelf=full_shelf)
    viewer.window.add_dock_widget(dock)

    checkpoint.unlink()
    full_shelf.changed.emit()

    assert dock.state.checkpoint == included_models()[0]
    assert dock.checkpoint.current_choice == INCLUDED


def test_where_no_model_is_included_the_dock_says_how_to_get_one(viewer: Any, shelf: Shelf) -> None:
    dock = SegmentDock(viewer, shelf=shelf)
    viewer.window.add_dock_widget(dock)

    assert dock.checkpoint.current_choice == "No model yet"
    assert dock.status.text() == "Train a model in UTANet: Train, or open a checkpoint."
