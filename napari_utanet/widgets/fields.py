"""Parts that the docks are built of: forms, choices, path and status lines, two-way binding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox
from psygnal import EventedModel
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_utanet.widgets.theme import Colors

LABEL_WIDTH = 104


class Choice(ComboBox):
    """A list to choose from that keeps its value while the choices change.

    Parameters
    ----------
    empty
        Shown where there is nothing to choose from.
    """

    def __init__(self, *, empty: str, tooltip: str, name: str) -> None:
        super().__init__(choices=[(empty, None)], tooltip=tooltip, name=name)
        self.native_parent_changed.disconnect(self.reset_choices)  # choices are set, never reset
        self._empty = empty
        self._wanted: Any = None
        self.native.setSizeAdjustPolicy(self.native.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.native.setMinimumContentsLength(8)

    def set_choices(self, choices: Sequence[tuple[str, Any]]) -> None:
        """Replace the choices; where the value is gone, the first one is chosen."""
        before = self.value
        with self.changed.blocked():
            self.choices = []
            self.choices = list(choices) or [(self._empty, None)]
            values = [value for _, value in choices]
            if self._wanted is not None and self._wanted in values:
                self.value, self._wanted = self._wanted, None
            elif before in values:
                self.value = before
            elif values:
                self.value = values[0]
        if self.value != before:
            self.changed.emit(self.value)

    def want(self, value: Any) -> None:
        """Choose ``value``, now or as soon as it is among the choices."""
        if value in self.choices:
            self._wanted = None
            self.value = value
        else:
            self._wanted = value


class PathField(QWidget):  # type: ignore[misc]
    """A folder's path with a button to browse for it."""

    changed = Signal(object)

    def __init__(self, *, placeholder: str, tooltip: str, title: str) -> None:
        super().__init__()
        self._title = title
        self.line = QLineEdit()
        self.line.setPlaceholderText(placeholder)
        self.line.setToolTip(tooltip)
        self.line.setClearButtonEnabled(True)
        self.button = more_button(f"{title}.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.line, 1)
        layout.addWidget(self.button)
        self.setFocusProxy(self.line)
        self.line.textChanged.connect(self._text_changed)
        self.button.clicked.connect(self._browse)

    @property
    def value(self) -> Path | None:
        """The path; ``None`` while the line is empty."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    @value.setter
    def value(self, path: Path | None) -> None:
        if path != self.value:
            self.line.setText("" if path is None else str(path))

    def _text_changed(self) -> None:
        self.changed.emit(self.value)

    def _browse(self) -> None:
        start = str(self.value or Path.home())
        chosen = QFileDialog.getExistingDirectory(self, self._title, start)
        if chosen:
            self.value = Path(chosen)


def more_button(tooltip: str) -> QPushButton:
    """A narrow button that opens a file dialog for the field beside it."""
    button = QPushButton("…")
    button.setToolTip(tooltip)
    button.setAccessibleName(tooltip)
    button.setFixedWidth(30)
    return button


class Form(QWidget):  # type: ignore[misc]
    """Rows of a label and a field, the labels in one column of the same width in every form."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(10)
        self._grid.setVerticalSpacing(7)
        self._grid.setColumnStretch(1, 1)
        self._grid.setColumnMinimumWidth(0, LABEL_WIDTH)
        self._labels: dict[int, QLabel] = {}

    def add(self, text: str, field: Any) -> None:
        """Append a row; ``field`` is a Qt or a magicgui widget."""
        widget = native(field)
        row = self._grid.rowCount()
        label = QLabel(text)
        label.setBuddy(widget)
        label.setStyleSheet("padding: 0px;")
        label.setToolTip(widget.toolTip())
        policy = widget.sizePolicy()
        policy.setHorizontalPolicy(QSizePolicy.Policy.Expanding)
        widget.setSizePolicy(policy)
        self._labels[id(widget)] = label
        self._grid.addWidget(label, row, 0, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self._grid.addWidget(widget, row, 1)

    def set_row_shown(self, field: Any, shown: bool) -> None:
        """Show or hide a row."""
        widget = native(field)
        widget.setVisible(shown)
        self._labels[id(widget)].setVisible(shown)


class Status(QLabel):  # type: ignore[misc]
    """The one line that says what is going on; an error is told apart by its colour."""

    def __init__(self, role: str = "text") -> None:
        super().__init__()
        self._role = role
        self._error = False
        self._colors: Colors | None = None
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def say(self, text: str, *, error: bool = False) -> None:
        """Show a sentence."""
        self._error = error
        self.setText(text)
        self.setAccessibleName(f"Error: {text}" if error else text)
        self._paint()

    @property
    def is_error(self) -> bool:
        """Whether what it says is an error."""
        return self._error

    def set_colors(self, colors: Colors) -> None:
        """Follow the theme."""
        self._colors = colors
        self._paint()

    def _paint(self) -> None:
        if self._colors is not None:
            color = self._colors.error if self._error else getattr(self._colors, self._role)
            self.setStyleSheet(f"color: {color}; padding: 0px;")


def native(field: Any) -> QWidget:
    """The Qt widget of a Qt or magicgui widget."""
    return field if isinstance(field, QWidget) else field.native


def bind(state: EventedModel, fields: Mapping[str, Any]) -> None:
    """Keep each field and the attribute of ``state`` of that name equal, both ways.

    The state's value is shown first.
    """
    for name, field in fields.items():
        _bind_one(state, name, field)


def _bind_one(state: EventedModel, name: str, field: Any) -> None:
    def to_state(value: Any) -> None:
        if getattr(state, name) != value:
            setattr(state, name, value)

    def to_field(value: Any) -> None:
        if field.value == value:
            return
        if isinstance(field, Choice):
            field.want(value)
        else:
            field.value = value

    if not isinstance(field, Choice) or getattr(state, name) in field.choices:
        to_field(getattr(state, name))
    else:
        to_state(field.value)
    field.changed.connect(to_state)
    getattr(state.events, name).connect(to_field)
