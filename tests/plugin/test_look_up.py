"""A dock is painted first; what needs torch is looked up after that, and not at all once it is closed."""

import gc
from typing import Any

import pytest
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QApplication

from napari_utanet.controllers.lookup import find_facts
from napari_utanet.widgets.dock import AFTER_PAINT, Dock
from napari_utanet.widgets.experts_dock import ExpertsDock
from napari_utanet.widgets.segment_dock import SegmentDock
from napari_utanet.widgets.train_dock import TrainDock
from src_model.events import Control

every_dock = pytest.mark.parametrize("dock_class", [SegmentDock, TrainDock, ExpertsDock])


def show(dock: Dock) -> None:
    """What Qt sends to a dock that comes on the screen; the windows of these tests stay hidden."""
    QApplication.sendEvent(dock, QShowEvent())


def devices(dock: Any) -> tuple[str, ...]:
    field = dock.fields.device if isinstance(dock, TrainDock) else dock.device
    return tuple(field.choices)


@every_dock
def test_the_lists_are_filled_once_the_dock_has_been_shown(
    open_dock: Any, dock_class: type[Dock], qtbot: Any
) -> None:
    dock = open_dock(dock_class)
    before = (dock.looked_up, devices(dock))

    show(dock)

    qtbot.waitUntil(lambda: "cpu" in devices(dock), timeout=60_000)
    assert before == (False, ("auto",))


@every_dock
def test_a_dock_that_is_taken_away_at_once_looks_nothing_up(
    open_dock: Any, dock_class: type[Dock], qtbot: Any
) -> None:
    dock = open_dock(dock_class)
    show(dock)

    dock.setParent(None)

    qtbot.wait(2 * AFTER_PAINT)
    assert not dock.looked_up
    dock.deleteLater()


def test_it_is_looked_up_once(open_dock: Any, qtbot: Any) -> None:
    dock = open_dock(SegmentDock)
    dock.look_up()
    qtbot.waitUntil(lambda: not dock.workers["look-up"].running, timeout=60_000)

    dock.look_up()

    assert not dock.workers["look-up"].running


def test_python_looks_through_all_objects_then_and_not_after_the_click() -> None:
    before = gc.get_stats()[2]["collections"]

    list(find_facts(Control(), ()))

    assert gc.get_stats()[2]["collections"] > before


def test_an_error_while_looking_up_is_told(
    open_dock: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_utanet.widgets.dock.find_facts", lambda control, soon: 1 / 0)
    dock = open_dock(SegmentDock)

    dock.look_up()

    qtbot.waitUntil(lambda: dock.status.is_error, timeout=10_000)
    assert "division by zero" in dock.status.text()
