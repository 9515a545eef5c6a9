"""The table of objects: sorted at once, a row leads to its object, and all of it can be saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_slides import FakeSlides
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_utanet.adapters.object_table import ObjectTable, measure, title_of, write_csv
from napari_utanet.adapters.placement import Placement
from napari_utanet.controllers.object_table import fly_to
from napari_utanet.widgets.object_model import ObjectModel
from napari_utanet.widgets.segment_dock import SegmentDock
from src_model.errors import OutputError

PATIENCE = 60_000
"""Milliseconds after which a step counts as failed."""


def placed(scale: float = 1.0, unit: str = "pixel") -> Placement:
    layer = ViewerModel().add_image(np.zeros((4, 4)), scale=(scale, scale), units=(unit, unit))
    return Placement.of_layer(layer)


def table_of(count: int, **columns: np.ndarray) -> ObjectTable:
    """Objects of 10 x 20 pixels, each 100 pixels below the one before."""
    top = np.arange(count) * 100
    boxes = {
        "bbox_top_px": top,
        "bbox_left_px": np.full(count, 50),
        "bbox_bottom_px": top + 10,
        "bbox_right_px": np.full(count, 70),
    }
    return ObjectTable("a", {"label": np.arange(1, count + 1), **columns, **boxes}, placed(), "none")


def cells(model: ObjectModel, column: int) -> list[str]:
    return [model.data(model.index(row, column)) for row in range(model.rowCount())]


@pytest.fixture
def dock(open_dock: Any, segmenter: Any, checkpoint: Path) -> SegmentDock:
    return open_dock(SegmentDock, engine=segmenter, slides=FakeSlides().engine)


@pytest.fixture
def segmented(viewer: Any, dock: SegmentDock, nuclei: np.ndarray, qtbot: Any) -> SegmentDock:
    """An ordinary image, segmented into objects."""
    viewer.add_image(nuclei, name="tissue", scale=(0.5, 0.5), units=("um", "um"))
    dock.objects.value = True
    qtbot.mouseClick(dock.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=PATIENCE)
    return dock


def open_table(qtbot: Any, dock: SegmentDock) -> Any:
    qtbot.mouseClick(dock.objects_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.objects_dock is not None, timeout=PATIENCE)
    return dock.objects_dock


def test_titles_are_words_and_units() -> None:
    names = ["label", "class_name", "area_um2", "perimeter_px", "centroid_y_um", "mean_intensity_CD8", "odd"]

    titles = [title_of(name) for name in names]

    assert titles == ["Object", "Class", "Area (µm²)", "Perimeter (px)", "Y (µm)", "Intensity CD8", "odd"]


def test_the_model_shows_what_a_person_wants_and_sorts_by_any_column(qtbot: Any) -> None:
    model = ObjectModel()
    names = {"class": np.array([1, 2, 1]), "class_name": np.array(["b", "a", "b"])}
    model.show(table_of(3, **names, area_px=np.array([2.5, 1.25, 12345.678])))
    titles = [model.headerData(n, Qt.Orientation.Horizontal) for n in range(model.columnCount())]

    model.sort(2, Qt.SortOrder.DescendingOrder)
    by_area = (cells(model, 0), cells(model, 2))
    model.sort(1, Qt.SortOrder.AscendingOrder)

    assert titles == ["Object", "Class", "Area (px)"]
    assert by_area == (["3", "1", "2"], ["12,345.7", "2.5", "1.25"])
    assert cells(model, 1) == ["a", "b", "b"]
    assert model.row_of(model.index(0, 0)) == 1


def test_a_chosen_row_stays_chosen_when_the_table_is_sorted(qtbot: Any) -> None:
    from qtpy.QtCore import QPersistentModelIndex

    model = ObjectModel()
    model.show(table_of(4, area_px=np.array([1.0, 4.0, 2.0, 3.0])))
    kept = QPersistentModelIndex(model.index(1, 0))

    model.sort(1, Qt.SortOrder.AscendingOrder)

    assert kept.row() == 3
    assert model.row_of(model.index(kept.row(), 0)) == 1


def test_two_hundred_thousand_rows_are_not_copied(qtbot: Any) -> None:
    area = np.random.default_rng(0).random(200_000)
    model = ObjectModel()

    model.show(table_of(200_000, area_px=area))
    model.sort(1, Qt.SortOrder.AscendingOrder)

    assert model._columns[1] is area
    assert model.rowCount() == 200_000
    assert model.row_of(model.index(0, 0)) == int(area.argmin())


def test_the_camera_flies_to_an_object_and_keeps_a_useful_zoom() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5000, 5000)))
    viewer.canvas.size = (400, 600)
    camera, table = viewer.scene.camera, table_of(30)
    camera.zoom = 2.0

    fly_to(viewer, table, 3)
    kept = (camera.center, camera.zoom)
    camera.zoom = 0.01
    fly_to(viewer, table, 4)

    assert kept == ((0.0, 304.5, 59.5), 2.0)
    assert camera.center == (0.0, 404.5, 59.5)
    assert camera.zoom == pytest.approx(0.12 * 400 / 20)


def test_measures_are_micrometres_where_the_units_are_lengths() -> None:
    labels = np.zeros((20, 30), np.uint32)
    labels[2:6, 10:20] = 7
    image = np.full((20, 30, 3), 90, np.uint8)

    known = measure(labels, image, placed(0.5, "um"))
    plain = measure(labels, None, placed())

    assert (known["label"][0], known["area_um2"][0], known["mean_intensity"][0]) == (7, 10.0, 90.0)
    assert (known["centroid_y_um"][0], known["centroid_x_um"][0]) == (2.0, 7.5)
    assert (plain["area_px"][0], plain["centroid_y_px"][0], plain["bbox_right_px"][0]) == (40.0, 3.5, 20)
    assert "mean_intensity" not in plain


def test_an_ordinary_image_offers_its_objects_measured_when_they_are_wanted(
    segmented: SegmentDock, qtbot: Any, nuclei: np.ndarray
) -> None:
    offered = not segmented.objects_button.isHidden()

    table = open_table(qtbot, segmented)

    titles = [table.model.headerData(n, Qt.Orientation.Horizontal) for n in range(table.model.columnCount())]
    assert offered
    assert titles[:3] == ["Object", "Area (µm²)", "Perimeter (µm)"]
    assert "Intensity" in titles
    assert table.model.rowCount() == 1
    assert table.status.text() == "tissue: 1 object"


def test_the_table_shows_the_objects_as_they_are_painted_now(
    viewer: Any, segmented: SegmentDock, qtbot: Any
) -> None:
    viewer.layers["tissue mask"].data[40:44, 30:34] = 9

    table = open_table(qtbot, segmented)

    assert table.model.rowCount() == 2


def test_a_row_leads_to_its_object(viewer: Any, segmented: SegmentDock, qtbot: Any) -> None:
    viewer.layers["tissue mask"].data[40:44, 30:34] = 9
    table = open_table(qtbot, segmented)

    table.table.selectRow(1)

    assert viewer.layers["tissue mask"].selected_label == 9
    assert viewer.scene.camera.center == pytest.approx((0.0, 41.5 * 0.5, 31.5 * 0.5))


def test_the_table_is_saved_with_all_its_columns(
    segmented: SegmentDock, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = open_table(qtbot, segmented)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), ""))

    qtbot.mouseClick(table.save_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not table.workers["objects"].running, timeout=PATIENCE)

    lines = (tmp_path / "mine.csv").read_text().splitlines()
    assert lines[0].startswith(
        "label,area_um2,perimeter_um,eccentricity,centroid_y_um,centroid_x_um,bbox_top"
    )
    assert len(lines) == 2
    assert table.status.text() == "Saved 1 object in mine.csv."


def test_a_table_that_cannot_be_saved_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError):
        write_csv(table_of(2).columns, tmp_path / "file" / "a.csv")


def test_a_second_look_uses_the_same_dock_and_a_closed_one_is_made_anew(
    viewer: Any, segmented: SegmentDock, qtbot: Any
) -> None:
    first = open_table(qtbot, segmented)
    qtbot.mouseClick(segmented.objects_button, Qt.MouseButton.LeftButton)
    again = segmented.objects_dock

    viewer.window.remove_dock_widget(first)
    qtbot.mouseClick(segmented.objects_button, Qt.MouseButton.LeftButton)

    assert again is first
    assert segmented.objects_dock is not first
    assert not segmented.objects_dock.ended


def test_a_new_run_withdraws_the_offer(segmented: SegmentDock, qtbot: Any) -> None:
    segmented.objects.value = False

    qtbot.mouseClick(segmented.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not segmented.workers["segment"].running, timeout=PATIENCE)

    assert segmented.objects_button.isHidden()


def test_objects_that_were_deleted_are_told(viewer: Any, segmented: SegmentDock, qtbot: Any) -> None:
    viewer.layers.remove("tissue mask")

    qtbot.mouseClick(segmented.objects_button, Qt.MouseButton.LeftButton)

    assert segmented.status.text() == "The objects were deleted; segment the image again."
