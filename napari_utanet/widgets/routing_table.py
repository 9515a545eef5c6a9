"""A small table of routers and experts, the chosen experts marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_utanet.widgets.theme import Colors

MARK = "●"
"""Stands before the weight of a chosen expert."""

_ROW_HEIGHT = 26


class RoutingTable(QTableWidget):  # type: ignore[misc]
    """One row per router, one column per expert; the stronger, the deeper the tint."""

    expert_clicked = Signal(int)

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self._tint = "128, 128, 128"
        self.setToolTip(tooltip)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setShowGrid(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setFixedHeight(_ROW_HEIGHT)
        self.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.horizontalHeader().sectionClicked.connect(self.expert_clicked)
        self.cellClicked.connect(self._clicked)
        self.hide()

    def set_colors(self, colors: Colors) -> None:
        """Follow the theme."""
        self._tint = colors.tint

    def show_weights(
        self, weights: Sequence[Sequence[float]], selected: Sequence[Sequence[bool]] | None = None
    ) -> None:
        """Fill the table.

        Parameters
        ----------
        weights
            One row per router, 0 to 1; a network has one for each skip connection, or one for all.
        selected
            Which experts each router chose; ``None`` = no marks.
        """
        columns = len(weights[0]) if weights else 0
        self.setRowCount(len(weights))
        self.setColumnCount(columns)
        self.setHorizontalHeaderLabels([f"Expert {n + 1}" for n in range(columns)])
        names = ["Router"] if len(weights) == 1 else [f"Router {n + 1}" for n in range(len(weights))]
        self.setVerticalHeaderLabels(names)
        for row, values in enumerate(weights):
            for column, value in enumerate(values):
                chosen = None if selected is None else selected[row][column]
                self.setItem(row, column, self._item(value, chosen))
        self.setFixedHeight(_ROW_HEIGHT * (len(weights) + 1) + 2)
        self.setVisible(bool(weights))

    def _item(self, value: float, chosen: bool | None) -> QTableWidgetItem:
        item = QTableWidgetItem(f"{MARK} {value:.0%}" if chosen else f"{value:.0%}")
        item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
        if chosen is not False:
            red, green, blue = (int(part) for part in self._tint.split(","))
            item.setBackground(QBrush(QColor(red, green, blue, int(25 + 130 * min(max(value, 0.0), 1.0)))))
        if chosen:
            font = item.font()
            font.setBold(True)
            item.setFont(font)
        return item

    def _clicked(self, _row: int, column: int) -> None:
        self.expert_clicked.emit(column)

    def texts(self) -> list[list[Any]]:
        """What stands in the cells, row by row."""
        return [
            [self.item(row, column).text() for column in range(self.columnCount())]
            for row in range(self.rowCount())
        ]
