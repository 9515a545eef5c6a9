"""Which layers a dock offers: follows the viewer's layers, their names and the active one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_utanet.adapters.from_layer import identity
from napari_utanet.adapters.to_layer import role_of

Choices = list[tuple[str, str]]
"""Name and identity of each offered layer."""


class LayerChoices:
    """Keeps a list of layers up to date.

    Parameters
    ----------
    viewer
        The napari viewer.
    accepts
        Which layers are offered, e.g. :func:`napari_utanet.adapters.from_layer.is_image`. Results
        of this plugin are never offered as images.
    on_change
        Called with the choices when a layer comes, goes or is renamed.
    on_active
        Called with the identity of an offered layer when it becomes the viewer's active one.
    """

    def __init__(
        self,
        viewer: Any,
        accepts: Callable[[Any], bool],
        on_change: Callable[[Choices], None],
        on_active: Callable[[str], None],
    ) -> None:
        self._viewer = viewer
        self._accepts = accepts
        self._on_change = on_change
        self._on_active = on_active
        layers = viewer.layers
        layers.events.inserted.connect(self._refresh)
        layers.events.removed.connect(self._refresh)
        layers.events.reordered.connect(self._refresh)
        layers.selection.events.active.connect(self._activated)
        self._watched: list[Any] = []

    def start(self) -> None:
        """Report the layers that are there already."""
        self._refresh()
        self._activated()

    def get(self, layer: str | None) -> Any | None:
        """The live layer of that identity, ``None`` when it is gone."""
        return next((item for item in self._viewer.layers if identity(item) == layer), None)

    def close(self) -> None:
        """Hear nothing any more."""
        layers = self._viewer.layers
        for emitter in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            emitter.disconnect(self._refresh)
        layers.selection.events.active.disconnect(self._activated)
        self._watch([])

    def _offered(self) -> list[Any]:
        return [layer for layer in self._viewer.layers if self._offers(layer)]

    def _offers(self, layer: Any) -> bool:
        role = role_of(layer)
        return self._accepts(layer) and (role is None or role == "mask")

    def _refresh(self, _event: object = None) -> None:
        offered = self._offered()
        self._watch(offered)
        self._on_change([(layer.name, identity(layer)) for layer in reversed(offered)])

    def _watch(self, layers: list[Any]) -> None:
        for layer in self._watched:
            layer.events.name.disconnect(self._refresh)
        for layer in layers:
            layer.events.name.connect(self._refresh)
        self._watched = layers

    def _activated(self, _event: object = None) -> None:
        active = self._viewer.layers.selection.active
        if active is not None and self._offers(active):
            self._on_active(identity(active))
