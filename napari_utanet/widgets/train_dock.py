"""The dock UTANet: Train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton

from napari_utanet.adapters.dataset_summary import DatasetSummary
from napari_utanet.adapters.pairs import Preview
from napari_utanet.controllers.layer_choices import Choices
from napari_utanet.controllers.lookup import TRAINING, Facts
from napari_utanet.controllers.train import (
    Engine,
    TrainController,
    default_engine,
)
from napari_utanet.controllers.train_data import Checker, PreviewMaker, default_checker
from napari_utanet.controllers.train_request import make_preview
from napari_utanet.controllers.train_view import Mode
from napari_utanet.shelf import Shelf, shared_shelf
from napari_utanet.state import TrainState
from napari_utanet.widgets.curves import Curves
from napari_utanet.widgets.dataset_report import DatasetReport
from napari_utanet.widgets.dock import Dock
from napari_utanet.widgets.fields import Status, bind
from napari_utanet.widgets.picture import Picture
from napari_utanet.widgets.progress import Progress
from napari_utanet.widgets.routing_table import RoutingTable
from napari_utanet.widgets.run_dock import device_choices
from napari_utanet.widgets.theme import PRIMARY, SECONDARY, Colors
from napari_utanet.widgets.train_fields import TrainFields
from src_model.events import EpochFinished, ExpertUsage


class TrainDock(Dock):
    """Choose images with masks, press Start, get a model that Segment offers at once.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers may be trained on.
    engine, make_preview, check, shelf
        Replaced in tests.
    """

    start_clicked = Signal()
    pause_clicked = Signal()
    stop_clicked = Signal()
    unfinished_clicked = Signal()
    check_clicked = Signal()

    def __init__(
        self,
        napari_viewer: Any,
        *,
        engine: Engine = default_engine,
        make_preview: PreviewMaker = make_preview,
        check: Checker = default_checker,
        shelf: Shelf | None = None,
    ) -> None:
        super().__init__(napari_viewer, ("train", "preview"), TRAINING)
        self.state = TrainState()
        self.fields = TrainFields()
        self.picture = Picture("One training pair; the line is the outline of its mask.")
        self.dataset = DatasetReport()
        self.unfinished_button = QPushButton()
        self.start_button = QPushButton("Start")
        self.pause_button = QPushButton("Pause")
        self.stop_button = QPushButton("Stop")
        self.progress = Progress()
        self.status = Status()
        self.note = Status("note")
        self.curves = Curves()
        self.usage = RoutingTable("How often each router relied on each expert in the last epoch.")
        self._lay_out()
        self._wire()
        bind(self.state, self.fields.by_name())
        self._apply_theme()
        self.controller = TrainController(
            napari_viewer,
            self.state,
            self,
            self.workers["train"],
            self.workers["preview"],
            shelf or shared_shelf(),
            engine=engine,
            make_preview=make_preview,
            check=check,
        )

    def _lay_out(self) -> None:
        for button, style in (
            (self.start_button, PRIMARY),
            (self.pause_button, SECONDARY),
            (self.stop_button, SECONDARY),
        ):
            button.setStyleSheet(style)
        self.start_button.setToolTip("Begin to train, or go on with the unfinished run in the run folder.")
        self.pause_button.setToolTip("Hold the training at its next step, without losing anything.")
        self.stop_button.setToolTip("End the training; all finished epochs are kept and it can be resumed.")
        self.unfinished_button.setToolTip("Choose the folder of the last run that was not finished.")
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button, stretch in ((self.start_button, 2), (self.pause_button, 1), (self.stop_button, 1)):
            buttons.addWidget(button, stretch)
        self.body.addWidget(self.fields.data)
        self.body.addWidget(self.picture)
        self.body.addWidget(self.dataset)
        self.body.addWidget(self.fields.settings)
        self.body.addWidget(self.unfinished_button)
        self.body.addLayout(buttons)
        for widget in (self.status, self.progress, self.note, self.curves, self.usage):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self.note.hide()
        self.unfinished_button.hide()

    def _wire(self) -> None:
        self.start_button.clicked.connect(lambda: self.start_clicked.emit())
        self.pause_button.clicked.connect(lambda: self.pause_clicked.emit())
        self.stop_button.clicked.connect(lambda: self.stop_clicked.emit())
        self.unfinished_button.clicked.connect(lambda: self.unfinished_clicked.emit())
        self.dataset.check_button.clicked.connect(lambda: self.check_clicked.emit())
        self.state.events.source.connect(self.fields.show_source)
        self.fields.show_source(self.state.source)

    def set_image_layers(self, choices: Choices) -> None:
        """Offer these image layers."""
        self.fields.image_layer.set_choices(choices)

    def set_labels_layers(self, choices: Choices) -> None:
        """Offer these labels layers."""
        self.fields.labels_layer.set_choices(choices)

    def set_imagenet_offered(self, offered: bool) -> None:
        """Whether the chosen network can start from ImageNet weights."""
        self.fields.offer_imagenet(offered)

    def set_mode(self, mode: Mode) -> None:
        """Which buttons can be pressed; the settings rest while a run goes on."""
        idle = mode == "idle"
        self.start_button.setEnabled(idle)
        self.pause_button.setEnabled(mode in ("running", "paused"))
        self.pause_button.setText("Continue" if mode == "paused" else "Pause")
        self.stop_button.setEnabled(mode in ("running", "paused"))
        self.fields.data.setEnabled(idle)
        self.fields.settings.setEnabled(idle)
        if not idle:
            self.unfinished_button.hide()
        else:
            self.progress.clear()

    def set_resumable(self, resumable: bool) -> None:
        """Whether the chosen folder holds an unfinished run, which Start would resume."""
        self.start_button.setText("Resume" if resumable else "Start")
        self.fields.rest_for_resume(resumable)

    def set_unfinished(self, name: str | None) -> None:
        """Offer another run that was not finished."""
        self.unfinished_button.setVisible(name is not None)
        self.unfinished_button.setText(f"Go back to {name}" if name else "")

    def set_progress(self, done: int, total: int, text: str) -> None:
        """``total`` 0 = busy without measure."""
        self.progress.show_progress(done, total, text)

    def set_status(self, text: str, *, error: bool = False) -> None:
        """The one line that says what is going on."""
        self.status.say(text, error=error)

    def set_note(self, text: str) -> None:
        """A warning that stays; empty = none."""
        self.note.say(text)
        self.note.setVisible(bool(text))

    def set_preview(self, preview: Preview | None, caption: str) -> None:
        """A picture of one training pair, or why there is none."""
        self.picture.show_picture(None if preview is None else preview.picture, caption)

    def set_dataset(self, summary: DatasetSummary) -> None:
        """What the chosen images are, and what is wrong with them."""
        self.dataset.show_summary(summary)

    def start_curves(self, stages: Sequence[tuple[str, int]]) -> None:
        """Empty the curves."""
        self.curves.clear()
        self.curves.start(stages)
        self.usage.hide()

    def add_epoch(self, event: EpochFinished) -> None:
        """One more point on each curve."""
        self.curves.add(event)

    def set_usage(self, usage: ExpertUsage | None) -> None:
        """Share of each expert in each router's decisions."""
        self.usage.show_weights(usage or ())

    def use_colors(self, colors: Colors) -> None:
        """Follow the theme."""
        super().use_colors(colors)
        self.curves.set_colors(colors)
        self.usage.set_colors(colors)

    def look_up(self) -> None:
        """As every dock; before it load what draws the curves, rather than when training starts."""
        self.curves.load()
        super().look_up()

    def set_facts(self, facts: Facts) -> None:
        """Offer the devices and networks that were found."""
        self.fields.device.set_choices(device_choices(facts.devices))
        self.fields.model.set_choices([(name, name) for name in facts.models])
