"""What the chosen images are: one pair as a picture, then every file of a folder, in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_utanet.adapters.dataset_summary import DatasetSummary, class_count, summarise_report
from napari_utanet.adapters.pairs import Preview
from napari_utanet.controllers.train_request import PreviewRequest, preview_request
from napari_utanet.controllers.train_view import TrainView
from napari_utanet.state import MOST_CLASSES, TrainState
from napari_utanet.worker import Worker
from src_model import events as ev
from src_model.errors import UTANetError
from src_model.models.registry import list_models

if TYPE_CHECKING:
    from src_model.data.integrity import Integrity

PreviewMaker = Callable[[PreviewRequest], Preview]
Checker = Callable[..., Iterable[object]]
Layers = Callable[[], tuple[Any | None, Any | None]]

_SILENT = DatasetSummary("")


def default_checker(*arguments: Any, **options: Any) -> Iterable[object]:
    """The real check of a dataset, imported when it is first needed."""
    from src_model.data.integrity import check_dataset

    return check_dataset(*arguments, **options)


@dataclass(frozen=True)
class _NoPreview:
    """Why there is no picture; the check goes on."""

    message: str


class TrainData:
    """Shows a preview of the chosen images, checks a chosen folder, and knows what was found.

    Parameters
    ----------
    layers
        Gives the chosen image and labels layers, ``None`` where there is none.
    make_preview, check
        What is run in the worker; tests pass their own.
    """

    def __init__(
        self,
        state: TrainState,
        view: TrainView,
        worker: Worker,
        layers: Layers,
        make_preview: PreviewMaker,
        check: Checker = default_checker,
    ) -> None:
        self._state = state
        self._view = view
        self._worker = worker
        self._layers = layers
        self._make_preview = make_preview
        self._check = check
        self._report: Integrity | None = None
        self._summary = _SILENT
        self._taken: tuple[Path, str] | None = None
        view.check_clicked.connect(self.look)
        for changed in (state.events.source, state.events.folder, state.events.layout):
            changed.connect(self.look)
        for changed in (state.events.image_layer, state.events.labels_layer):
            changed.connect(self._look_at_layers)
        state.events.model.connect(lambda _name: self._show())

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes where the chosen folder tells them."""
        return () if self._report is None else self._report.class_names

    @property
    def mismatch(self) -> str:
        """Why the chosen network cannot take the chosen images; empty where it can, or nobody knows."""
        has = self._dims()
        if has is None or self._state.model in list_models(dims=has):
            return ""
        held, taken = ("images", "volumes") if has == 2 else ("volumes", "flat images")
        return (
            f"These are {held} but the network '{self._state.model}' takes {taken}; choose another "
            f"architecture, such as {list_models(dims=has)[0]}."
        )

    def look(self) -> None:
        """Begin anew with what is chosen now; what still runs for an earlier choice is dropped."""
        self._report = None
        try:
            request = preview_request(self._state, *self._layers())
        except UTANetError as error:
            self._worker.start(_nothing, _Listener(self), supersede=True)
            self.show_preview(None, str(error))
            self.say(_SILENT)
            return
        maker, check = self._make_preview, self._check
        self.say(DatasetSummary("Reading the folder…") if request.checked else _SILENT)
        self._worker.start(
            lambda control: _work(request, maker, check, control),
            _Listener(self, checked=request.checked),
            supersede=True,
        )

    def show_preview(self, preview: Preview | None, caption: str) -> None:
        """A picture, or why there is none."""
        self._view.set_preview(preview, caption)

    def say(self, summary: DatasetSummary) -> None:
        """What is known of the images so far."""
        self._summary = summary
        self._show()

    def take(self, report: Integrity) -> None:
        """All files are read; the number of classes is taken over once for each folder and layout."""
        self._report = report
        found = (report.root, report.layout)
        number = class_count(report)
        if found != self._taken and number is not None:
            self._state.classes = min(number, MOST_CLASSES)
        self._taken = found
        self.say(summarise_report(report))

    def _show(self) -> None:
        mismatch = self.mismatch
        self._view.set_dataset(replace(self._summary, error=mismatch) if mismatch else self._summary)

    def _dims(self) -> int | None:
        if self._state.source != "folder":
            return 2
        return None if self._report is None else self._report.dims

    def _look_at_layers(self) -> None:
        if self._state.source == "layers":
            self.look()


class _Listener:
    """Hands over what one look found."""

    def __init__(self, data: TrainData, *, checked: bool = False) -> None:
        self._data = data
        self._checked = checked
        self._no_preview = ""

    def on_event(self, event: object) -> None:
        if isinstance(event, Preview):
            self._data.show_preview(event, event.caption)
        elif isinstance(event, _NoPreview):
            self._no_preview = event.message
            self._data.show_preview(None, event.message)
        elif isinstance(event, ev.CaseChecked):
            self._data.say(DatasetSummary(f"Reading the files: {event.done:,} of {event.total:,}"))
        elif isinstance(event, ev.DatasetChecked):
            self._data.take(event.report)

    def on_error(self, message: str) -> None:
        if not self._checked:
            self._data.show_preview(None, message)
            return
        if message == self._no_preview:
            self._data.show_preview(None, "")
        self._data.say(DatasetSummary("", error=message))

    def on_end(self) -> None:
        """Nothing to do."""


def _nothing(_control: ev.Control) -> Iterable[object]:
    return ()


def _work(
    request: PreviewRequest, maker: PreviewMaker, check: Checker, control: ev.Control
) -> Iterator[object]:
    """Runs in the background: one pair first, as it is quick; then every file of a folder."""
    control.check()
    if not request.checked:
        yield maker(request)
        return
    try:
        yield maker(request)
    except UTANetError as error:
        yield _NoPreview(str(error))
    yield from check(request.folder, request.layout, control=control)
