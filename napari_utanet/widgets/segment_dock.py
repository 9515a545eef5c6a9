"""The dock UTANet: Segment."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import FloatSlider
from qtpy.QtWidgets import QAbstractSpinBox

from napari_utanet.controllers.lookup import SEGMENTING
from napari_utanet.controllers.segment import (
    Engine,
    SegmentController,
    default_engine,
)
from napari_utanet.shelf import Shelf, shared_shelf
from napari_utanet.state import SegmentState
from napari_utanet.widgets.fields import Choice, bind
from napari_utanet.widgets.run_dock import RunDock, check_box


class SegmentDock(RunDock):
    """Choose an image and a model, press Segment, get a mask.

    Parameters
    ----------
    napari_viewer
        The viewer whose images are segmented.
    engine, shelf
        Replaced in tests.
    """

    def __init__(
        self, napari_viewer: Any, *, engine: Engine = default_engine, shelf: Shelf | None = None
    ) -> None:
        super().__init__(napari_viewer, "Segment", ("segment",), SEGMENTING)
        self.state = SegmentState()
        self.threshold = FloatSlider(
            min=0.0,
            max=1.0,
            step=0.01,
            value=self.state.threshold,
            name="threshold",
            tooltip="Probability above which a pixel is foreground. Lower finds more, higher is stricter.",
        )
        for readout in self.threshold.native.findChildren(QAbstractSpinBox):
            readout.setMaximumWidth(56)  # leaves the width to the slider
        self.domain = Choice(
            empty="", name="domain", tooltip="Which organ the image shows: this model serves several."
        )
        self.objects = check_box(
            "Separate objects", "objects", "Give every object a number and a colour of its own."
        )
        self.probability = check_box(
            "Probability layer", "probability", "Add the probability of the foreground as an image too."
        )
        self.add_choices(after_model=("Organ", self.domain))
        self.form.set_row_shown(self.domain, False)
        self.form.add("Threshold", self.threshold)
        self.form.add("", self.objects)
        self.form.add("", self.probability)
        self.body.addWidget(self.form)
        self.add_action()
        self.body.addStretch(1)
        names = (
            "layer", "stack", "checkpoint", "domain", "device",
            "threshold", "top_k", "objects", "probability",
        )  # fmt: skip
        bind(self.state, {name: getattr(self, name) for name in names})
        self._apply_theme()
        self.controller = SegmentController(
            napari_viewer, self.state, self, self.workers["segment"], shelf or shared_shelf(), engine=engine
        )
        self.checkpoint_opened.connect(self.controller.open_checkpoint)

    def set_domains(self, choices: list[str]) -> None:
        """Offer these domains; none = nothing to choose."""
        self.domain.set_choices([(name.capitalize(), name) for name in choices])
        self.form.set_row_shown(self.domain, bool(choices))

    def set_experts_shown(self, shown: bool) -> None:
        """Whether the chosen model has experts to mix."""
        self.form.set_row_shown(self.top_k, shown)
