"""The Experts dock's decisions: explain one image, add a heat map per expert, fill the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from napari_utanet.adapters.from_layer import ImageRequest, identity, is_image, plane_of_layer
from napari_utanet.adapters.show import show
from napari_utanet.adapters.to_layer import expert_layers, raw_layer, role_of
from napari_utanet.controllers.checkpoints import ModelRead, describe
from napari_utanet.controllers.choosing import ChoosingController
from napari_utanet.controllers.layer_choices import Choices, LayerChoices
from napari_utanet.shelf import Shelf
from napari_utanet.state import ExpertsState
from napari_utanet.worker import Worker
from src_model import events as ev
from src_model.errors import CheckpointError, ImageError, UTANetError

Engine = Callable[..., Any]
DIMMED = 0.35
"""Opacity of an image under its heat maps."""

Rows = tuple[tuple[float, ...], ...]


class ExpertsView(Protocol):
    """What the controller asks of the dock; the names that end in ``_clicked`` are signals."""

    run_clicked: Any
    cancel_clicked: Any
    expert_clicked: Any

    def set_layers(self, choices: Choices) -> None:
        """Offer these image layers."""

    def set_models(self, choices: list[tuple[str, Path]]) -> None:
        """Offer these checkpoints."""

    def set_stack_shown(self, shown: bool) -> None:
        """Whether the chosen image has an axis whose meaning must be asked."""

    def set_running(self, running: bool, *, stopping: bool = False) -> None:
        """Turn the button into Cancel and back."""

    def set_progress(self, done: int, total: int, text: str) -> None:
        """``total`` 0 = busy without measure."""

    def set_status(self, text: str, *, error: bool = False) -> None:
        """The one line that says what is going on."""

    def set_table(self, weights: Rows, selected: tuple[tuple[bool, ...], ...]) -> None:
        """One row per router, one column per expert."""


@dataclass(frozen=True, eq=False)
class ExpertsRequest:
    """Everything a run needs."""

    image: ImageRequest
    checkpoint: Path
    device: str
    top_k: int | None
    raw: bool


@dataclass(frozen=True, eq=False)
class Explained:
    """The only event of this work."""

    explanation: Any


def default_engine(*arguments: Any, **options: Any) -> Any:
    """The real engine, imported when it is first needed."""
    from src_model.inference.explain import explain

    return explain(*arguments, **options)


class ExpertsController(ChoosingController):
    """Listens to the dock, explains in the worker, and adds the maps."""

    def __init__(
        self,
        viewer: Any,
        state: ExpertsState,
        view: ExpertsView,
        worker: Worker,
        shelf: Shelf,
        *,
        engine: Engine = default_engine,
        describe: Callable[[Path], ModelRead] = describe,
    ) -> None:
        self._viewer = viewer
        self._state = state
        self._view = view
        self._worker = worker
        self._shelf = shelf
        self._engine = engine
        self._describe = describe
        self._opacity: dict[str, float] = {}
        self._layers = LayerChoices(viewer, is_image, view.set_layers, self._choose_layer)
        view.run_clicked.connect(self.run)
        view.cancel_clicked.connect(self.cancel)
        view.expert_clicked.connect(self.show_only)
        shelf.changed.connect(self._show_models)
        shelf.chosen.connect(self._choose_model)
        state.events.layer.connect(self._layer_chosen)
        state.events.dim.connect(self._dim_images)
        self._show_models()
        self._layers.start()
        self._view.set_status(self._hint())

    def run(self) -> None:
        """Explain the plane that is shown; a second call while running does nothing."""
        if self._worker.running:
            return
        try:
            request = self._resolve()
        except UTANetError as error:
            self._view.set_status(str(error), error=True)
            return
        engine = self._engine

        def work(control: ev.Control) -> Iterator[Explained]:
            image = request.image
            pixels, axes = _one_plane(image)
            control.check()
            explanation = engine(
                pixels,
                request.checkpoint,
                top_k=request.top_k,
                device=request.device,
                raw=request.raw,
                axes=axes,
                control=control,
            )
            yield Explained(explanation)

        self._view.set_running(True)
        self._view.set_progress(0, 0, "")
        self._view.set_status(f"Looking into the experts on {request.image.name}…")
        self._worker.start(work, _Run(self, request))

    def cancel(self) -> None:
        """Drop the running work as soon as it can end."""
        if self._worker.running:
            self._worker.stop()
            self._view.set_running(True, stopping=True)
            self._view.set_status("Cancelling…")

    def show_only(self, expert: int) -> None:
        """Show the heat map of one expert, counted from 0, and hide its siblings."""
        for layer in self._viewer.layers:
            role = role_of(layer) or ""
            if role.startswith("expert ") and role != "expert channels":
                layer.visible = role == f"expert {expert + 1}"

    def finish(self, request: ExpertsRequest, explanation: Any) -> None:
        """Add the maps and fill the table."""
        selected = np.asarray(explanation.selected, dtype=bool)
        weights = np.asarray(explanation.routing_weights, dtype=float)
        strongest = int(weights.sum(axis=0).argmax())
        grid = {"grid_scale": explanation.grid_scale, "grid_offset": explanation.grid_offset}
        maps = np.asarray(explanation.expert_maps)
        for layer in expert_layers(request.image, maps, shown=strongest, **grid):
            show(self._viewer, layer)
        if explanation.raw_maps is not None:
            show(self._viewer, raw_layer(request.image, np.asarray(explanation.raw_maps), **grid))
        self._view.set_table(
            tuple(tuple(float(w) for w in row) for row in weights),
            tuple(tuple(bool(s) for s in row) for row in selected),
        )
        self.show_only(strongest)
        source = self._layers.get(request.image.layer)
        if source is not None:
            self._opacity.setdefault(request.image.layer, source.opacity)
        self._dim_images()
        self._view.set_status(
            f"Expert {strongest + 1} weighs most and is shown; click a column to see another."
        )

    def fail(self, message: str) -> None:
        """Say why it did not work."""
        self._view.set_status(message, error=True)

    def end(self, *, concluded: bool) -> None:
        """Back to a dock that can run again."""
        self._view.set_running(False)
        if not concluded:
            self._view.set_status("Cancelled; no layer was added.")

    def _resolve(self) -> ExpertsRequest:
        state = self._state
        layer = self._layers.get(state.layer)
        if layer is None:
            raise ImageError("There is no image to look into: open an image first.")
        if state.checkpoint is None:
            raise CheckpointError("There is no model yet: train one in UTANet: Train, or open a checkpoint.")
        return ExpertsRequest(
            image=plane_of_layer(layer, self._viewer.dims.point, stack=state.stack),
            checkpoint=state.checkpoint,
            device=state.device,
            top_k=state.top_k,
            raw=state.raw,
        )

    def _dim_images(self) -> None:
        """Dim the images that have heat maps, or give them their light back."""
        for layer in self._viewer.layers:
            before = self._opacity.get(identity(layer))
            if before is not None:
                layer.opacity = DIMMED if self._state.dim else before

    def _hint(self) -> str:
        if self._state.checkpoint is None:
            return "Train a model in UTANet: Train, or open a checkpoint."
        if self._state.layer is None:
            return "Open an image to see what each expert responds to."
        return "Ready."


class _Run:
    """One run's listener."""

    def __init__(self, controller: ExpertsController, request: ExpertsRequest) -> None:
        self._controller = controller
        self._request = request
        self._concluded = False

    def on_event(self, event: object) -> None:
        if isinstance(event, Explained):
            self._concluded = True
            self._controller.finish(self._request, event.explanation)

    def on_error(self, message: str) -> None:
        self._concluded = True
        self._controller.fail(message)

    def on_end(self) -> None:
        self._controller.end(concluded=self._concluded)


def _one_plane(image: ImageRequest) -> tuple[Any, str]:
    """Pixels and axes of a single plane, its axes of length 1 taken away."""
    pixels = image.read()
    planes = tuple(axis for axis, letter in enumerate(image.axes) if letter not in "YXC")
    return pixels.squeeze(axis=planes), "".join(letter for letter in image.axes if letter in "YXC")
