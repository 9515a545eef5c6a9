"""The Segment dock's decisions: from intent to a frozen request, from events to layers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from napari_utanet.adapters.from_layer import ImageRequest, Stack, from_layer, is_image
from napari_utanet.adapters.show import show
from napari_utanet.adapters.to_layer import mask_layer, probability_layers
from napari_utanet.controllers.checkpoints import ModelRead, describe
from napari_utanet.controllers.choosing import ChoosingController
from napari_utanet.controllers.layer_choices import Choices, LayerChoices
from napari_utanet.controllers.object_table import ObjectOffer
from napari_utanet.controllers.run_view import ObjectsView, RunView
from napari_utanet.controllers.segment_slide import SlideController, SlideDock
from napari_utanet.controllers.slide_work import SlideEngine
from napari_utanet.shelf import Shelf
from napari_utanet.state import SegmentState
from napari_utanet.wording import count, duration, time_left
from napari_utanet.worker import Worker
from src_model import events as ev
from src_model.config import ClassInfo, named_classes
from src_model.errors import CheckpointError, ImageError, UTANetError

Engine = Callable[..., Iterable[object]]


class SegmentView(RunView, ObjectsView, SlideDock, Protocol):
    """What the controller asks of the dock; names that end in ``_clicked`` are signals."""

    run_clicked: Any
    cancel_clicked: Any

    def set_layers(self, choices: Choices) -> None:
        """Offer these image layers."""

    def set_models(self, choices: list[tuple[str, Path]]) -> None:
        """Offer these checkpoints."""

    def set_stack_shown(self, shown: bool) -> None:
        """Whether the chosen image has an axis whose meaning must be asked."""

    def set_domains(self, choices: list[str]) -> None:
        """Offer these domains; none = nothing to choose."""

    def set_experts_shown(self, shown: bool) -> None:
        """Whether the chosen model has experts to mix."""


@dataclass(frozen=True, eq=False)
class SegmentRequest:
    """Everything a run needs; nothing in it changes any more."""

    image: ImageRequest
    checkpoint: Path
    device: str
    threshold: float
    top_k: int | None
    objects: bool
    probability: bool
    domain: str | None


def default_engine(*arguments: Any, **options: Any) -> Iterable[object]:
    """The real engine, imported when it is first needed."""
    from src_model.inference.predictor import segment

    return segment(*arguments, **options)


class SegmentController(ChoosingController):
    """Listens to the dock, runs the engine in the worker, and adds what it yields."""

    def __init__(
        self,
        viewer: Any,
        state: SegmentState,
        view: SegmentView,
        worker: Worker,
        shelf: Shelf,
        *,
        helper: Worker,
        engine: Engine = default_engine,
        slides: SlideEngine | None = None,
        describe: Callable[[Path], ModelRead] = describe,
    ) -> None:
        self._viewer = viewer
        self._state = state
        self._view = view
        self._worker = worker
        self._shelf = shelf
        self._engine = engine
        self._describe = describe
        self._model = ModelRead(())
        self._layers = LayerChoices(viewer, is_image, view.set_layers, self._choose_layer)
        self._objects = ObjectOffer(viewer, view, helper)
        self._slides = SlideController(
            viewer, state, view, view, worker, helper,
            engine=slides or SlideEngine(), describe=describe, on_objects=self._objects.offer,
        )  # fmt: skip
        view.run_clicked.connect(self.run)
        view.cancel_clicked.connect(self.cancel)
        shelf.changed.connect(self._show_models)
        shelf.chosen.connect(self._choose_model)
        state.events.layer.connect(self._layer_chosen)
        state.events.stack.connect(self._look_for_slide)
        state.events.checkpoint.connect(self._checkpoint_chosen)
        self._show_models()
        self._layers.start()
        self._view.set_status(self._hint())

    def run(self) -> None:
        """Resolve the intent into a request and start; a second call while running does nothing."""
        if self._worker.running:
            return
        try:
            layer, checkpoint = self._chosen()
            self._objects.withdraw()
            if self._look_for_slide():
                self._slides.run(layer, checkpoint, stack=self._stack_of(layer))
                return
            request = self._resolve(layer, checkpoint)
        except UTANetError as error:
            self._view.set_status(str(error), error=True)
            return
        engine, describe = self._engine, self._describe

        def work(control: ev.Control) -> Iterator[object]:
            yield describe(request.checkpoint)
            control.check()
            yield from engine(
                request.image.read(),
                request.checkpoint,
                control=control,
                device=request.device,
                top_k=request.top_k,
                threshold=request.threshold,
                instances=request.objects,
                probability=request.probability,
                axes=request.image.axes,
                domain=request.domain,
            )

        self._view.set_running(True)
        self._view.set_progress(0, 0, "")
        self._view.set_status(f"Segmenting {request.image.name}…")
        self._worker.start(work, _Run(self._viewer, self._view, request, self._objects))

    def cancel(self) -> None:
        """Ask the running work to end at its next step."""
        if self._worker.running:
            self._worker.stop()
            self._view.set_running(True, stopping=True)
            self._view.set_status("Cancelling…")

    def fail(self, message: str) -> None:
        """Say why something did not work."""
        self._view.set_status(message, error=True)

    def close(self) -> None:
        """Hear nothing any more."""
        self._slides.close()
        self._objects.close()
        super().close()

    def _chosen(self) -> tuple[Any, Path]:
        """The live layer and the checkpoint."""
        layer = self._layers.get(self._state.layer)
        if layer is None:
            raise ImageError("There is no image to segment: open an image first.")
        checkpoint: Path | None = self._state.checkpoint
        if checkpoint is None:
            raise CheckpointError("There is no model yet: train one in UTANet: Train, or open a checkpoint.")
        return layer, checkpoint

    def _look_for_slide(self, _event: object = None) -> bool:
        """Show what a slide needs to be asked where the chosen image is one."""
        layer = self._layers.get(self._state.layer)
        stack = "planes" if layer is None else self._stack_of(layer)
        return self._slides.choose(layer, self._model, stack=stack)

    def _layer_chosen(self, layer: str | None) -> None:
        super()._layer_chosen(layer)
        self._look_for_slide()

    def _resolve(self, layer: Any, checkpoint: Path) -> SegmentRequest:
        state = self._state
        return SegmentRequest(
            image=from_layer(layer, stack=self._stack_of(layer)),
            checkpoint=checkpoint,
            device=state.device,
            threshold=state.threshold,
            top_k=state.top_k,
            objects=state.objects,
            probability=state.probability,
            domain=state.domain,
        )

    def _stack_of(self, layer: Any) -> Stack:
        """What the first axis holds; a model of volumes takes Z, Y, X, and channels before them."""
        if not self._sees_volumes:
            stack: Stack = self._state.stack
            return stack
        return "channels" if layer.ndim > 3 else "planes"

    def _checkpoint_chosen(self, checkpoint: Path | None) -> None:
        """Ask only what matters to this model; what is wrong with its file, its use will say."""
        model = ModelRead(())
        if checkpoint is not None:
            with contextlib.suppress(UTANetError):
                model = self._describe(checkpoint)
        self._view.set_domains(list(model.domains) if len(model.domains) > 1 else [])
        self._view.set_experts_shown(model.has_experts)
        self._sees_volumes = model.sees_volumes
        self._model = model
        self._layer_chosen(self._state.layer)

    def _hint(self) -> str:
        if self._state.checkpoint is None:
            return "Train a model in UTANet: Train, or open a checkpoint."
        if self._state.layer is None:
            return "Open an image to segment it."
        return "Ready."


class _Run:
    """One run's listener: knows its request, so it needs no live layer."""

    def __init__(self, viewer: Any, view: RunView, request: SegmentRequest, objects: ObjectOffer) -> None:
        self._objects = objects
        self._viewer = viewer
        self._view = view
        self._request = request
        self._classes: tuple[ClassInfo, ...] = ()
        self._notes: list[str] = []
        self._concluded = False

    def on_event(self, event: object) -> None:
        """Progress to the dock, results to the viewer."""
        if isinstance(event, ModelRead):
            self._classes = event.classes_of(self._request.domain)
        elif isinstance(event, ev.SegmentationStarted):
            self._view.set_status(f"Segmenting {self._request.image.name} on {event.device}…")
        elif isinstance(event, ev.TileFinished):
            self._view.set_progress(event.done, event.total, time_left(event.seconds_left))
        elif isinstance(event, ev.Warned):
            self._notes.append(event.message)
        elif isinstance(event, ev.SegmentationFinished):
            self._concluded = True
            for result in event.results:
                self._add(result)

    def on_error(self, message: str) -> None:
        """The work failed."""
        self._concluded = True
        self._view.set_status(message, error=True)

    def on_end(self) -> None:
        """Back to a dock that can run again."""
        self._view.set_running(False)
        if not self._concluded:
            self._view.set_status("Cancelled; no layer was changed.")

    def _add(self, result: ev.ImageSegmented) -> None:
        request = self._request
        if result.probability is not None:
            classes = named_classes(self._classes, len(result.probability))
            for layer in probability_layers(request.image, result.probability, classes):
                show(self._viewer, layer)
        if result.mask is None:
            return
        classes = named_classes(self._classes, max(len(self._classes), 1))
        layer = show(self._viewer, mask_layer(request.image, result.mask, classes, objects=request.objects))
        found = f"{result.foreground:.0%} of the image is foreground"
        if result.objects is not None:
            found = f"{count(result.objects, 'object')} found"
            self._objects.offer_to_measure(layer, request.image)
        text = f"Done in {duration(result.seconds)}: {found}."
        self._view.set_status(" ".join([text, *self._notes]))
