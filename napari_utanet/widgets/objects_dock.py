"""The dock with the table of objects: sort by any column, click a row to look at its object, save as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QModelIndex, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDockWidget,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableView,
)

from napari_utanet.adapters.object_table import ObjectTable
from napari_utanet.controllers.lookup import Facts
from napari_utanet.controllers.object_table import ObjectsController
from napari_utanet.widgets.dock import Dock
from napari_utanet.widgets.fields import Status
from napari_utanet.widgets.object_model import ObjectModel
from napari_utanet.widgets.theme import SMALL

NAME = "UTANet: Objects"
_ROW_HEIGHT = 24
_COLUMN_WIDTH = 112
_LEAST_HEIGHT = 150
_ROOM_FOR_ARROW = "QHeaderView::section { padding-right: 14px; }"
"""Where the heading tells that the table is sorted by it."""


class ObjectsDock(Dock):
    """Obeys setters and emits signals; its controller decides."""

    row_chosen = Signal(int)
    path_chosen = Signal(object)

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, ("objects",), ())
        self.looked_up = True  # there is nothing to look up
        self.model = ObjectModel()
        self.table = QTableView()
        self.save_button = QPushButton("Save CSV…")
        self.status = Status()
        self._lay_out()
        self.table.setModel(self.model)
        self.table.selectionModel().currentRowChanged.connect(self._chosen)
        self.table.clicked.connect(self._chosen)
        self.save_button.clicked.connect(self._browse)
        self._title = ""
        self._apply_theme()
        self.controller = ObjectsController(viewer, self, self.workers["objects"])

    def set_table(self, table: ObjectTable) -> None:
        """Show these objects."""
        self._title = table.title
        self.model.show(table)
        self.table.horizontalHeader().setSortIndicator(-1, self.table.horizontalHeader().sortIndicatorOrder())
        self.table.scrollToTop()

    def set_status(self, text: str, *, error: bool = False) -> None:
        """The one line that says what is going on."""
        self.status.say(text, error=error)

    def set_facts(self, facts: Facts) -> None:
        """Nothing here depends on them."""

    def _lay_out(self) -> None:
        table = self.table
        table.setSortingEnabled(True)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setWordWrap(False)
        table.setShowGrid(False)
        table.setMinimumHeight(_LEAST_HEIGHT)
        table.setToolTip("Click a row to look at its object, a heading to sort.")
        table.verticalHeader().hide()
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)  # rows are never measured
        table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        table.horizontalHeader().setDefaultSectionSize(_COLUMN_WIDTH)
        table.horizontalHeader().setHighlightSections(False)
        table.horizontalHeader().setStyleSheet(_ROOM_FOR_ARROW)
        self.save_button.setStyleSheet(SMALL)
        self.save_button.setToolTip("Save all columns of all objects.")
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.status, 1)
        row.addWidget(self.save_button)
        self.body.setSpacing(6)
        self.body.addLayout(row)
        self.body.addWidget(table, 1)

    def _chosen(self, index: QModelIndex, _before: object = None) -> None:
        if index.isValid():
            self.row_chosen.emit(self.model.row_of(index))

    def _browse(self) -> None:
        start = Path.home() / f"{self._title} objects.csv"
        path, _ = QFileDialog.getSaveFileName(self, "Save the table of objects", str(start), "Tables (*.csv)")
        if path:
            self.path_chosen.emit(Path(path if path.lower().endswith(".csv") else f"{path}.csv"))


def open_objects(viewer: Any, dock: ObjectsDock | None) -> ObjectsDock:
    """Show the dock that was opened before, or a new one below the canvas where that was closed."""
    if dock is None or dock.ended:
        dock = ObjectsDock(viewer)
        viewer.window.add_dock_widget(dock, name=NAME, area="bottom")
    else:
        frame: Any = dock
        while not isinstance(frame, QDockWidget):
            frame = frame.parent()
        frame.show()
        frame.raise_()
    return dock
