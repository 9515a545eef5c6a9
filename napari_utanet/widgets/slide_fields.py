"""The fields that a whole slide adds to the Segment dock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_utanet.controllers.layer_choices import Choices
from napari_utanet.widgets.channel_picker import ChannelPicker
from napari_utanet.widgets.fields import Choice, Form, PathField, Status
from napari_utanet.widgets.run_dock import check_box
from napari_utanet.widgets.slide_numbers import AskedSize, OptionalSlider, PixelSize
from napari_utanet.widgets.theme import HEADING, SMALL
from napari_utanet.wording import sentence_case

_REGIONS = [("Whole slide", "whole"), ("What is in view", "view")]
_ROUTINGS = [("Automatic", None), ("Once for the slide", "slide"), ("Tile by tile", "tile")]


class SlideFields(QWidget):  # type: ignore[misc]
    """Obeys setters and emits signals; its controller decides."""

    tissue_clicked = Signal()
    picture_clicked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.form = Form()
        self.slide_pixel_size = AskedSize(
            "Side of a pixel of this slide, micrometres; its file does not tell. It is remembered."
        )
        self.pixel_size = PixelSize(
            "Side of a pixel as the model sees it, micrometres; the slide is resampled to that."
        )
        self.region = _choice(
            "region", _REGIONS, "Where to segment. Draw on a Shapes layer to choose a region of your own."
        )
        self.tissue = check_box(
            "Tissue only", "tissue", "Leave out the glass, which may take most of the time."
        )
        self.tissue_button = QPushButton("Show tissue")
        self.tissue_threshold = OptionalSlider(
            "tissue_threshold",
            "What lies above counts as tissue; lower takes in more. You can paint on the layer as well.",
        )
        self.channels = ChannelPicker("Which channels of the slide the model sees.")
        self.routing = _choice(
            "routing",
            _ROUTINGS,
            "Experts that are chosen once for the slide leave no seams; tile by tile they fit each place.",
        )
        self.out = PathField(
            placeholder="", tooltip="Folder of the results.", title="Choose a folder for the results"
        )
        self.pictures = QPushButton()
        self.menu = QMenu(self.pictures)
        self.note = Status("muted")
        self._lay_out()
        self.tissue_button.clicked.connect(self.tissue_clicked)
        self.menu.triggered.connect(lambda action: self.picture_clicked.emit(action.data()))

    def by_name(self) -> dict[str, Any]:
        """The field that shows each attribute of the state."""
        return {
            "slide_pixel_size_um": self.slide_pixel_size,
            "pixel_size_um": self.pixel_size,
            "region": self.region,
            "tissue": self.tissue,
            "tissue_threshold": self.tissue_threshold,
            "channels": self.channels,
            "routing": self.routing,
            "out": self.out,
        }

    def set_shown(self, shown: bool) -> None:
        """Whether the chosen image is a slide."""
        self.setVisible(shown)

    def set_default_pixel_size(self, size: float | None, source: str) -> None:
        """At which pixel size it is segmented unless the user says otherwise; ``None`` = at its own."""
        self.pixel_size.set_default(size, source)

    def set_asking(self, asking: bool) -> None:
        """Whether the size of a pixel of the slide must be asked."""
        self.form.set_row_shown(self.slide_pixel_size, asking)

    def set_regions(self, choices: Choices) -> None:
        """Offer these Shapes layers as regions."""
        self.region.set_choices([*_REGIONS, *((f"In {name}", layer) for name, layer in choices)])

    def set_channels(self, names: Sequence[str]) -> None:
        """Offer these channels; none = nothing to choose."""
        self.channels.set_names(names)
        self.form.set_row_shown(self.channels, bool(names))

    def set_note(self, text: str) -> None:
        """What the user should know of this slide and this model; empty = nothing."""
        self.note.say(text)
        self.note.setVisible(bool(text))

    def set_tissue_found(self, threshold: float | None) -> None:
        """The threshold of the tissue that is shown; ``None`` = none is."""
        self.tissue_threshold.value = threshold
        self.form.set_row_shown(self.tissue_threshold, threshold is not None)

    def set_folder(self, text: str, path: str) -> None:
        """Where results go unless the user says otherwise: in words, and in full."""
        self.out.line.setPlaceholderText(text)
        self.out.line.setToolTip(f"Folder of the results. Left empty: {path}")

    def set_pictures(self, names: Sequence[str]) -> None:
        """Offer these pictures of the file."""
        self.menu.clear()
        for name in names:
            self.menu.addAction(sentence_case(name)).setData(name)
        self.form.set_row_shown(self.pictures, bool(names))

    def set_routing_shown(self, shown: bool) -> None:
        """Whether the chosen model has experts to choose among."""
        self.form.set_row_shown(self.routing, shown)

    def _lay_out(self) -> None:
        heading = QLabel("Slide")
        heading.setStyleSheet(HEADING)
        self.tissue_button.setStyleSheet(SMALL)
        self.tissue_button.setToolTip("Find the tissue and show it as a layer that can be corrected.")
        self.pictures.setText("Open one…")
        self.pictures.setStyleSheet(SMALL)
        self.pictures.setToolTip("Pictures beside the slide in its file, such as its label, as a layer.")
        self.pictures.setMenu(self.menu)
        tissue = QWidget()
        row = QHBoxLayout(tissue)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.tissue.native)
        row.addStretch(1)
        row.addWidget(self.tissue_button)
        for text, field in (
            ("Slide's pixels", self.slide_pixel_size),
            ("Pixel size", self.pixel_size),
            ("Region", self.region),
            ("", tissue),
            ("Tissue above", self.tissue_threshold),
            ("Channels", self.channels),
            ("Experts chosen", self.routing),
            ("Save in", self.out),
            ("Other pictures", self.pictures),
        ):
            self.form.add(text, field)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(7)
        for widget in (heading, self.form, self.note):
            column.addWidget(widget)
        self.form.set_row_shown(self.tissue_threshold, False)


def _choice(name: str, choices: Sequence[tuple[str, Any]], tooltip: str) -> Choice:
    field = Choice(empty="", name=name, tooltip=tooltip)
    field.set_choices(choices)
    return field
