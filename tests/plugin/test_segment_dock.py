"""The Segment dock by its real buttons, in a real viewer, with a small engine."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import dask.array
import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_utanet.adapters.regions import camera_of
from napari_utanet.widgets.segment_dock import SegmentDock
from src_model.errors import ImageError


@pytest.fixture
def press(qtbot: Any) -> Callable[..., None]:
    """Press the big button and wait until the work has ended."""

    def press_(dock: SegmentDock, *, wait: bool = True) -> None:
        qtbot.mouseClick(dock.button, Qt.MouseButton.LeftButton)
        if wait:
            qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=10_000)

    return press_


@pytest.fixture
def dock(open_dock: Any, segmenter: Any, checkpoint: Any) -> SegmentDock:
    return open_dock(SegmentDock, engine=segmenter)


def test_segment_adds_a_mask_named_after_the_image_with_class_names_and_colours(
    viewer: Any, dock: SegmentDock, press: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei, name="tissue")

    press(dock)

    mask = viewer.layers["tissue mask"]
    assert isinstance(mask, Labels)
    assert mask.data.shape == (48, 40)
    assert list(mask.features["class"]) == ["background", "nucleus"]
    assert np.allclose(mask.get_color(1)[:3], np.array([0x11, 0x22, 0x33]) / 255, atol=0.01)
    assert dock.status.text() == "Done in 0.5 s: 9% of the image is foreground."
    assert dock.button.text() == "Segment"


def test_the_mask_and_the_probability_lie_exactly_over_a_turned_and_sheared_image(
    viewer: Any, dock: SegmentDock, press: Any
) -> None:
    affine = np.array([[1.0, 0.1, 5.0], [0.0, 1.2, -3.0], [0.0, 0.0, 1.0]])
    image = viewer.add_image(
        np.random.default_rng(0).random((32, 24)), scale=(0.5, 0.25), translate=(7, 9), rotate=30,
        shear=[0.2], affine=affine, units=("um", "um"), axis_labels=("row", "column"),
    )  # fmt: skip
    dock.probability.value = True

    press(dock)

    for name in ("Image mask", "Image probability"):
        layer = viewer.layers[name]
        assert np.allclose(layer.scale, image.scale)
        assert np.allclose(layer.translate, image.translate)
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels
        for corner in ((0, 0), (31, 23), (10, 3)):
            assert np.allclose(layer.data_to_world(corner), image.data_to_world(corner))


def test_a_second_run_updates_the_mask_instead_of_adding_another(
    viewer: Any, dock: SegmentDock, press: Any, nuclei: np.ndarray, segmenter: Any
) -> None:
    viewer.add_image(nuclei, name="tissue")
    press(dock)
    segmenter.fill = 1

    press(dock)

    assert [layer.name for layer in viewer.layers] == ["tissue", "tissue mask"]
    assert viewer.layers["tissue mask"].data.all()


def test_a_mask_that_was_painted_on_is_kept_and_a_new_one_is_added(
    viewer: Any, dock: SegmentDock, press: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei, name="tissue")
    press(dock)
    edited = viewer.layers["tissue mask"]
    edited.paint((40, 30), 5)

    press(dock)

    assert len([layer for layer in viewer.layers if isinstance(layer, Labels)]) == 2
    assert edited.data[40, 30] == 5


def test_the_button_turns_into_cancel_and_nothing_is_added(
    viewer: Any, dock: SegmentDock, press: Any, qtbot: Any, segmenter: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei)
    segmenter.go.clear()
    press(dock, wait=False)
    assert segmenter.started.wait(10)
    assert dock.button.text() == "Cancel"

    press(dock, wait=False)
    segmenter.go.set()
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=10_000)

    assert len(viewer.layers) == 1
    assert dock.status.text() == "Cancelled; no layer was changed."
    assert dock.button.text() == "Segment"


def _pan(viewer: Any) -> None:
    camera = camera_of(viewer)
    camera.center = (0.0, *(at + 3.0 for at in camera.center[-2:]))


def _zoom(viewer: Any) -> None:
    camera_of(viewer).zoom *= 1.1


def _slide(viewer: Any) -> None:
    viewer.dims.set_current_step(0, viewer.dims.current_step[0] + 1)


@pytest.mark.parametrize("move", [_pan, _zoom, _slide])
def test_the_work_makes_way_while_the_view_moves(
    viewer: Any,
    dock: SegmentDock,
    press: Any,
    segmenter: Any,
    nuclei: np.ndarray,
    move: Callable[[Any], None],
) -> None:
    viewer.add_image(np.stack([nuclei] * 9))
    segmenter.go.clear()
    press(dock, wait=False)
    assert segmenter.started.wait(10)
    before = segmenter.control.makes_way

    move(viewer)

    assert (before, segmenter.control.makes_way) == (False, True)
    segmenter.go.set()


def test_the_settings_of_the_dock_reach_the_engine(
    viewer: Any, dock: SegmentDock, press: Any, segmenter: Any, nuclei: np.ndarray, checkpoint: Any
) -> None:
    viewer.add_image(nuclei)
    dock.threshold.value = 0.31
    dock.top_k.value = 3
    dock.objects.value = True

    press(dock)

    call = segmenter.calls[0]
    assert (call["threshold"], call["top_k"], call["instances"], call["axes"]) == (0.31, 3, True, "YXC")
    assert call["checkpoint"] == checkpoint
    assert dock.status.text() == "Done in 0.5 s: 7 objects found."


def test_without_an_image_it_says_what_to_do(dock: SegmentDock, press: Any) -> None:
    press(dock)

    assert dock.status.text() == "There is no image to segment: open an image first."
    assert dock.status.is_error


def test_without_a_model_it_says_where_to_get_one(
    viewer: Any, open_dock: Any, segmenter: Any, press: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei)
    dock = open_dock(SegmentDock, engine=segmenter)

    press(dock)

    assert "train one in UTANet: Train, or open a checkpoint" in dock.status.text()
    assert segmenter.calls == []


def test_only_images_are_offered_and_not_the_results(
    viewer: Any, dock: SegmentDock, press: Any, nuclei: np.ndarray
) -> None:
    viewer.add_labels(np.ones((8, 8), int))
    viewer.add_points([[1, 2]])
    image = viewer.add_image(nuclei)
    dock.probability.value = True

    press(dock)

    assert dock.layer.choices == (str(image.unique_id),)


def test_an_error_of_the_engine_is_one_sentence_and_the_dock_can_run_again(
    viewer: Any, dock: SegmentDock, press: Any, segmenter: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei)
    segmenter.error = ImageError("The image is constant; choose another.")
    press(dock)
    assert (dock.status.text(), dock.status.is_error) == ("The image is constant; choose another.", True)

    segmenter.error = None
    press(dock)

    assert not dock.status.is_error


def test_an_unexpected_error_is_told_in_one_sentence_and_logged(
    viewer: Any, dock: SegmentDock, press: Any, segmenter: Any, nuclei: np.ndarray, caplog: Any
) -> None:
    viewer.add_image(nuclei)
    segmenter.error = ZeroDivisionError("division by zero")

    press(dock)

    assert dock.status.text() == "Unexpected error: division by zero (details are in the log)"
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("change", ["delete", "rename", "edit"])
def test_the_result_lands_although_the_layer_was_changed_while_work_ran(
    viewer: Any, dock: SegmentDock, press: Any, qtbot: Any, segmenter: Any, nuclei: np.ndarray, change: str
) -> None:
    layer = viewer.add_image(nuclei, name="tissue", scale=(2, 2))
    segmenter.go.clear()
    press(dock, wait=False)
    assert segmenter.started.wait(10)

    if change == "delete":
        viewer.layers.remove(layer)
    elif change == "rename":
        layer.name = "other"
    else:
        layer.data[:] = 0
    segmenter.go.set()
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=10_000)

    mask = viewer.layers["tissue mask"]
    assert np.allclose(mask.scale, (2, 2))
    assert mask.data[15, 10] == 1
    assert not dock.status.is_error


def test_pressing_twice_starts_one_run(
    viewer: Any, dock: SegmentDock, press: Any, qtbot: Any, segmenter: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei)
    segmenter.go.clear()

    dock.controller.run()
    dock.controller.run()
    segmenter.go.set()
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=10_000)

    assert len(segmenter.calls) == 1


def test_closing_the_viewer_ends_the_work(
    viewer: Any, dock: SegmentDock, press: Any, segmenter: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei)
    segmenter.go.clear()
    press(dock, wait=False)
    assert segmenter.started.wait(10)
    segmenter.go.set()

    viewer.close()

    assert not dock.workers["segment"].running


def test_closing_the_dock_ends_the_work_and_leaves_nothing(
    viewer: Any, open_dock: Any, checkpoint: Any, press: Any, segmenter: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei)
    dock = open_dock(SegmentDock, engine=segmenter)
    press(dock, wait=False)
    worker, gone = dock.workers["segment"], weakref.ref(dock)

    viewer.window.remove_dock_widget(dock)
    del dock
    gc.collect()

    assert not worker.running
    assert gone() is None


def test_a_stack_is_segmented_plane_by_plane_and_channels_when_asked(
    viewer: Any, dock: SegmentDock, press: Any, segmenter: Any
) -> None:
    viewer.add_image(np.random.default_rng(0).random((3, 20, 30)), name="stack", scale=(5, 2, 2))
    assert not dock.stack.native.isHidden()
    press(dock)
    dock.stack.value = "channels"

    press(dock)

    assert [call["axes"] for call in segmenter.calls] == ["ZYX", "CYX"]
    shapes = {layer.data.shape: tuple(layer.scale) for layer in viewer.layers if isinstance(layer, Labels)}
    assert shapes == {(3, 20, 30): (5, 2, 2), (20, 30): (2, 2)}


def test_a_lazy_stack_of_several_levels_is_read_at_full_resolution_in_the_background(
    viewer: Any, dock: SegmentDock, press: Any, segmenter: Any
) -> None:
    full = dask.array.from_array(np.random.default_rng(0).random((3, 64, 64)), chunks=32)
    viewer.add_image([full, full[:, ::2, ::2]], multiscale=True, name="pyramid")

    press(dock)

    assert isinstance(segmenter.calls[0]["source"], np.ndarray)
    assert viewer.layers["pyramid mask"].data.shape == (3, 64, 64)


def test_a_warning_of_the_engine_is_told_at_the_end(
    viewer: Any, dock: SegmentDock, press: Any, segmenter: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei)
    segmenter.warning = "Memory ran out; smaller tiles are used."

    press(dock)

    assert dock.status.text().endswith("foreground. Memory ran out; smaller tiles are used.")


def test_several_classes_give_one_probability_layer_each(
    viewer: Any, dock: SegmentDock, press: Any, segmenter: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei, name="tissue")
    segmenter.classes = 2
    dock.probability.value = True

    press(dock)

    names = [layer.name for layer in viewer.layers]
    assert names == ["tissue", "tissue probability nucleus", "tissue probability class 2", "tissue mask"]


def test_the_active_image_is_chosen_and_a_new_name_is_followed(
    viewer: Any, dock: SegmentDock, nuclei: np.ndarray
) -> None:
    first, second = viewer.add_image(nuclei, name="a"), viewer.add_image(nuclei, name="b")
    assert dock.layer.value == str(second.unique_id)

    viewer.layers.selection.active = first
    first.name = "renamed"

    assert dock.layer.value == str(first.unique_id)
    assert dock.layer.current_choice == "renamed"


def test_every_field_says_what_it_is_for(dock: SegmentDock) -> None:
    fields = (
        dock.layer, dock.stack, dock.checkpoint, dock.device, dock.top_k, dock.threshold, dock.objects,
        dock.probability,
    )  # fmt: skip

    assert all(len(field.tooltip) > 15 for field in fields)
