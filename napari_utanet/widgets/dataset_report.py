"""What is known of the chosen dataset: a line, what is wrong, and a list of files to unfold."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from napari_utanet.adapters.dataset_summary import DatasetSummary
from napari_utanet.widgets.fields import Status
from napari_utanet.widgets.theme import SMALL

_DETAILS_HEIGHT = 170


class DatasetReport(QWidget):  # type: ignore[misc]
    """Takes no room while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Status()
        self.error = Status()
        self.trouble = Status("note")
        self.details_button = QPushButton("Details")
        self.details_button.setCheckable(True)
        self.details_button.setToolTip("Name each of these files, what is wrong with it, and what to do.")
        self.check_button = QPushButton("Check again")
        self.check_button.setToolTip("Read the folder anew, after files were mended.")
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setFixedHeight(_DETAILS_HEIGHT)
        self.details.setAccessibleName("Files that something is wrong with")
        self.details.setTabChangesFocus(True)
        self._row = QWidget()
        self._lay_out()
        self.details_button.toggled.connect(self.details.setVisible)
        self.show_summary(DatasetSummary(""))

    def show_summary(self, summary: DatasetSummary) -> None:
        """The list stays unfolded while its text stays the same."""
        for status, text in (
            (self.line, summary.line),
            (self.error, summary.error),
            (self.trouble, summary.trouble),
        ):
            status.say(text, error=status is self.error)
            status.setVisible(bool(text))
        if summary.details != self.details.toPlainText():
            self.details.setPlainText(summary.details)
            self.details_button.setChecked(False)
        self.details.setVisible(self.details_button.isChecked())
        self._row.setVisible(bool(summary.details))
        self.setVisible(summary != DatasetSummary(""))

    def _lay_out(self) -> None:
        row = QHBoxLayout(self._row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.trouble, 1, Qt.AlignmentFlag.AlignVCenter)
        for button in (self.details_button, self.check_button):
            button.setStyleSheet(SMALL)
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget in (self.line, self.error, self._row, self.details):
            column.addWidget(widget)
