"""What every dock has: a scrolling column, napari's theme, and an end that stops its work."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication, QFrame, QMainWindow, QScrollArea, QVBoxLayout, QWidget

from napari_utanet.adapters.regions import camera_of
from napari_utanet.controllers.lookup import Facts, FactsListener, find_facts
from napari_utanet.widgets.fields import Status
from napari_utanet.widgets.theme import Colors, colors_of
from napari_utanet.worker import Worker

WIDTH = 340
AFTER_PAINT = 100
"""Milliseconds after a dock is shown; by then it has been painted."""


class Ending(QObject):  # type: ignore[misc]
    """Stops workers once: when their dock is closed or deleted, or its window closes.

    Parameters
    ----------
    on_end
        A bound method, held weakly, that is called before the workers are stopped.
    """

    def __init__(self, workers: list[Worker], on_end: Callable[[], None]) -> None:
        super().__init__()
        self._workers = workers
        self._on_end = weakref.WeakMethod(on_end)
        self._window: weakref.ref[QMainWindow] | None = None
        self.done = False

    def watch(self, window: QMainWindow) -> None:
        """End when ``window`` is closed."""
        if self._window is None or self._window() is not window:
            window.installEventFilter(self)
            self._window = weakref.ref(window)

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Only looks; a close that the user started may still be refused, and then nothing hides."""
        closes = event.type() in (QEvent.Type.Close, QEvent.Type.Hide) and not event.spontaneous()
        if closes:
            self.end()
        return False

    def end(self) -> None:
        """Stop everything; a second call does nothing."""
        if self.done:
            return
        self.done = True
        if (on_end := self._on_end()) is not None:
            on_end()
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.shut_down()


class Dock(QScrollArea):  # type: ignore[misc]
    """A column of widgets that scrolls instead of forcing the window to grow.

    Parameters
    ----------
    viewer
        The napari viewer, for its theme.
    workers
        Names of the workers that the dock needs, beside one that looks things up.
    soon
        Modules that its work needs; see :meth:`look_up`.
    """

    controller: Any = None

    def __init__(self, viewer: Any, workers: tuple[str, ...], soon: Sequence[str]) -> None:
        super().__init__()
        self._viewer = viewer
        self._soon = soon
        self.looked_up = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(AFTER_PAINT)
        self._timer.timeout.connect(self.look_up)
        self._column = QWidget()
        self.body = QVBoxLayout(self._column)
        self.body.setContentsMargins(12, 12, 12, 12)
        self.body.setSpacing(10)
        self.setWidget(self._column)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(WIDTH)
        self.workers = {name: Worker(name) for name in (*workers, "look-up")}
        self._ending = ending = Ending(list(self.workers.values()), self._close_controller)
        self.destroyed.connect(lambda: ending.end())
        if (application := QApplication.instance()) is not None:
            application.aboutToQuit.connect(ending.end)
        viewer.events.theme.connect(self._apply_theme)
        self._moves = (camera_of(viewer).events, viewer.dims.events.current_step)
        for moves in self._moves:
            moves.connect(self._make_way)

    @property
    def ended(self) -> bool:
        """Whether it was closed."""
        return self._ending.done

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Notice being put into a window, and being taken out of it."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self._ending.end()
            else:
                self.watch_window()

    def showEvent(self, event: QEvent) -> None:  # noqa: N802
        """Notice the window; look up what is needed soon, but let the dock be painted first."""
        super().showEvent(event)
        self.watch_window()
        if not self.looked_up:
            self._timer.start()

    def look_up(self) -> None:
        """Find in the background what the lists hold, and load what the work needs; once.

        Both need torch, which takes a second to load.
        """
        if not self.looked_up:
            self.looked_up = True
            soon = self._soon
            listener = FactsListener(self.set_facts, self._not_found)
            self.workers["look-up"].start(lambda control: find_facts(control, soon), listener)

    def set_facts(self, facts: Facts) -> None:
        """Fill the lists with what was found."""
        raise NotImplementedError

    def set_status(self, text: str, *, error: bool = False) -> None:
        """The one line that says what is going on."""
        raise NotImplementedError

    def _not_found(self, message: str) -> None:
        self.set_status(message, error=True)

    def watch_window(self) -> None:
        """Look for the main window above this dock and end with it."""
        parent = self.parent()
        while parent is not None:
            if isinstance(parent, QMainWindow):
                self._ending.watch(parent)
                return
            parent = parent.parent()

    def use_colors(self, colors: Colors) -> None:
        """Follow the theme; docks with more to colour extend this."""
        for status in self.findChildren(Status):
            status.set_colors(colors)

    def _apply_theme(self, _event: object = None) -> None:
        self.use_colors(colors_of(self._viewer.theme))

    def _make_way(self, _event: object = None) -> None:
        """The view moves: whoever moves it feels each frame that comes late."""
        for worker in self.workers.values():
            worker.make_way()

    def _close_controller(self) -> None:
        self._timer.stop()
        self._viewer.events.theme.disconnect(self._apply_theme)
        for moves in self._moves:
            moves.disconnect(self._make_way)
        if self.controller is not None:
            self.controller.close()
