"""Numbered objects of a slide that are opened again: their table comes along, and leads to each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_slides import CHUNK, TABLE, FakeSlides
from napari.layers import Labels
from napari.utils import notifications
from qtpy.QtCore import Qt

from napari_utanet.adapters.object_table import table_of_layer
from napari_utanet.adapters.slide_results import _as_features
from napari_utanet.widgets.segment_dock import SegmentDock
from src_model.data.label_pyramid import LabelPyramid
from src_model.inference.slides.table import read_table
from src_model.tiling.plan import Box

ROWS = 200_000


def write_objects(folder: Path, name: str = "a", table: str | None = TABLE) -> Path:
    """Two objects at half the resolution of a slide of 0.5 micrometres that is gone."""
    path = folder / f"{name}_objects.ome.zarr"
    made = LabelPyramid.create(
        path, (150, 210), chunk=CHUNK, dtype=np.uint32, scale=(2.0, 2.0), pixel_size_um=1.0
    )
    values = np.zeros((150, 210), np.uint32)
    values[:20, :10], values[40:50, 10:30] = 1, 2
    made.write(Box(0, 0, 150, 210), values)
    made.finish()
    if table is not None:
        (folder / f"{name}_objects.csv").write_text(table)
    return path


def open_(viewer: Any, path: Path) -> Labels:
    return viewer.open(str(path), plugin="napari-utanet")[0]


@pytest.fixture
def new_dock(open_dock: Any, segmenter: Any, checkpoint: Path) -> Any:
    return lambda: open_dock(SegmentDock, engine=segmenter, slides=FakeSlides().engine)


def open_table(qtbot: Any, dock: SegmentDock) -> Any:
    qtbot.mouseClick(dock.objects_button, Qt.MouseButton.LeftButton)
    return dock.objects_dock


@pytest.mark.parametrize("dock_is_open", [True, False])
def test_a_row_leads_to_its_object_as_after_a_segmentation(
    viewer: Any, new_dock: Any, qtbot: Any, tmp_path: Path, dock_is_open: bool
) -> None:
    dock = new_dock() if dock_is_open else None
    objects = open_(viewer, write_objects(tmp_path))
    dock = dock or new_dock()
    offered = not dock.objects_button.isHidden()

    table = open_table(qtbot, dock)
    table.table.selectRow(1)

    titles = [table.model.headerData(n, Qt.Orientation.Horizontal) for n in range(table.model.columnCount())]
    assert offered
    assert list(objects.features["area_um2"]) == [40.0, 20.0]
    assert titles == ["Object", "Class", "Area (µm²)", "Confidence"]
    assert table.status.text() == "a: 2 objects"
    assert objects.selected_label == 2
    middle = np.array([45.0, 20.0]) - 0.5
    assert viewer.scene.camera.center[1:] == pytest.approx(tuple(objects.data_to_world(middle)))


def test_without_the_table_there_are_just_the_labels(viewer: Any, new_dock: Any, tmp_path: Path) -> None:
    dock = new_dock()

    objects = open_(viewer, write_objects(tmp_path, table=None))

    assert isinstance(objects, Labels)
    assert list(objects.features.columns) == ["index"]
    assert dock.objects_button.isHidden()


def test_a_damaged_table_is_told_and_the_labels_open_all_the_same(
    viewer: Any, new_dock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(notifications, "show_warning", told.append)
    dock = new_dock()

    objects = open_(viewer, write_objects(tmp_path, table=TABLE.replace("40,0", "forty,0")))

    assert isinstance(objects, Labels)
    assert "a_objects.csv cannot be read as a table of objects" in told[0]
    assert dock.objects_button.isHidden()


def test_the_table_is_that_of_the_chosen_layer(
    viewer: Any, new_dock: Any, qtbot: Any, tmp_path: Path
) -> None:
    dock = new_dock()
    first = open_(viewer, write_objects(tmp_path, "a"))
    open_(viewer, write_objects(tmp_path, "b", "".join(TABLE.splitlines(keepends=True)[:2])))
    newest = open_table(qtbot, dock).status.text()

    viewer.layers.selection.active = first
    chosen = open_table(qtbot, dock).status.text()

    assert (newest, chosen) == ("b: 1 object", "a: 2 objects")


def test_objects_that_were_closed_again_are_told(
    viewer: Any, new_dock: Any, qtbot: Any, tmp_path: Path
) -> None:
    dock = new_dock()
    viewer.layers.remove(open_(viewer, write_objects(tmp_path)))

    qtbot.mouseClick(dock.objects_button, Qt.MouseButton.LeftButton)

    assert dock.status.text() == "The objects were deleted; open them again."
    assert dock.objects_dock is None


def test_two_hundred_thousand_objects_keep_their_columns(tmp_path: Path) -> None:
    head, row = TABLE.splitlines()[:2]
    rest = row.partition(",")[2]
    path = tmp_path / "a_objects.csv"
    path.write_text("\n".join([head, *(f"{number},{rest}" for number in range(1, ROWS + 1))]) + "\n")
    columns = read_table(path)
    metadata = {"napari-utanet": {"role": "slide objects", "source": "a"}}
    layer = Labels(np.zeros((4, 4), np.uint32), features=_as_features(columns), metadata=metadata)

    table = table_of_layer(layer)

    assert len(table) == ROWS
    assert list(table.columns) == list(columns)
    for name, values in columns.items():
        assert table.columns[name].dtype.kind == values.dtype.kind
        np.testing.assert_array_equal(table.columns[name], values)
