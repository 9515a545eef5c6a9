"""A button that names the chosen channels and opens a list to tick them in."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QAction, QMouseEvent, QResizeEvent
from qtpy.QtWidgets import QMenu, QPushButton, QSizePolicy

from napari_utanet.wording import listed

_ARROW = " ▾"
_PADDING = 24


class ChannelPicker(QPushButton):  # type: ignore[misc]
    """The chosen channels, counted from 0, in their order."""

    changed = Signal(object)

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.list = TickList(self)
        self._names: tuple[str, ...] = ()
        self._chosen: tuple[int, ...] = ()
        self.setToolTip(tooltip)
        self.setStyleSheet("text-align: left; padding: 3px 8px;")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.clicked.connect(self._open)
        self.list.triggered.connect(self._ticked)

    @property
    def value(self) -> tuple[int, ...]:
        """Which are chosen."""
        return self._chosen

    @value.setter
    def value(self, chosen: tuple[int, ...]) -> None:
        self._chosen = tuple(chosen)
        for number, action in enumerate(self.list.actions()):
            action.setChecked(number in self._chosen)
        self._say()

    def set_names(self, names: Sequence[str]) -> None:
        """Offer these channels."""
        self._names = tuple(names)
        self.list.clear()
        for name in names:
            action = QAction(name, self.list)
            action.setCheckable(True)
            self.list.addAction(action)
        self.value = tuple(number for number in self._chosen if number < len(names))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Shorten the names to the width."""
        super().resizeEvent(event)
        self._say()

    def _say(self) -> None:
        names = [self._names[number] for number in self._chosen if number < len(self._names)]
        text = listed(names) or "Choose channels"
        room = self.width() - _PADDING - self.fontMetrics().horizontalAdvance(_ARROW)
        self.setText(self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room) + _ARROW)
        self.setAccessibleName(f"Channels: {text}")

    def _open(self) -> None:
        self.list.popup(self.mapToGlobal(self.rect().bottomLeft()))

    def _ticked(self, _action: object) -> None:
        chosen = tuple(n for n, action in enumerate(self.list.actions()) if action.isChecked())
        if chosen != self._chosen:
            self._chosen = chosen
            self._say()
            self.changed.emit(chosen)


class TickList(QMenu):  # type: ignore[misc]
    """A menu that stays open while its entries are ticked."""

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Tick the entry and stay."""
        action = self.actionAt(event.pos())
        if action is not None and event.type() == QEvent.Type.MouseButtonRelease:
            action.trigger()
        else:
            super().mouseReleaseEvent(event)
