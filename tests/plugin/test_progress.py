"""Showing how far a work is costs the window next to nothing."""

import time
from collections import Counter

import pytest
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_utanet.controllers.slide_listener import _Pauses
from napari_utanet.widgets.progress import Progress


class Counting(QObject):
    """Counts the events of a widget."""

    def __init__(self, widget):
        super().__init__()
        self.seen = Counter()
        widget.installEventFilter(self)

    def eventFilter(self, _watched, event):  # noqa: N802
        self.seen[event.type()] += 1
        return False

    def of(self, kind):
        return self.seen[kind]


@pytest.fixture
def column(qtbot):
    column = QWidget()
    QVBoxLayout(column).addWidget(Progress())
    column.progress = column.findChild(Progress)
    column.resize(300, 100)
    qtbot.addWidget(column)
    with qtbot.waitExposed(column):
        column.show()
    column.progress.show_progress(1, 12, "Tile 1 of 12")
    qtbot.wait(100)
    return column


def test_new_numbers_are_drawn_later_together_with_what_else_has_changed(column, qtbot):
    counting = Counting(column.progress.bar)
    column.progress.show_progress(2, 12, "Tile 2 of 12")
    at_once = counting.of(QEvent.Type.Paint)
    qtbot.waitUntil(lambda: counting.of(QEvent.Type.Paint) > 0)
    qtbot.wait(50)

    assert at_once == 0
    assert counting.of(QEvent.Type.Paint) == 1


def test_a_new_text_does_not_have_the_dock_laid_out_anew(column, qtbot):
    counting = Counting(column)
    column.progress.show_progress(2, 12, "A text of quite another length")
    qtbot.wait(50)

    assert counting.of(QEvent.Type.LayoutRequest) == 0
    assert column.progress.label.text() == "A text of quite another length"


def test_a_bar_without_measure_moves_calmly_until_there_is_one(column, qtbot):
    bar = column.progress.bar
    column.progress.show_progress(0, 0, "")
    before = bar.grab().toImage()
    qtbot.waitUntil(lambda: bar.grab().toImage() != before)
    column.progress.show_progress(3, 12, "")
    filled = bar.grab().toImage()

    assert filled.pixelColor(2, 3) != filled.pixelColor(bar.width() - 3, 3)
    counting = Counting(bar)
    qtbot.wait(700)
    assert counting.of(QEvent.Type.Paint) <= 1


def test_the_longest_time_that_the_window_was_held_up_is_told(qtbot):
    told = []
    pauses = _Pauses(told.append)
    QTimer.singleShot(20, lambda: time.sleep(0.06))
    pauses.watch()
    qtbot.waitUntil(lambda: bool(told))

    assert len(told) == 1
    assert told[0] >= 50
