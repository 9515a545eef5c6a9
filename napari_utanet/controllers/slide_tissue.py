"""Tissue of a slide: found in the background, shown as a layer, and taken as the layer shows it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from superqt.utils import qdebounced

from napari_utanet.adapters.show import show_beside
from napari_utanet.adapters.slide_layers import SlideLayer
from napari_utanet.adapters.slide_results import results_of, tissue_layer
from napari_utanet.controllers.slide_view import SlideView
from napari_utanet.controllers.slide_work import SlideEngine, TissueFound, tissue_work
from napari_utanet.state import SlideState
from napari_utanet.worker import Worker
from src_model.errors import ImageError

SETTLED_MS = 120
"""A slider that rests so long has come to its place."""
_STEP = 0.003
"""Thresholds that differ by less are the same; a slider rounds."""


class Teller(Protocol):
    """Whoever shows a sentence."""

    def set_status(self, text: str, *, error: bool = False) -> None:
        """The one line that says what is going on."""


class TissueController:
    """Keeps what was found of each slide, and the layer that shows it.

    Parameters
    ----------
    viewer
        The napari viewer.
    state, view
        Of the fields of a slide.
    teller
        Shows what is going on.
    worker
        In which tissue is looked for.
    engine
        Finds it.
    """

    def __init__(
        self,
        viewer: Any,
        state: SlideState,
        view: SlideView,
        teller: Teller,
        worker: Worker,
        engine: SlideEngine,
    ) -> None:
        self._viewer = viewer
        self._state = state
        self._view = view
        self._teller = teller
        self._worker = worker
        self._engine = engine
        self._slide: SlideLayer | None = None
        self._found: dict[str, Any] = {}
        self._shown: dict[str, NDArray[np.uint8]] = {}
        self._cut_soon = qdebounced(self._cut, timeout=SETTLED_MS)
        view.tissue_clicked.connect(self.find)
        state.events.tissue_threshold.connect(self._threshold_moved)

    def choose(self, slide: SlideLayer | None) -> None:
        """Another slide was chosen, or none."""
        if slide is None or self._slide is None or slide.key != self._slide.key:
            self._slide = None  # so that the threshold of this slide moves nothing
            tissue = None if slide is None else self._found.get(slide.key)
            self._show_threshold(None if tissue is None else tissue.threshold)
        self._slide = slide

    def find(self) -> None:
        """Find the tissue of the chosen slide and show it."""
        slide = self._slide
        if slide is None:
            return
        self._state.tissue = True
        found, layer = self._found.get(slide.key), self._layer_of(slide)
        if found is not None and layer is not None:
            layer.visible = True
            return
        self._teller.set_status(f"Looking for tissue on {slide.title}…")
        self._start(slide, found)

    def of(self, slide: SlideLayer) -> Any:
        """The tissue of a slide as its layer shows it now; ``None`` where it was not shown.

        Raises
        ------
        ImageError
            When nothing is left on the layer.
        """
        layer, found = self._layer_of(slide), self._found.get(slide.key)
        if layer is None or found is None:
            return None
        mask = np.array(layer.data) != 0
        if not mask.any():
            raise ImageError(
                f"The layer '{layer.name}' shows no tissue; paint some, or segment without 'Tissue only'."
            )
        return found.edited(mask)

    def show(self, event: TissueFound) -> None:
        """Show what was found; what the user painted stays where it is."""
        slide, tissue = event.slide, event.tissue
        mask = np.asarray(tissue.mask).astype(np.uint8)
        layer, before = self._layer_of(slide), self._shown.get(slide.key)
        if layer is not None and before is not None and before.shape == mask.shape == layer.data.shape:
            drawn = np.asarray(layer.data)
            layer.data = np.where(drawn != before, drawn, mask)
            layer.visible = True
        else:
            show_beside(self._viewer, tissue_layer(slide, mask, tissue.scale))
        self._found[slide.key], self._shown[slide.key] = tissue, mask
        if self._slide is not None and self._slide.key == slide.key:
            self._show_threshold(tissue.threshold)

    def on_event(self, event: object) -> None:
        """Hears about the work."""
        if isinstance(event, TissueFound):
            self.show(event)
            share = float(np.asarray(event.tissue.mask).mean())
            self._teller.set_status(
                f"{share:.0%} of the slide is tissue, the rest is veiled. Move the threshold or paint on the "
                "layer to correct it."
            )

    def on_error(self, message: str) -> None:
        """No tissue was found."""
        self._teller.set_status(message, error=True)

    def on_end(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Start nothing any more."""
        self._cut_soon.cancel()

    def _threshold_moved(self, threshold: float | None) -> None:
        if self._slide is not None and threshold is not None:
            self._cut_soon()

    def _cut(self) -> None:
        """Show the tissue above the threshold that the slider has come to."""
        slide, threshold = self._slide, self._state.tissue_threshold
        if slide is None or threshold is None:
            return
        found = self._found.get(slide.key)
        if found is not None and abs(found.threshold - threshold) > _STEP:
            self._start(slide, found)

    def _layer_of(self, slide: SlideLayer) -> Any | None:
        return next(iter(results_of(self._viewer, slide.key, ("tissue",))), None)

    def _start(self, slide: SlideLayer, found: Any) -> None:
        threshold, engine = self._state.tissue_threshold, self._engine
        if found is not None and threshold is None:
            threshold = found.threshold
        self._worker.start(
            lambda control: tissue_work(slide, found, threshold, engine, control), self, supersede=True
        )

    def _show_threshold(self, threshold: float | None) -> None:
        self._state.tissue_threshold = threshold
        self._view.set_tissue_found(threshold)
