"""How far a work is: a slim bar and a line of text that cost the window next to nothing."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QRectF, Qt, QTimer
from qtpy.QtGui import QColor, QFontMetrics, QPainter
from qtpy.QtWidgets import QLabel, QProgressBar, QWidget

from napari_utanet.widgets.theme import BAR, BAR_GROUND

_HEIGHT, _GAP = 6, 4
_BUSY_MS = 500
_BUSY_PLACES = (0, 1, 2, 3, 2, 1)
"""Where the quarter that is filled lies, one after the other."""


class Bar(QProgressBar):  # type: ignore[misc]
    """A bar that is drawn together with whatever else has changed.

    Where a window has a canvas, drawing any of its widgets puts the whole window together anew. Qt's own
    bar is drawn at once whenever its value is set, and thirty times a second while it is busy without
    measure; this one moves twice a second then.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setTextVisible(False)
        self._step = 0
        self._busy = QTimer(self)
        self._busy.setInterval(_BUSY_MS)
        self._busy.timeout.connect(self._move)

    def show_value(self, done: int, total: int) -> None:
        """``total`` 0 = busy without measure."""
        self.setUpdatesEnabled(False)
        self.setRange(0, total)
        self.setValue(done)
        self.setUpdatesEnabled(True)
        if total:
            self._busy.stop()
        elif not self._busy.isActive():
            self._busy.start()

    def paintEvent(self, _event: Any) -> None:  # noqa: N802
        """The ground, and what of it is filled."""
        width, radius = self.width(), self.height() / 2
        if self.maximum():
            filled = QRectF(0, 0, width * max(self.value(), 0) / self.maximum(), self.height())
        else:
            filled = QRectF(width * _BUSY_PLACES[self._step] / 4, 0, width / 4, self.height())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(*BAR_GROUND))
        painter.drawRoundedRect(QRectF(self.rect()), radius, radius)
        if filled.width() > 0:
            painter.setBrush(QColor(BAR))
            painter.drawRoundedRect(filled, radius, radius)
        painter.end()

    def _move(self) -> None:
        self._step = (self._step + 1) % len(_BUSY_PLACES)
        self.update()


class Progress(QWidget):  # type: ignore[misc]
    """A slim bar with a line of text below it; hidden while there is nothing to show.

    Its parts are placed by hand: in a layout, each new text would have the whole dock laid out and drawn
    anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bar = Bar(self)
        self.label = QLabel(self)
        self.label.setStyleSheet("padding: 0px;")
        self.clear()

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Make room for a line of text."""
        super().showEvent(event)
        self._make_room()

    def changeEvent(self, event: Any) -> None:  # noqa: N802
        """Make room for a line of another font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._make_room()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Give both the whole width."""
        super().resizeEvent(event)
        self.bar.setGeometry(0, 0, self.width(), _HEIGHT)
        self.label.setFixedSize(self.width(), max(self.height() - _HEIGHT - _GAP, 0))
        self.label.move(0, _HEIGHT + _GAP)

    def show_progress(self, done: int, total: int, text: str) -> None:
        """``total`` 0 = busy without measure."""
        self.show()
        self.bar.show_value(done, total)
        self.label.setText(text)
        self.label.setToolTip(text)  # where the dock is too narrow for it

    def clear(self) -> None:
        """Nothing runs."""
        self.bar.show_value(0, 1)
        self.label.setText("")
        self.hide()

    def _make_room(self) -> None:
        self.setFixedHeight(_HEIGHT + _GAP + QFontMetrics(self.label.font()).height())
