"""Fields for numbers that may be unknown or left to a default."""

from __future__ import annotations

from magicgui.widgets import FloatSlider
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

_MOST_UM = 100.0
_DECIMALS = 3
_SAME = 0.5 * 10**-_DECIMALS


class PixelSize(QWidget):  # type: ignore[misc]
    """Micrometres, with a word on whose number it is; cleared, it is the default again."""

    changed = Signal(object)

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.spin = _micrometres("As they are", tooltip)
        self.source = QLabel()
        self.source.setStyleSheet("padding: 0px;")
        self._default: float | None = None
        self._chosen: float | None = None
        self._words = ""
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.spin, 1)
        layout.addWidget(self.source)
        self.setToolTip(tooltip)
        self.setFocusProxy(self.spin)
        self.spin.valueChanged.connect(self._edited)
        self._show()

    @property
    def value(self) -> float | None:
        """What the user chose; ``None`` = the default."""
        return self._chosen

    @value.setter
    def value(self, size: float | None) -> None:
        self._chosen = size
        self._show()

    def set_default(self, size: float | None, source: str) -> None:
        """Show this until the user chooses; without one there is nothing to choose."""
        self._default, self._words = size, source
        self._show()

    def _show(self) -> None:
        size = self._chosen if self._chosen is not None and self._default is not None else self._default
        self.spin.blockSignals(True)
        self.spin.setValue(size or 0.0)
        self.spin.blockSignals(False)
        self.spin.setEnabled(self._default is not None)
        own = self._chosen is None or self._default is None
        self.source.setText(self._words if own else "chosen here")
        self.source.setVisible(bool(self.source.text()))

    def _edited(self, size: float) -> None:
        back = self._default is None or size == 0 or abs(size - self._default) < _SAME
        self._chosen = None if back else size
        self._show()
        self.changed.emit(self._chosen)


class AskedSize(QWidget):  # type: ignore[misc]
    """Micrometres that nobody knows until the user enters them."""

    changed = Signal(object)

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.spin = _micrometres("Not known", tooltip)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.spin)
        self.setToolTip(tooltip)
        self.setFocusProxy(self.spin)
        self.spin.valueChanged.connect(lambda _: self.changed.emit(self.value))

    @property
    def value(self) -> float | None:
        """``None`` = not known."""
        return self.spin.value() or None

    @value.setter
    def value(self, size: float | None) -> None:
        self.spin.blockSignals(True)
        self.spin.setValue(size or 0.0)
        self.spin.blockSignals(False)


class OptionalSlider(QWidget):  # type: ignore[misc]
    """A number from 0 to 1 that is not there until it was found or moved."""

    changed = Signal(object)

    def __init__(self, name: str, tooltip: str) -> None:
        super().__init__()
        self.slider = unit_slider(name, tooltip, step=0.005)
        self._value: float | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.slider.native)
        self.setToolTip(tooltip)
        self.slider.changed.connect(self._moved)

    @property
    def value(self) -> float | None:
        """``None`` = not there."""
        return self._value

    @value.setter
    def value(self, value: float | None) -> None:
        self._value = value
        if value is not None:
            with self.slider.changed.blocked():
                self.slider.value = value

    def _moved(self, value: float) -> None:
        self._value = value
        self.changed.emit(value)


def unit_slider(name: str, tooltip: str, *, step: float = 0.01) -> FloatSlider:
    """A slider from 0 to 1 whose number takes little of the width."""
    slider = FloatSlider(min=0.0, max=1.0, step=step, name=name, tooltip=tooltip)
    for readout in slider.native.findChildren(QAbstractSpinBox):
        readout.setMaximumWidth(56)
    return slider


def _micrometres(unknown: str, tooltip: str) -> QDoubleSpinBox:
    """A box for micrometres; 0 is shown as ``unknown``."""
    spin = QDoubleSpinBox()
    spin.setRange(0.0, _MOST_UM)
    spin.setDecimals(_DECIMALS)
    spin.setSingleStep(0.05)
    spin.setSuffix(" µm")
    spin.setSpecialValueText(unknown)
    spin.setKeyboardTracking(False)
    spin.setToolTip(tooltip)
    return spin
