"""Objects after a run: a table is offered, measured where it must be, and leads to each object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from napari_utanet.adapters.from_layer import ImageRequest, from_layer, identity
from napari_utanet.adapters.object_table import ObjectTable, has_table, measure, table_of_layer, write_csv
from napari_utanet.adapters.placement import Placement
from napari_utanet.adapters.regions import camera_of, canvas_size, unit_factors, world_units
from napari_utanet.controllers.run_view import ObjectsView
from napari_utanet.wording import count
from napari_utanet.worker import Worker
from src_model.events import Control

_LEAST_ON_SCREEN = 24
"""An object that is smaller on screen, pixels, is looked at more closely."""
_MOST_OF_SCREEN = 0.5
"""One that takes a larger share of the canvas is looked at from further away."""
_WANTED_OF_SCREEN = 0.12


@dataclass(frozen=True, eq=False)
class ObjectsMeasured:
    """The objects of a mask were measured."""

    table: ObjectTable


@dataclass(frozen=True)
class TableSaved:
    """A table lies on disk."""

    path: Path
    rows: int


class ObjectOffer:
    """Keeps the objects found last at hand for the one button that shows them.

    Objects that are opened from disk with their table are offered too, and those of the layer that is
    chosen.

    Parameters
    ----------
    viewer, view, worker
        The napari viewer, the dock with the button, and where objects are measured.
    """

    def __init__(self, viewer: Any, view: ObjectsView, worker: Worker) -> None:
        self._viewer = viewer
        self._view = view
        self._worker = worker
        self._make: Callable[[], ObjectTable | None] = lambda: None
        view.objects_clicked.connect(self.open)
        viewer.layers.events.inserted.connect(self._opened)
        viewer.layers.selection.events.active.connect(self._activated)
        for layer in viewer.layers:
            self._offer_again(layer)

    def close(self) -> None:
        """Hear nothing any more."""
        self._viewer.layers.events.inserted.disconnect(self._opened)
        self._viewer.layers.selection.events.active.disconnect(self._activated)

    def withdraw(self) -> None:
        """There is nothing to show any more."""
        self._make = lambda: None
        self._view.set_objects_offered(None)

    def offer(self, table: ObjectTable) -> None:
        """Offer a table that is known."""
        self._make = lambda: table
        self._view.set_objects_offered(table.title)

    def offer_to_measure(self, labels: Any, image: ImageRequest) -> None:
        """Offer the objects of a Labels layer over an image; they are measured when they are wanted."""
        if labels.ndim != 2:
            self.withdraw()
            return
        layer, source, title = identity(labels), image.layer, image.name

        def make() -> ObjectTable | None:
            self._measure(layer, source, title)
            return None

        self._make = make
        self._view.set_objects_offered(title)

    def open(self) -> None:
        """Show the table, now or when it is measured."""
        table = self._make()
        if table is not None:
            self._view.show_objects(table)

    def on_event(self, event: object) -> None:
        """Hears about the measuring."""
        if isinstance(event, ObjectsMeasured):
            self.offer(event.table)
            self._view.set_status(f"{count(len(event.table), 'object')} measured.")
            self._view.show_objects(event.table)

    def on_error(self, message: str) -> None:
        """The objects could not be measured."""
        self._view.set_status(message, error=True)

    def on_end(self) -> None:
        """Nothing to do."""

    def _opened(self, event: Any) -> None:
        self._offer_again(event.value)

    def _activated(self, _event: object = None) -> None:
        self._offer_again(self._viewer.layers.selection.active)

    def _offer_again(self, layer: Any | None) -> None:
        """Offer the objects of a layer that were found earlier, where it has their table."""
        if layer is None or not has_table(layer):
            return
        name = identity(layer)

        def make() -> ObjectTable | None:
            for live in self._viewer.layers:
                if identity(live) == name and has_table(live):
                    return table_of_layer(live)
            self._view.set_status("The objects were deleted; open them again.", error=True)
            return None

        self._make = make
        self._view.set_objects_offered(layer.name.removesuffix(" objects"))

    def _measure(self, layer: str, source: str, title: str) -> None:
        """Measure the objects as the layer shows them now."""
        live = {identity(one): one for one in self._viewer.layers}
        if layer not in live:
            self._view.set_status("The objects were deleted; segment the image again.", error=True)
            return
        labels, placement = np.array(live[layer].data), Placement.of_layer(live[layer])
        image = from_layer(live[source]) if source in live else None

        def work(control: Control) -> Iterator[ObjectsMeasured]:
            control.check()
            pixels = None if image is None or image.shape != labels.shape else _channels_last(image)
            yield ObjectsMeasured(ObjectTable(title, measure(labels, pixels, placement), placement, layer))

        self._view.set_status("Measuring the objects…")
        self._worker.start(work, self, supersede=True)


class TableView(Protocol):
    """What the controller asks of the dock with the table; names that end in ``_chosen`` are signals."""

    row_chosen: Any
    path_chosen: Any

    def set_table(self, table: ObjectTable) -> None:
        """Show these objects."""

    def set_status(self, text: str, *, error: bool = False) -> None:
        """The one line that says what is going on."""


class ObjectsController:
    """Leads from a row to its object, and saves the table."""

    def __init__(self, viewer: Any, view: TableView, worker: Worker) -> None:
        self._viewer = viewer
        self._view = view
        self._worker = worker
        self._table: ObjectTable | None = None
        view.row_chosen.connect(self.fly_to)
        view.path_chosen.connect(self.save)

    def close(self) -> None:
        """Forget the table."""
        self._table = None

    def show(self, table: ObjectTable) -> None:
        """Show other objects."""
        self._table = table
        self._view.set_table(table)
        self._view.set_status(f"{table.title}: {count(len(table), 'object')}")

    def fly_to(self, row: int) -> None:
        """Look at the object of a row, and pick its number in the layer of the objects."""
        if self._table is None:
            return
        fly_to(self._viewer, self._table, row)
        for layer in self._viewer.layers:
            if identity(layer) == self._table.layer:
                layer.selected_label = int(self._table.columns["label"][row])

    def save(self, path: Path) -> None:
        """Write the table in the background."""
        table = self._table
        if table is None:
            return

        def work(control: Control) -> Iterator[TableSaved]:
            control.check()
            write_csv(table.columns, path)
            yield TableSaved(path, len(table))

        self._worker.start(work, self)

    def on_event(self, event: object) -> None:
        """Hears about the saving."""
        if isinstance(event, TableSaved):
            self._view.set_status(f"Saved {count(event.rows, 'object')} in {event.path.name}.")

    def on_error(self, message: str) -> None:
        """The table could not be saved."""
        self._view.set_status(message, error=True)

    def on_end(self) -> None:
        """Nothing to do."""


def fly_to(viewer: Any, table: ObjectTable, row: int) -> None:
    """Move the camera to an object; the zoom changes only where the object would be tiny or huge."""
    corners = table.box(row)[:, -2:] * unit_factors(table.placement.units[-2:], world_units(viewer))
    middle = corners.mean(axis=0)
    shown = list(viewer.dims.displayed)[-2:]
    least = min(shown)
    camera = camera_of(viewer)
    camera.center = (camera.center[0], *(float(middle[axis - least]) for axis in shown))
    side = float(np.abs(np.diff(corners, axis=0)).max())
    room = min(canvas_size(viewer))
    on_screen = side * camera.zoom
    if side > 0 and not _LEAST_ON_SCREEN <= on_screen <= _MOST_OF_SCREEN * room:
        camera.zoom = _WANTED_OF_SCREEN * room / side


def _channels_last(image: ImageRequest) -> Any:
    """The pixels of a plane, (Y, X) or (Y, X, C)."""
    pixels = image.read()
    return np.moveaxis(pixels, image.axes.index("C"), -1) if "C" in image.axes else pixels
