"""Whole slides in the Segment dock, by its real buttons, in a real viewer, with a small engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_slides import FakeSlides
from made_slides import pyramid, write_pyramid, write_qptiff, write_svs
from napari.layers import Labels, Shapes
from qtpy.QtCore import Qt
from safetensors.numpy import save_file

from napari_utanet.widgets.segment_dock import SegmentDock
from src_model.config import ClassInfo, Normalisation
from src_model.errors import ImageError
from src_model.models.header import CheckpointInfo

PATIENCE = 60_000
"""Milliseconds after which a step counts as failed."""


def stained() -> np.ndarray:
    """(300, 420, 3) uint8: white glass with a dark piece of tissue in the middle."""
    image = np.full((300, 420, 3), 240, np.uint8)
    image[100:200, 120:300] = 40
    return image


def write_model(path: Path, *, channels: int = 3, size: float | None = None, stage: int = 2) -> Path:
    """A checkpoint with a description but no network."""
    info = CheckpointInfo(
        config={"name": "utanet", "num_classes": 1, "in_channels": channels, "stage": stage},
        classes=(ClassInfo(name="nucleus", color="#112233"),),
        normalisation=Normalisation(), pixel_size_um=size, history=(), versions={}, training={},
    )  # fmt: skip
    save_file({"weight": np.zeros(1, np.float32)}, path, metadata=info.to_metadata())
    return path


@pytest.fixture
def slides(tmp_path: Path) -> FakeSlides:
    return FakeSlides()


@pytest.fixture
def dock(open_dock: Any, segmenter: Any, slides: FakeSlides, checkpoint: Path) -> SegmentDock:
    return open_dock(SegmentDock, engine=segmenter, slides=slides.engine)


@pytest.fixture
def press(qtbot: Any) -> Callable[..., None]:
    """Press the big button and wait until the work has ended."""

    def press_(dock: SegmentDock, *, wait: bool = True) -> None:
        qtbot.mouseClick(dock.button, Qt.MouseButton.LeftButton)
        if wait:
            qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=PATIENCE)

    return press_


@pytest.fixture
def slide(tmp_path: Path, viewer: Any) -> Any:
    """A slide of three levels, opened by our reader."""
    path = write_svs(tmp_path / "a case.svs", pyramid(stained(), 3))
    return viewer.open(str(path), plugin="napari-utanet")[0]


def add_pyramid(viewer: Any, image: np.ndarray | None = None, **options: Any) -> Any:
    """A pyramid that another reader opened."""
    return viewer.add_image(pyramid(stained() if image is None else image, 3), multiscale=True, **options)


def find_tissue(qtbot: Any, dock: SegmentDock) -> None:
    qtbot.mouseClick(dock.slide.tissue_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.workers["slide"].running, timeout=PATIENCE)


def shown(widget: Any) -> bool:
    """Whether a field is offered, whatever the window does."""
    return not widget.isHidden()


def test_the_fields_of_a_slide_appear_for_slides_only(
    viewer: Any, dock: SegmentDock, slide: Any, nuclei: np.ndarray
) -> None:
    assert shown(dock.slide)
    assert not shown(dock.probability.native)

    viewer.add_image(nuclei)

    assert not shown(dock.slide)
    assert shown(dock.probability.native)


def test_a_slide_gives_a_mask_of_several_levels_exactly_over_it(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, tmp_path: Path
) -> None:
    slide.translate, slide.rotate = (30, -7), 20

    press(dock)

    mask = viewer.layers["a case mask"]
    assert isinstance(mask, Labels)
    assert mask.multiscale
    assert (tmp_path / "a case_mask.ome.zarr").is_dir()
    np.testing.assert_array_equal(np.asarray(mask.data[0]), stained()[::2, ::2, 0] < 128)
    assert [level.shape for level in mask.data] == [(150, 210), (75, 105), (38, 53)]
    assert np.asarray(mask.data[-1]).mean() == pytest.approx(np.asarray(mask.data[0]).mean(), abs=0.02)
    assert np.allclose(mask.scale, 2 * np.asarray(slide.scale))
    assert np.allclose(mask.data_to_world((-0.5, -0.5)), slide.data_to_world((-0.5, -0.5)))
    assert np.allclose(mask.data_to_world((149.5, 209.5)), slide.data_to_world((299.5, 419.5)))
    assert mask.units == slide.units
    assert list(mask.features["class"]) == ["background", "nucleus"]
    assert np.allclose(mask.get_color(1)[:3], np.array([0x11, 0x22, 0x33]) / 255, atol=0.01)
    assert dock.status.text() == "Done in 3.0 s: 25% of the area is foreground."
    assert slides.threads[0].startswith("utanet-segment")


def test_the_settings_of_the_dock_reach_the_engine_of_slides(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, tmp_path: Path
) -> None:
    dock.threshold.value, dock.top_k.value = 0.31, 3
    dock.slide.pixel_size.spin.setValue(1.5)
    dock.slide.routing.value = "slide"
    dock.slide.out.value = tmp_path / "results"
    viewer.scene.camera.center = (0.0, 100 * 0.499, 200 * 0.499)

    press(dock)

    call = slides.calls[0]
    assert (call["threshold"], call["top_k"], call["device"]) == (0.31, 3, "auto")
    assert (call["pixel_size_um"], call["slide_pixel_size_um"]) == (1.5, None)
    assert (call["routing"], call["out"]) == ("slide", tmp_path / "results")
    assert (call["region"], call["tissue"], call["channels"], call["objects"]) == (None, None, None, False)
    assert call["focus"] == pytest.approx((100.5, 200.5))
    assert call["slide"].path == tmp_path / "a case.svs"
    assert (tmp_path / "results" / "a case_mask.ome.zarr").is_dir()


def test_untouched_fields_leave_the_choice_to_the_engine(
    dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any
) -> None:
    press(dock)

    call = slides.calls[0]
    assert (call["pixel_size_um"], call["routing"], call["out"], call["top_k"]) == (None, None, None, None)


def test_what_happens_before_the_tiles_is_told_until_they_come(
    dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any
) -> None:
    slides.go.clear()
    press(dock, wait=False)
    qtbot.waitUntil(lambda: "Choosing" in dock.status.text(), timeout=PATIENCE)

    slides.steps = threading.Semaphore(1)
    slides.go.set()
    qtbot.waitUntil(lambda: dock.status.text().startswith("Segmenting a case on cpu"), timeout=PATIENCE)

    slides.steps.release(100)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=PATIENCE)


def test_the_mask_grows_while_it_works_and_tells_what_it_needs(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any
) -> None:
    slides.steps = threading.Semaphore(5)
    press(dock, wait=False)
    qtbot.waitUntil(lambda: dock.progress.bar.value() == 5, timeout=PATIENCE)
    mask = viewer.layers["a case mask"]

    early = np.asarray(mask.data[0]).sum()
    told = dock.status.text()
    slides.steps.release(100)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=PATIENCE)

    assert told == "Segmenting a case on cpu: 12 tiles, about 1.2 GB of memory and 34 MB on disk."
    assert 0 < early < np.asarray(mask.data[0]).sum()
    assert mask is viewer.layers["a case mask"]


def test_the_progress_tells_tiles_and_time(
    dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any
) -> None:
    slides.steps = threading.Semaphore(3)
    press(dock, wait=False)
    qtbot.waitUntil(lambda: dock.progress.bar.value() == 3, timeout=PATIENCE)

    assert dock.progress.bar.maximum() == 12
    assert dock.progress.label.text() == "Tile 3 of 12 · about 65 s left"
    slides.steps.release(100)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=PATIENCE)


def test_the_layer_is_drawn_anew_at_most_five_times_a_second(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    drawn: list[float] = []
    original = Labels.refresh

    def refresh(self: Any, *arguments: Any, **options: Any) -> None:
        if self.name == "a case mask":
            drawn.append(time.monotonic())
        original(self, *arguments, **options)

    slides.go.clear()
    press(dock, wait=False)
    qtbot.waitUntil(lambda: "a case mask" in viewer.layers, timeout=PATIENCE)
    monkeypatch.setattr(Labels, "refresh", refresh)

    slides.go.set()
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=PATIENCE)

    assert len(drawn) <= 2 + (drawn[-1] - drawn[0]) / 0.19


def test_cancel_gives_the_button_back_and_segment_goes_on_from_there(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any
) -> None:
    slides.steps = threading.Semaphore(4)
    press(dock, wait=False)
    qtbot.waitUntil(lambda: dock.progress.bar.value() == 4, timeout=PATIENCE)

    press(dock, wait=False)
    cancelling = (dock.status.text(), dock.button.isEnabled())
    slides.steps.release(100)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=PATIENCE)
    stopped = dock.status.text()
    press(dock)

    assert cancelling == ("Cancelling…", False)
    assert stopped == "Stopped at tile 4 of 12; Segment goes on from there."
    assert (dock.button.text(), dock.button.isEnabled()) == ("Segment", True)
    assert [layer.name for layer in viewer.layers] == ["a case", "a case mask"]
    mask = viewer.layers["a case mask"]
    np.testing.assert_array_equal(np.asarray(mask.data[0]), stained()[::2, ::2, 0] < 128)
    assert dock.status.text().startswith("Done in")


def test_an_error_is_told_and_the_dock_can_run_again(
    dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any
) -> None:
    slides.error = ImageError("The slide is constant; choose another.")
    press(dock)
    said = (dock.status.text(), dock.status.is_error)

    slides.error = None
    press(dock)

    assert said == ("The slide is constant; choose another.", True)
    assert not dock.status.is_error


def test_damaged_pieces_are_told_and_framed(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any
) -> None:
    slides.damaged = ((64, 128, 64, 64),)
    slides.warning = "One tile is broken."

    press(dock)
    press(dock)

    frames = viewer.layers["a case damaged"]
    assert isinstance(frames, Shapes)
    assert len(frames.data) == 1
    assert np.allclose(frames.data_to_world(frames.data[0][0]), slide.data_to_world((127.5, 255.5)))
    assert dock.status.text().endswith("One tile is broken. Red frames show what could not be decoded.")
    assert [layer.name for layer in viewer.layers].count("a case damaged") == 1


def test_objects_come_as_a_second_layer_with_their_table(
    viewer: Any, dock: SegmentDock, slide: Any, press: Any
) -> None:
    dock.objects.value = True

    press(dock)

    objects = viewer.layers["a case objects"]
    assert objects.data[0].dtype == np.uint32
    assert list(objects.features["index"]) == [1, 2]
    assert list(objects.features["area_um2"]) == [40.0, 20.0]
    assert not viewer.layers["a case mask"].visible
    assert dock.status.text() == "Done in 3.0 s: 2 objects, 25% of the area is foreground."
    assert shown(dock.objects_button)


def test_the_result_lands_although_the_slide_was_deleted_while_work_ran(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any
) -> None:
    slides.go.clear()
    press(dock, wait=False)
    assert slides.begun.wait(60)

    viewer.layers.remove(slide)
    slides.go.set()
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=PATIENCE)

    assert "a case mask" in viewer.layers
    assert not dock.status.is_error


def test_a_mask_deleted_while_work_runs_stays_deleted(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any
) -> None:
    slides.steps = threading.Semaphore(2)
    press(dock, wait=False)
    qtbot.waitUntil(lambda: dock.progress.bar.value() == 2, timeout=PATIENCE)

    viewer.layers.remove("a case mask")
    slides.steps.release(100)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=PATIENCE)

    assert [layer.name for layer in viewer.layers] == ["a case"]
    assert not dock.status.is_error


# --- pixel size ---


def test_the_size_of_a_pixel_is_the_models_else_the_slides(
    dock: SegmentDock, slide: Any, shelf: Any, tmp_path: Path
) -> None:
    field = dock.slide.pixel_size
    own = (field.spin.value(), field.source.text(), shown(dock.slide.slide_pixel_size))

    shelf.add(write_model(tmp_path / "half.safetensors", size=0.5))

    assert own == (0.499, "the slide's", False)
    assert (field.spin.value(), field.source.text(), field.value) == (0.5, "the model's", None)


def test_a_changed_size_goes_back_to_the_default_when_it_is_cleared(dock: SegmentDock, slide: Any) -> None:
    field = dock.slide.pixel_size
    field.spin.setValue(1.0)
    changed = (dock.slide_state.pixel_size_um, field.source.text())

    field.spin.setValue(0.0)

    assert changed == (1.0, "chosen here")
    assert dock.slide_state.pixel_size_um is None
    assert field.spin.value() == 0.499


def test_an_unknown_size_is_asked_once_and_remembered(
    viewer: Any, dock: SegmentDock, slides: FakeSlides, press: Any, tmp_path: Path
) -> None:
    path = write_pyramid(tmp_path / "plain.tif", pyramid(stained(), 2))
    (layer,) = viewer.open(str(path), plugin="napari-utanet")
    asked = (
        shown(dock.slide.slide_pixel_size),
        dock.slide.pixel_size.spin.isEnabled(),
        dock.slide.note.text(),
    )

    dock.slide.slide_pixel_size.spin.setValue(0.25)
    after = (dock.slide.pixel_size.spin.value(), dock.slide.note.text())
    other = add_pyramid(viewer)
    elsewhere = dock.slide.slide_pixel_size.value
    viewer.layers.selection.active = layer
    press(dock)

    assert asked[:2] == (True, False)
    assert "does not tell how large its pixels are" in asked[2]
    assert after == (0.25, "")
    assert elsewhere is None
    assert other is not layer
    assert slides.calls[0]["slide_pixel_size_um"] == 0.25
    assert dock.slide.slide_pixel_size.value == 0.25


def test_an_unknown_size_may_stay_unknown(
    viewer: Any, dock: SegmentDock, slides: FakeSlides, press: Any, tmp_path: Path
) -> None:
    slides.folder = tmp_path
    add_pyramid(viewer, name="theirs")

    press(dock)

    call = slides.calls[0]
    assert (call["slide_pixel_size_um"], call["pixel_size_um"]) == (None, None)
    assert not dock.status.is_error


# --- region ---


def test_the_region_in_view_is_a_polygon(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any
) -> None:
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0.0, 50.0, 60.0), 20.0
    dock.slide.region.value = "view"

    press(dock)

    (polygon,) = slides.calls[0]["region"]
    assert polygon.shape == (4, 2)
    assert np.allclose(polygon.mean(axis=0), np.array([50, 60]) / 0.499 + 0.5)


def test_a_layer_of_shapes_is_offered_as_region_and_read_when_segment_is_pressed(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any
) -> None:
    drawn = viewer.add_shapes(
        [[[0, 0], [0, 10], [10, 10], [10, 0]]], scale=(0.499, 0.499), units=("um", "um"), name="tumour"
    )
    viewer.layers.selection.active = slide
    offered = dock.slide.region.choices
    dock.slide.region.value = str(drawn.unique_id)
    drawn.add_rectangles([[20, 20], [30, 40]])

    press(dock)

    assert offered == ("whole", "view", str(drawn.unique_id))
    polygons = slides.calls[0]["region"]
    assert np.allclose(polygons[0], np.array([[0, 0], [0, 10], [10, 10], [10, 0]]) + 0.5)
    assert len(polygons) == 2


def test_an_empty_region_is_refused_before_anything_starts(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any
) -> None:
    drawn = viewer.add_shapes(name="nothing yet", ndim=2)
    viewer.layers.selection.active = slide
    dock.slide.region.value = str(drawn.unique_id)

    press(dock)

    assert dock.status.text().startswith("Nothing is drawn on 'nothing yet'")
    assert slides.calls == []


def test_without_its_layer_the_region_is_the_whole_slide_again(
    viewer: Any, dock: SegmentDock, slide: Any
) -> None:
    drawn = viewer.add_shapes(name="tumour", ndim=2)
    dock.slide.region.value = str(drawn.unique_id)

    viewer.layers.remove(drawn)

    assert dock.slide_state.region == "whole"


# --- tissue ---


def test_show_tissue_adds_a_layer_over_the_slide(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, qtbot: Any
) -> None:
    hidden = not shown(dock.slide.tissue_threshold)

    find_tissue(qtbot, dock)

    layer = viewer.layers["a case tissue"]
    assert hidden
    assert slides.searched == [None]
    np.testing.assert_array_equal(layer.data, stained()[::4, ::4, 0] < 128)
    assert list(layer.colormap.map(np.array([0, 1]))[:, 3]) == [1, 0]
    assert np.allclose(layer.data_to_world((-0.5, -0.5)), slide.data_to_world((-0.5, -0.5)))
    assert dock.slide.tissue.value
    assert shown(dock.slide.tissue_threshold)
    assert dock.slide.tissue_threshold.value == 0.5
    assert dock.status.text().startswith("14% of the slide is tissue, the rest is veiled.")


def test_the_threshold_moves_the_tissue_without_a_second_look(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, qtbot: Any
) -> None:
    find_tissue(qtbot, dock)
    layer = viewer.layers["a case tissue"]

    for value in (0.3, 0.2, 0.02):
        dock.slide.tissue_threshold.slider.value = value
    qtbot.waitUntil(lambda: bool(layer.data.all()), timeout=PATIENCE)
    qtbot.waitUntil(lambda: not dock.workers["slide"].running, timeout=PATIENCE)

    assert slides.searched == [None]
    assert viewer.layers["a case tissue"] is layer


def test_what_was_painted_stays_when_the_threshold_moves(
    viewer: Any, dock: SegmentDock, slide: Any, qtbot: Any
) -> None:
    find_tissue(qtbot, dock)
    layer = viewer.layers["a case tissue"]
    layer.data[2, 3], layer.data[30, 40] = 1, 0
    before = layer.data

    dock.slide.tissue_threshold.slider.value = 0.7
    qtbot.waitUntil(lambda: layer.data is not before, timeout=PATIENCE)
    qtbot.waitUntil(lambda: not dock.workers["slide"].running, timeout=PATIENCE)

    assert (layer.data[2, 3], layer.data[30, 40], layer.data[30, 41]) == (1, 0, 1)


def test_the_tissue_is_taken_as_the_layer_shows_it(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any
) -> None:
    find_tissue(qtbot, dock)
    viewer.layers["a case tissue"].data[:20] = 1

    press(dock)

    tissue = slides.calls[0]["tissue"]
    assert tissue.mask[:20].all()
    assert tissue.mask.dtype == bool
    assert slides.searched == [None]


def test_tissue_that_was_not_shown_is_found_and_shown_by_segment(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any
) -> None:
    dock.slide.tissue.value = True

    press(dock)

    assert slides.searched == [None]
    assert not viewer.layers["a case tissue"].visible  # the mask is to be seen now
    assert slides.calls[0]["tissue"].mask.any()


def test_without_the_tick_the_tissue_layer_does_not_count(
    dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any
) -> None:
    find_tissue(qtbot, dock)
    dock.slide.tissue.value = False

    press(dock)

    assert slides.calls[0]["tissue"] is None


def test_an_emptied_tissue_layer_is_refused(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any
) -> None:
    find_tissue(qtbot, dock)
    viewer.layers["a case tissue"].data[:] = 0

    press(dock)

    assert "shows no tissue" in dock.status.text()
    assert slides.calls == []


# --- channels ---


@pytest.fixture
def channels(tmp_path: Path, viewer: Any) -> list[Any]:
    """Four 16-bit channels, one layer each."""
    image = np.stack([stained()[..., 0].astype(np.uint16) * (n + 1) for n in range(4)], axis=-1)
    path = write_qptiff(tmp_path / "many.qptiff", pyramid(image, 2), ["DAPI", "CD3", "CD8", "Ki67"])
    return viewer.open(str(path), plugin="napari-utanet")


def test_the_channel_of_the_chosen_layer_is_seen_as_grey(
    viewer: Any, dock: SegmentDock, channels: list[Any], slides: FakeSlides, press: Any
) -> None:
    viewer.layers.selection.active = channels[2]
    told = dock.slide.note.text()

    press(dock)

    assert slides.calls[0]["channels"] == (2,)
    assert told == "This model knows colours: it sees CD8 as grey, its 16-bit values stretched."
    assert "many mask" in viewer.layers


def test_three_channels_are_ticked_in_a_list_that_stays_open(
    viewer: Any, dock: SegmentDock, channels: list[Any], slides: FakeSlides, press: Any
) -> None:
    viewer.layers.selection.active = channels[0]
    for action in dock.slide.channels.list.actions()[1:3]:
        action.trigger()

    press(dock)

    assert slides.calls[0]["channels"] == (0, 1, 2)
    assert "sees DAPI, CD3 and CD8 as red, green and blue" in dock.slide.note.text()


def test_a_number_of_channels_that_does_not_fit_is_refused(
    viewer: Any, dock: SegmentDock, channels: list[Any], slides: FakeSlides, press: Any
) -> None:
    viewer.layers.selection.active = channels[0]
    dock.slide.channels.list.actions()[1].trigger()

    press(dock)

    assert dock.status.text().startswith("The model sees 3 channels but 2 are chosen")
    assert slides.calls == []


def test_a_model_of_all_channels_sees_them_all(
    viewer: Any, dock: SegmentDock, channels: list[Any], shelf: Any, tmp_path: Path
) -> None:
    viewer.layers.selection.active = channels[1]

    shelf.add(write_model(tmp_path / "four.safetensors", channels=4))

    assert dock.slide_state.channels == (0, 1, 2, 3)
    assert dock.slide.note.text() == ""


def test_a_slide_in_colours_offers_no_channels(dock: SegmentDock, slide: Any) -> None:
    assert not shown(dock.slide.channels)
    assert dock.slide.note.text() == ""


# --- other readers, folders, pictures, routing ---


def test_a_pyramid_of_another_reader_is_segmented_beside_its_file(
    viewer: Any, dock: SegmentDock, slides: FakeSlides, press: Any, tmp_path: Path
) -> None:
    slides.folder = None
    layer = add_pyramid(viewer, name="theirs", scale=(0.5, 0.5), units=("um", "um"))
    default = dock.slide.out.line.placeholderText()

    press(dock)

    call = slides.calls[0]
    assert default == "In the results folder"
    assert call["out"] == tmp_path / "data" / "napari-utanet" / "slides"
    assert call["slide"].pixel_size_um == (0.5, 0.5)
    assert np.allclose(viewer.layers["theirs mask"].scale, 2 * np.asarray(layer.scale))


def test_the_pictures_of_the_file_open_beside_the_slide(
    viewer: Any, dock: SegmentDock, slide: Any, qtbot: Any
) -> None:
    names = [action.text() for action in dock.slide.menu.actions()]

    for action in dock.slide.menu.actions()[1:]:
        action.trigger()
        qtbot.waitUntil(lambda: not dock.workers["slide"].running, timeout=PATIENCE)

    label, macro = viewer.layers["a case label"], viewer.layers["a case macro"]
    assert names == ["Thumbnail", "Label", "Macro"]
    assert label.rgb
    assert label.extent.world[0, 1] > slide.extent.world[1, 1]
    assert macro.extent.world[0, 1] > label.extent.world[1, 1]
    height = np.diff(label.extent.world[:, 0]) / np.diff(slide.extent.world[:, 0])
    assert 0.9 < float(height[0]) <= 1.0
    assert str(slide.unique_id) == dock.state.layer


def test_a_model_without_experts_is_not_asked_how_to_choose_them(
    dock: SegmentDock, slide: Any, shelf: Any, tmp_path: Path, press: Any, slides: FakeSlides
) -> None:
    dock.slide.routing.value = "slide"
    shelf.add(write_model(tmp_path / "plain.safetensors", stage=1))

    press(dock)

    assert not shown(dock.slide.routing.native)
    assert slides.calls[0]["routing"] is None


def test_every_field_of_a_slide_says_what_it_is_for(dock: SegmentDock) -> None:
    fields = dock.slide

    tips = [
        fields.slide_pixel_size.toolTip(), fields.pixel_size.toolTip(), fields.region.tooltip,
        fields.tissue.tooltip, fields.tissue_button.toolTip(), fields.tissue_threshold.toolTip(),
        fields.channels.toolTip(), fields.routing.tooltip, fields.out.line.toolTip(),
        fields.pictures.toolTip(),
    ]  # fmt: skip

    assert all(len(tip) > 15 for tip in tips)


def test_show_tissue_shows_a_layer_that_was_hidden(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, qtbot: Any
) -> None:
    find_tissue(qtbot, dock)
    viewer.layers["a case tissue"].visible = False

    find_tissue(qtbot, dock)

    assert viewer.layers["a case tissue"].visible
    assert slides.searched == [None]


def test_another_job_hides_the_mask_of_the_one_before(
    viewer: Any, dock: SegmentDock, slide: Any, press: Any, tmp_path: Path
) -> None:
    press(dock)
    first = viewer.layers["a case mask"]
    dock.slide.out.value = tmp_path / "other"

    press(dock)

    masks = [layer for layer in viewer.layers if layer.name.startswith("a case mask")]
    assert [layer.visible for layer in masks] == [False, True]
    assert masks[0] is first


def test_closing_the_viewer_ends_the_work_on_a_slide(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any
) -> None:
    slides.steps = threading.Semaphore(2)
    press(dock, wait=False)
    qtbot.waitUntil(lambda: dock.progress.bar.value() == 2, timeout=PATIENCE)
    slides.steps.release(100)

    viewer.close()

    assert not dock.workers["segment"].running


def test_a_mask_that_was_opened_from_the_disk_goes_on_growing(
    viewer: Any, dock: SegmentDock, slide: Any, slides: FakeSlides, press: Any, qtbot: Any, tmp_path: Path
) -> None:
    slides.steps = threading.Semaphore(4)
    press(dock, wait=False)
    qtbot.waitUntil(lambda: dock.progress.bar.value() == 4, timeout=PATIENCE)
    press(dock, wait=False)
    slides.steps.release(100)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=PATIENCE)
    viewer.layers.remove("a case mask")
    (restored,) = viewer.open(str(tmp_path / "a case_mask.ome.zarr"), plugin="napari-utanet")
    viewer.layers.selection.active = slide

    press(dock)

    assert [layer for layer in viewer.layers if isinstance(layer, Labels)] == [restored]
    np.testing.assert_array_equal(np.asarray(restored.data[0]), stained()[::2, ::2, 0] < 128)
