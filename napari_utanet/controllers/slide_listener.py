"""Hears about the segmentation of one slide: a mask that grows, how far it is, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt, QTimer
from superqt.utils import qthrottled

from napari_utanet.adapters.growing_mask import GrowingMask
from napari_utanet.adapters.object_table import ObjectTable
from napari_utanet.adapters.show import show_beside, show_pyramid
from napari_utanet.adapters.slide_results import (
    damaged_layer,
    grid_over,
    results_of,
    slide_mask_layer,
    slide_objects_layer,
)
from napari_utanet.controllers.checkpoints import ModelRead
from napari_utanet.controllers.run_view import RunView
from napari_utanet.controllers.slide_work import (
    MaskOpened,
    ObjectsOpened,
    SlideRequest,
    TissueFound,
)
from napari_utanet.wording import amount, count, duration, time_left
from src_model import events as ev
from src_model.config import ClassInfo, named_classes

REFRESH_MS = 200
"""At least so long the mask and the bar stay as they are on screen."""
_CALM_MS = 12.0
"""Drawing that takes longer is felt by who pans or types at that moment."""
_RARE_MS = 4000
"""Where it is felt, the mask is drawn anew so rarely."""
_TICK_MS, _WATCHED_S = 4, 0.1
_THUMBNAIL_S = 10.0
"""The small picture in the list of layers is made anew so rarely."""
_HIDDEN_BY_A_MASK = ("slide mask", "slide objects", "tissue")
"""What would lie over or under the new mask and hide it."""
_PHASES = {"routing": "Choosing the experts for the whole slide", "objects": "Numbering the objects"}


class SlideListener:
    """One run's listener: knows its request, so it needs no live layer.

    Parameters
    ----------
    viewer, view
        Get layers and sentences.
    request
        Of the run.
    on_tissue, on_objects
        Called with what was found.
    """

    def __init__(
        self,
        viewer: Any,
        view: RunView,
        request: SlideRequest,
        *,
        on_tissue: Callable[[TissueFound], None],
        on_objects: Callable[[ObjectTable], None],
    ) -> None:
        self._viewer = viewer
        self._view = view
        self._request = request
        self._on_tissue = on_tissue
        self._on_objects = on_objects
        self._classes: tuple[ClassInfo, ...] = ()
        self._layer: Any = None
        self._mask: GrowingMask | None = None
        self._scale = (1.0, 1.0)
        self._notes: list[str] = []
        self._concluded = False
        self._planned = ""
        self._in_phase = False
        self._thumbnail_at = 0.0
        self._pauses = _Pauses(self._drawn)
        self._held_up = 0
        self._refresh_soon = qthrottled(self._refresh, timeout=REFRESH_MS)
        self._progress_soon = qthrottled(self._show_progress, timeout=REFRESH_MS)

    def on_event(self, event: object) -> None:
        """Progress to the dock, results to the viewer."""
        if isinstance(event, ev.SlideTileFinished):
            self._leave_phase()
            self._refresh_soon()
            self._progress_soon(event)
        elif isinstance(event, ev.SlidePhase):
            self._progress_soon.cancel()
            self._in_phase = True
            self._view.set_status(f"{_PHASES[event.phase]}…")
            self._view.set_progress(event.done, event.total, "")
        elif isinstance(event, ModelRead):
            self._classes = event.classes_of(self._request.domain)
        elif isinstance(event, TissueFound):
            self._on_tissue(event)
        elif isinstance(event, ev.SlideStarted):
            self._planned = self._plan(event)
            self._view.set_status(self._planned)
            self._view.set_progress(event.done, event.tiles, "")
        elif isinstance(event, MaskOpened):
            self._show_mask(event)
        elif isinstance(event, ev.Warned):
            self._notes.append(event.message)
        elif isinstance(event, ObjectsOpened):
            self._show_objects(event)
        elif isinstance(event, ev.SlideFinished):
            self._finish(event)
        elif isinstance(event, ev.SlideStopped):
            self._stop(event)

    def on_error(self, message: str) -> None:
        """The work failed; what was segmented stays in view and on disk."""
        self._concluded = True
        self._view.set_status(message, error=True)

    def close(self) -> None:
        """Draw nothing any more."""
        self._refresh_soon.cancel()
        self._progress_soon.cancel()
        self._pauses.stop()

    def on_end(self) -> None:
        """Back to a dock that can run again."""
        self._view.set_running(False)
        if not self._concluded:
            self._view.set_status("Cancelled before the first tile; no layer was changed.")
        if self._mask is not None:
            self._refresh(thumbnail=True)
        self.close()

    def _leave_phase(self) -> None:
        """Tiles come: what is said of them counts again."""
        if self._in_phase:
            self._in_phase = False
            self._view.set_status(self._planned)

    def _plan(self, event: ev.SlideStarted) -> str:
        """What the work will need."""
        needs = f"about {amount(event.memory_bytes)} of memory and {amount(event.disk_bytes)} on disk"
        where = f"Segmenting {self._request.slide.title} on {event.device}"
        if event.done:
            return (
                f"{where}, going on after {event.done:,} of {count(event.tiles, 'tile')}: it takes {needs}."
            )
        return f"{where}: {count(event.tiles, 'tile')}, {needs}."

    def _show_mask(self, event: MaskOpened) -> None:
        self._mask, self._scale = event.mask, event.started.scale
        classes = named_classes(self._classes, max(len(self._classes), 1))
        layer = slide_mask_layer(
            self._request.slide, event.mask.levels, self._scale, event.started.mask, classes
        )
        for earlier in results_of(self._viewer, self._request.slide.key, _HIDDEN_BY_A_MASK):
            earlier.visible = False
        self._layer = show_pyramid(self._viewer, layer)

    def _show_progress(self, event: ev.SlideTileFinished) -> None:
        left = time_left(event.seconds_left)
        tiles = f"Tile {event.done:,} of {event.total:,}"
        self._view.set_progress(event.done, event.total, f"{tiles} · {left}" if left else tiles)

    def _refresh(self, *, thumbnail: bool = False) -> None:
        """Draw the mask anew where something of it that is in view has changed."""
        layer, mask = self._layer, self._mask
        if mask is None or layer not in self._viewer.layers:
            return
        begin = time.perf_counter()
        changes = mask.take_changes()
        thumbnail = thumbnail or begin - self._thumbnail_at > _THUMBNAIL_S
        if thumbnail or _in_view(layer, changes):
            self._pauses.watch()
            layer.refresh(thumbnail=thumbnail, highlight=False, extent=False)
            self._thumbnail_at = begin if thumbnail else self._thumbnail_at

    def _drawn(self, pause_ms: float) -> None:
        """Rest for long where drawing holds the window up each time: without a graphics processor it does."""
        self._held_up = self._held_up + 1 if pause_ms > _CALM_MS else 0
        self._refresh_soon.setTimeout(REFRESH_MS if self._held_up < 2 else _RARE_MS)

    def _show_objects(self, event: ObjectsOpened) -> None:
        slide, scale = self._request.slide, event.pyramid.scale
        made = slide_objects_layer(slide, event.pyramid.levels, scale, event.path, event.table)
        layer = show_pyramid(self._viewer, made)
        if self._layer in self._viewer.layers:
            self._layer.visible = False  # two masks over each other hide both
        if event.table:
            placement = grid_over(slide.placement, scale)
            self._on_objects(ObjectTable(slide.title, event.table, placement, str(layer.unique_id)))

    def _finish(self, event: ev.SlideFinished) -> None:
        self._concluded = True
        found = f"{event.foreground:.0%} of the area is foreground"
        if event.count is not None:
            found = f"{count(event.count, 'object')}, {found}"
        sentences = [f"Done in {duration(event.seconds)}: {found}.", *self._notes]
        if event.damaged:
            show_beside(self._viewer, damaged_layer(self._request.slide, self._scale, event.damaged))
            sentences.append("Red frames show what could not be decoded.")
        self._view.set_status(" ".join(sentences))

    def _stop(self, event: ev.SlideStopped) -> None:
        if event.mask is None:
            return  # nothing was begun
        self._concluded = True
        stopped = f"Stopped at tile {event.done:,} of {event.total:,}; Segment goes on from there."
        self._view.set_status(" ".join([stopped, *self._notes]))


class _Pauses:
    """How long the window is held up at most within a tenth of a second.

    What is asked to be drawn is drawn some time later, by other parts of the window: it cannot be timed.

    Parameters
    ----------
    told
        Called with the longest pause, milliseconds.
    """

    def __init__(self, told: Callable[[float], None]) -> None:
        self._told = told
        self._longest = self._begun = self._last = 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)

    def watch(self) -> None:
        """Begin now."""
        self._begun = self._last = time.perf_counter()
        self._longest = 0.0
        self._timer.start()

    def stop(self) -> None:
        """Tell nothing any more."""
        self._timer.stop()

    def _tick(self) -> None:
        now = time.perf_counter()
        self._longest = max(self._longest, 1000 * (now - self._last) - _TICK_MS)
        self._last = now
        if now - self._begun > _WATCHED_S:
            self._timer.stop()
            self._told(self._longest)


def _in_view(layer: Any, changes: Any) -> bool:
    """Whether one of some boxes of the finest level lies within what the layer shows."""
    factor = layer.downsample_factors[layer.data_level]
    low, high = layer.corner_pixels * factor - factor, (layer.corner_pixels + 2) * factor
    inside = (changes[:, :2] < high[1]) & (changes[:, 2:] > low[0])
    return bool(inside.all(axis=1).any())
