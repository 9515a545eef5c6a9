"""Curves of loss and Dice over the epochs, with a line where the second stage begins."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_utanet.widgets.theme import DARK, Colors
from src_model.events import EpochFinished

_HEIGHT = 140
_AXIS_HEIGHT = 24


class Curves(QWidget):  # type: ignore[misc]
    """Two plots over one axis of epochs, made when the first run starts."""

    def __init__(self) -> None:
        super().__init__()
        self._colors = DARK
        self._stages: list[tuple[str, int]] = []
        self._points: dict[str, list[tuple[float, float]]] = {}
        self._lines: dict[str, Any] = {}
        self._plots: list[Any] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self.hide()

    @property
    def points(self) -> dict[str, list[tuple[float, float]]]:
        """Epoch and value of each curve: ``train``, ``validation`` and ``dice``."""
        return self._points

    def load(self) -> None:
        """Load what draws the curves, which takes a moment."""
        import_module("pyqtgraph")

    def set_colors(self, colors: Colors) -> None:
        """Follow the theme."""
        self._colors = colors
        if self._plots:
            self.start(self._stages)

    def start(self, stages: Sequence[tuple[str, int]]) -> None:
        """Empty the curves; ``stages`` are names with their number of epochs."""
        if stages != self._stages or not self._points:
            self._points = {"train": [], "validation": [], "dice": []}
        self._stages = list(stages)
        self._build()
        self._draw()
        self.show()

    def clear(self) -> None:
        """Forget everything that was drawn."""
        self._points = {}

    def add(self, event: EpochFinished) -> None:
        """One more point on each curve."""
        names = [name for name, _ in self._stages]
        position = names.index(event.stage) if event.stage in names else 0
        epoch = float(sum(epochs for _, epochs in self._stages[:position]) + event.epoch)
        for name, value in (
            ("train", event.train_loss),
            ("validation", event.validation_loss),
            ("dice", event.dice),
        ):
            self._points.setdefault(name, []).append((epoch, value))
        self._draw()

    def _build(self) -> None:
        import pyqtgraph as pg

        for plot in self._plots:
            self._layout.removeWidget(plot)
            plot.deleteLater()
        loss, dice = pg.PlotWidget(background=None), pg.PlotWidget(background=None)
        self._plots = [loss, dice]
        total = sum(epochs for _, epochs in self._stages)
        for plot, label in ((loss, "Loss"), (dice, "Dice")):
            self._style(plot, label, total)
            self._layout.addWidget(plot)
        loss.getAxis("bottom").setStyle(showValues=False)
        loss.setFixedHeight(_HEIGHT - _AXIS_HEIGHT)
        dice.setYRange(0.0, 1.0, padding=0.04)
        dice.setLabel("bottom", "Epoch", color=self._colors.muted)
        legend = loss.addLegend(offset=(-6, 4), labelTextColor=self._colors.text, verSpacing=-6)
        legend.setBrush(pg.mkBrush(None))
        pens = {"train": self._colors.muted, "validation": self._colors.curve, "dice": self._colors.curve}
        titles = {"train": "training", "validation": "held out", "dice": None}
        self._lines = {
            name: (dice if name == "dice" else loss).plot(
                [], [], name=titles[name], pen=pg.mkPen(color, width=2), symbol="o", symbolSize=4,
                symbolBrush=color, symbolPen=None,
            )
            for name, color in pens.items()
        }  # fmt: skip

    def _style(self, plot: Any, label: str, total: int) -> None:
        import pyqtgraph as pg

        plot.setFixedHeight(_HEIGHT)
        plot.setMouseEnabled(x=False, y=False)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.setLabel("left", label, color=self._colors.muted)
        plot.getAxis("left").setWidth(46)
        for side in ("left", "bottom"):
            axis = plot.getAxis(side)
            axis.setPen(pg.mkPen(self._colors.line))
            axis.setTextPen(pg.mkPen(self._colors.muted))
        plot.setXRange(0.5, max(total, 1) + 0.5, padding=0.02)
        plot.getAxis("bottom").setTickSpacing(_spacing(total), _spacing(total))
        boundary = 0
        for _, epochs in self._stages[:-1]:
            boundary += epochs
            dashes = pg.mkPen(self._colors.second_curve, width=1, style=pg.QtCore.Qt.PenStyle.DashLine)
            plot.addItem(pg.InfiniteLine(boundary + 0.5, angle=90, pen=dashes))

    def _draw(self) -> None:
        for name, line in self._lines.items():
            points = self._points.get(name, [])
            line.setData([x for x, _ in points], [y for _, y in points])


def _spacing(epochs: int) -> int:
    """Distance of the ticks: about seven of them, at whole epochs."""
    return next((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if epochs / step <= 8), 1000)
