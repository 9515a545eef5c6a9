"""The dock UTANet: Experts."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal

from napari_utanet.controllers.experts import Engine, ExpertsController, Rows, default_engine
from napari_utanet.controllers.lookup import SEGMENTING
from napari_utanet.shelf import Shelf, shared_shelf
from napari_utanet.state import ExpertsState
from napari_utanet.widgets.fields import bind
from napari_utanet.widgets.routing_table import RoutingTable
from napari_utanet.widgets.run_dock import RunDock, check_box
from napari_utanet.widgets.theme import Colors


class ExpertsDock(RunDock):
    """Choose an image and a model, see what each expert responds to and which ones were chosen.

    Parameters
    ----------
    napari_viewer
        The viewer whose image is looked into.
    engine, shelf
        Replaced in tests.
    """

    expert_clicked = Signal(int)

    def __init__(
        self, napari_viewer: Any, *, engine: Engine = default_engine, shelf: Shelf | None = None
    ) -> None:
        super().__init__(napari_viewer, "Show experts", ("experts",), SEGMENTING)
        self.state = ExpertsState()
        self.raw = check_box(
            "Raw channels",
            "raw",
            "Add every channel of every expert as a stack, not only the mean magnitude.",
        )
        self.dim = check_box(
            "Dim the image",
            "dim",
            "Heat maps are added to the light of the image; dimmed, it lets them show.",
        )
        self.table = RoutingTable(
            "Weight of each expert in the mix of each router; ● = chosen. "
            "Click a column to see that expert's map."
        )
        self.add_choices()
        self.form.add("", self.dim)
        self.form.add("", self.raw)
        self.body.addWidget(self.form)
        self.add_action()
        self.body.addWidget(self.table)
        self.body.addStretch(1)
        names = ("layer", "stack", "checkpoint", "device", "top_k", "dim", "raw")
        bind(self.state, {name: getattr(self, name) for name in names})
        self.table.expert_clicked.connect(self.expert_clicked)
        self._apply_theme()
        self.controller = ExpertsController(
            napari_viewer, self.state, self, self.workers["experts"], shelf or shared_shelf(), engine=engine
        )
        self.checkpoint_opened.connect(self.controller.open_checkpoint)

    def set_table(self, weights: Rows, selected: tuple[tuple[bool, ...], ...]) -> None:
        """One row per router, one column per expert."""
        self.table.show_weights(weights, selected)

    def use_colors(self, colors: Colors) -> None:
        """Follow the theme."""
        super().use_colors(colors)
        self.table.set_colors(colors)
