"""The Train dock's decisions: start, pause, stop and resume a run, and hand its model over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from napari_utanet.adapters.from_layer import is_image, is_labels
from napari_utanet.adapters.pairs import export_pair
from napari_utanet.controllers.layer_choices import LayerChoices
from napari_utanet.controllers.runs import latest_unfinished, unfinished_epochs
from napari_utanet.controllers.train_data import Checker, PreviewMaker, TrainData, default_checker
from napari_utanet.controllers.train_listener import TrainListener
from napari_utanet.controllers.train_request import (
    TrainRequest,
    make_preview,
    resolve,
)
from napari_utanet.controllers.train_view import TrainView
from napari_utanet.shelf import Shelf, runs_folder
from napari_utanet.state import TrainState
from napari_utanet.worker import Worker
from src_model import events as ev
from src_model.errors import ConfigError, UTANetError
from src_model.models.registry import models_with_weights
from src_model.protocols import protocol

Engine = Callable[..., Iterable[object]]


def default_engine(*arguments: Any, **options: Any) -> Iterable[object]:
    """The real engine, imported when it is first needed."""
    from src_model.training.trainer import train

    return train(*arguments, **options)


class TrainController:
    """Listens to the dock and runs the training engine in the worker.

    Parameters
    ----------
    worker, preview_worker
        One for the run, one to look at the images to train on.
    engine, make_preview, check
        What is run; tests pass their own.
    """

    def __init__(
        self,
        viewer: Any,
        state: TrainState,
        view: TrainView,
        worker: Worker,
        preview_worker: Worker,
        shelf: Shelf,
        *,
        engine: Engine = default_engine,
        make_preview: PreviewMaker = make_preview,
        check: Checker = default_checker,
    ) -> None:
        self._state = state
        self._view = view
        self._worker = worker
        self._shelf = shelf
        self._engine = engine
        self._unfinished: Path | None = None
        self._refused = False
        self._images = LayerChoices(viewer, is_image, view.set_image_layers, self._choose_image)
        self._labels = LayerChoices(viewer, is_labels, view.set_labels_layers, self._choose_labels)
        self._data = TrainData(state, view, preview_worker, self._layers, make_preview, check)
        view.start_clicked.connect(self.start)
        view.pause_clicked.connect(self.pause_or_continue)
        view.stop_clicked.connect(self.stop)
        view.unfinished_clicked.connect(self.take_unfinished)
        state.events.model.connect(self._network_chosen)
        state.events.protocol.connect(self._apply_protocol)
        state.events.out.connect(self._out_chosen)
        for changed in (state.events.source, state.events.folder, state.events.layout, state.events.model):
            changed.connect(self._forget_refusal)
        self._images.start()
        self._labels.start()
        self._network_chosen(state.model)
        self._data.look()
        self._idle()

    def close(self) -> None:
        """Hear nothing any more."""
        self._images.close()
        self._labels.close()

    def start(self) -> None:
        """Begin or resume a run; a second call while one is running does nothing."""
        if self._worker.running:
            return
        try:
            request = resolve(self._state, *self._layers(), self._data.class_names)
            if self._data.mismatch and not request.config.resume:
                raise ConfigError(self._data.mismatch)
        except UTANetError as error:
            self._refused = True
            self._view.set_status(str(error), error=True)
            return
        self._refused = False
        engine = self._engine
        listener = TrainListener(self._view, request.config, self._finished, self._idle)
        self._state.out = request.config.out
        self._view.set_mode("running")
        self._view.set_progress(0, 0, "")
        self._view.set_note("")
        self._view.set_status("Preparing…")
        self._worker.start(lambda control: _work(request, engine, control), listener)

    def pause_or_continue(self) -> None:
        """Hold the run at its next step, or let it go on."""
        if self._worker.state == "running":
            self._worker.pause()
            self._view.set_mode("paused")
            self._view.set_status("Paused.")
        elif self._worker.state == "paused":
            self._worker.resume()
            self._view.set_mode("running")
            self._view.set_status("Going on…")

    def stop(self) -> None:
        """End the run at its next step; it can be resumed later."""
        if self._worker.running:
            self._worker.stop()
            self._view.set_mode("stopping")
            self._view.set_status("Stopping after this step…")

    def take_unfinished(self) -> None:
        """Choose the folder of the unfinished run that was offered."""
        if self._unfinished is not None:
            self._state.out = self._unfinished

    def _finished(self, checkpoint: Path) -> None:
        """A complete run: its model is the one to use, and the next run gets a new folder."""
        self._shelf.add(checkpoint)
        self._state.out = None

    def _idle(self) -> None:
        self._view.set_mode("idle")
        self._look_at_out()

    def _network_chosen(self, name: str) -> None:
        offered = name in models_with_weights()
        self._state.imagenet = self._state.imagenet and offered
        self._view.set_imagenet_offered(offered)

    def _forget_refusal(self) -> None:
        """What was refused has been changed since; why it was is no longer true."""
        if self._refused:
            self._refused = False
            self._view.set_status("")

    def _apply_protocol(self, name: str) -> None:
        """Its settings into the fields; network, layout and classes only where it names them."""
        values, state = protocol(name), self._state
        model = values.get("model", {})
        state.stage1_epochs = values["stage1"]["epochs"]
        state.stage2_epochs = 0 if values.get("stage") == "first" else values["stage2"]["epochs"]
        state.batch_size = values.get("batch_size", 16)
        state.model = model.get("name", state.model)
        if "num_classes" in model:
            state.classes = max(model["num_classes"] - 1, 1)
        state.layout = values.get("data", {}).get("layout", state.layout)

    def _look_at_out(self) -> None:
        """Offer to resume: the chosen folder's run, or else the latest one that was not finished."""
        if self._worker.running:
            return
        chosen = unfinished_epochs(self._state.out)
        self._view.set_resumable(chosen is not None)
        self._unfinished = None if chosen else latest_unfinished(runs_folder())
        self._view.set_unfinished(None if self._unfinished is None else self._unfinished.name)

    def _out_chosen(self, out: Path | None) -> None:
        if self._worker.running:
            return
        self._look_at_out()
        epochs = unfinished_epochs(out)
        self._view.set_status(
            ""
            if epochs is None
            else f"This run folder holds a run with {epochs[0]} of {epochs[1]} epochs done. Resume goes on "
            "with its own settings; clear the run folder to start a new run."
        )

    def _layers(self) -> tuple[Any | None, Any | None]:
        return self._images.get(self._state.image_layer), self._labels.get(self._state.labels_layer)

    def _choose_image(self, layer: str) -> None:
        self._state.image_layer = layer

    def _choose_labels(self, layer: str) -> None:
        self._state.labels_layer = layer


def _work(request: TrainRequest, engine: Engine, control: ev.Control) -> Iterator[object]:
    """Runs in the background: write drawn layers out, then train."""
    if request.drawn is not None:
        export_pair(request.drawn, request.config.data.root)
        control.check()
    yield from engine(request.config, control=control)
