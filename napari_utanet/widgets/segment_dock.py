"""The dock UTANet: Segment."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_utanet.adapters.object_table import ObjectTable
from napari_utanet.controllers.lookup import SEGMENTING
from napari_utanet.controllers.segment import (
    Engine,
    SegmentController,
    default_engine,
)
from napari_utanet.controllers.slide_work import SlideEngine
from napari_utanet.shelf import Shelf, shared_shelf
from napari_utanet.state import SegmentState, SlideState
from napari_utanet.widgets.fields import Choice, bind
from napari_utanet.widgets.objects_dock import ObjectsDock, open_objects
from napari_utanet.widgets.run_dock import RunDock, check_box
from napari_utanet.widgets.slide_fields import SlideFields
from napari_utanet.widgets.slide_numbers import unit_slider
from napari_utanet.widgets.theme import SECONDARY


class SegmentDock(RunDock):
    """Choose an image and a model, press Segment, get a mask.

    Parameters
    ----------
    napari_viewer
        The viewer whose images are segmented.
    engine, slides, shelf
        Replaced in tests.
    """

    objects_clicked = Signal()

    def __init__(
        self,
        napari_viewer: Any,
        *,
        engine: Engine = default_engine,
        slides: SlideEngine | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        super().__init__(napari_viewer, "Segment", ("segment", "slide"), SEGMENTING)
        self.state = SegmentState()
        self.slide_state = SlideState()
        self.slide = SlideFields()
        self.objects_dock: ObjectsDock | None = None
        self.threshold = unit_slider(
            "threshold",
            "Probability above which a pixel is foreground. Lower finds more, higher is stricter.",
        )
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
        self.objects_button = QPushButton("Table of objects")
        self.objects_button.setStyleSheet(SECONDARY)
        self.objects_button.clicked.connect(self.objects_clicked)
        self.objects_button.hide()
        self.body.addWidget(self.form)
        self.body.addWidget(self.slide)
        self.add_action()
        self.body.addWidget(self.objects_button)
        self.body.addStretch(1)
        names = (
            "layer", "stack", "checkpoint", "domain", "device",
            "threshold", "top_k", "objects", "probability",
        )  # fmt: skip
        bind(self.state, {name: getattr(self, name) for name in names})
        bind(self.slide_state, self.slide.by_name())
        self._apply_theme()
        self.controller = SegmentController(
            napari_viewer,
            self.state,
            self,
            self.workers["segment"],
            shelf or shared_shelf(),
            helper=self.workers["slide"],
            engine=engine,
            slides=slides,
        )
        self.checkpoint_opened.connect(self.controller.open_checkpoint)

    def set_domains(self, choices: list[str]) -> None:
        """Offer these domains; none = nothing to choose."""
        self.domain.set_choices([(name.capitalize(), name) for name in choices])
        self.form.set_row_shown(self.domain, bool(choices))

    def set_experts_shown(self, shown: bool) -> None:
        """Whether the chosen model has experts to mix."""
        self.form.set_row_shown(self.top_k, shown)

    def set_slide_shown(self, shown: bool) -> None:
        """Whether the chosen image is a slide: of slides no probability is kept."""
        self.form.set_row_shown(self.probability, not shown)

    def set_objects_offered(self, title: str | None) -> None:
        """Whose objects can be looked at; ``None`` = nobody's."""
        self.objects_button.setVisible(title is not None)
        self.objects_button.setToolTip(f"Size, shape and place of each object of {title}.")

    def show_objects(self, table: ObjectTable) -> None:
        """Open the table."""
        self.objects_dock = open_objects(self._viewer, self.objects_dock)
        self.objects_dock.controller.show(table)
