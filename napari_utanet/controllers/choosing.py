"""What the Segment and Experts docks decide alike: which image, and which model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_utanet.adapters.from_layer import has_stack
from napari_utanet.controllers.checkpoints import ModelRead
from napari_utanet.controllers.layer_choices import LayerChoices
from napari_utanet.shelf import Shelf
from napari_utanet.worker import Worker
from src_model.errors import UTANetError


class ChoosingController:
    """Keeps the lists of images and models true; its heirs make the parts and say what to do next."""

    _state: Any
    _view: Any
    _worker: Worker
    _shelf: Shelf
    _describe: Callable[[Path], ModelRead]
    _layers: LayerChoices
    _sees_volumes = False
    """Whether the chosen model takes volumes as a whole: then no axis must be asked about."""

    def close(self) -> None:
        """Hear nothing any more."""
        self._layers.close()
        self._shelf.changed.disconnect(self._show_models)
        self._shelf.chosen.disconnect(self._choose_model)

    def open_checkpoint(self, path: Path) -> None:
        """Put a checkpoint file on the shelf and choose it, or say why it cannot be used."""
        try:
            self._describe(path)
        except UTANetError as error:
            self._view.set_status(str(error), error=True)
            return
        self._shelf.add(path)
        self._view.set_status(self._hint())

    def _hint(self) -> str:
        """What the user can do next."""
        raise NotImplementedError

    def _show_models(self) -> None:
        chosen, choices = self._state.checkpoint, self._shelf.choices()
        self._view.set_models(choices)
        if chosen not in [path for _, path in choices]:
            self._state.checkpoint = self._shelf.preferred

    def _choose_model(self, path: Path) -> None:
        self._state.checkpoint = path

    def _choose_layer(self, layer: str) -> None:
        self._state.layer = layer

    def _layer_chosen(self, layer: str | None) -> None:
        live = self._layers.get(layer)
        self._view.set_stack_shown(live is not None and has_stack(live) and not self._sees_volumes)
        if not self._worker.running:
            self._view.set_status(self._hint())
