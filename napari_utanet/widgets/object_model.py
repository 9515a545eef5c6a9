"""A table model over arrays: hundreds of thousands of rows cost nothing until they are looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_utanet.adapters.object_table import ObjectTable

_NOWHERE = QModelIndex()
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)


class ObjectModel(QAbstractTableModel):  # type: ignore[misc]
    """The columns that a person wants to see; sorting only changes the order in which rows are read."""

    def __init__(self) -> None:
        super().__init__()
        self._titles: list[str] = []
        self._columns: list[NDArray[Any]] = []
        self._order: NDArray[np.int64] = np.empty(0, np.int64)

    def show(self, table: ObjectTable) -> None:
        """Show other objects, in the order of their numbers."""
        shown = table.shown()
        self.beginResetModel()
        self._titles = [title for title, _ in shown]
        self._columns = [values for _, values in shown]
        self._order = np.arange(len(table))
        self.endResetModel()

    def row_of(self, index: QModelIndex) -> int:
        """Which object of the table stands there."""
        return int(self._order[index.row()])

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802
        """Objects."""
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802
        """Columns."""
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text and side of a cell."""
        column = self._columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(column[self._order[index.row()]])
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._side(index.column())
        return None

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Title of a column."""
        if orientation == Qt.Orientation.Horizontal and 0 <= section < len(self._titles):
            if role == Qt.ItemDataRole.DisplayRole:
                return self._titles[section]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return self._side(section)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Order the rows by a column; equal ones stay in the order of their numbers."""
        if not 0 <= column < len(self._columns):
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        rows = [self.row_of(index) for index in before]
        ranks = np.argsort(self._columns[column], kind="stable")
        self._order = ranks if order == Qt.SortOrder.AscendingOrder else ranks[::-1].copy()
        places = np.empty_like(self._order)
        places[self._order] = np.arange(len(self._order))
        after = [
            self.index(int(places[row]), index.column()) for row, index in zip(rows, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _side(self, column: int) -> int:
        """Numbers stand right, the object's own and words left."""
        return _LEFT if column == 0 or self._columns[column].dtype.kind == "U" else _RIGHT


def _text(value: Any) -> str:
    """A whole number in full, any other with four digits."""
    if isinstance(value, np.floating):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, np.integer) else str(value)
