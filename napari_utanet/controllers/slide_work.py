"""What is done in the background for a slide: the engine and its helpers, and what they yield."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_utanet.adapters.growing_mask import GrowingMask
from napari_utanet.adapters.regions import Polygon
from napari_utanet.adapters.slide_layers import SlideLayer
from napari_utanet.controllers.checkpoints import ModelRead
from src_model import events as ev

if TYPE_CHECKING:
    from src_model.data.label_pyramid import LabelPyramid

Columns = Mapping[str, NDArray[Any]]


def _segment_slide(*arguments: Any, **options: Any) -> Iterable[object]:
    from src_model.inference.slides.run import segment_slide

    events: Iterable[object] = segment_slide(*arguments, **options)
    return events


def _find_tissue(*arguments: Any, **options: Any) -> Any:
    from src_model.inference.slides.tissue import find_tissue

    return find_tissue(*arguments, **options)


def _open_mask(path: Path) -> LabelPyramid:
    from src_model.data.label_pyramid import LabelPyramid

    return LabelPyramid.open(path)


def _read_table(path: Path) -> Columns:
    from src_model.inference.slides.table import read_table

    table: Columns = read_table(path)
    return table


@dataclass(frozen=True)
class SlideEngine:
    """The parts of the science that slides need; each is imported when it is first called."""

    segment: Callable[..., Iterable[object]] = _segment_slide
    find_tissue: Callable[..., Any] = _find_tissue
    open_mask: Callable[[Path], LabelPyramid] = _open_mask
    read_table: Callable[[Path], Columns] = _read_table


@dataclass(frozen=True, eq=False)
class SlideRequest:
    """Everything a run needs; nothing in it changes any more."""

    slide: SlideLayer
    checkpoint: Path
    device: str
    threshold: float
    top_k: int | None
    domain: str | None
    objects: bool
    pixel_size_um: float | None
    slide_pixel_size_um: float | None
    region: list[Polygon] | None
    tissue_only: bool
    tissue: Any
    """As it was shown; ``None`` = still to be found, where it is wanted."""
    tissue_threshold: float | None
    channels: tuple[int, ...] | None
    out: Path | None
    routing: Literal["slide", "tile"] | None
    focus: tuple[float, float]


@dataclass(frozen=True, eq=False)
class TissueFound:
    """Tissue was found on a slide, or found again at another threshold."""

    slide: SlideLayer
    tissue: Any


@dataclass(frozen=True, eq=False)
class PictureRead:
    """A picture beside the slide was read."""

    slide: SlideLayer
    name: str
    pixels: NDArray[Any]


@dataclass(frozen=True, eq=False)
class MaskOpened:
    """The mask of a slide, which grows from now on, can be shown."""

    started: ev.SlideStarted
    mask: GrowingMask


@dataclass(frozen=True, eq=False)
class ObjectsOpened:
    """The numbered objects of a slide can be shown."""

    path: Path
    pyramid: Any
    table: Columns = field(default_factory=dict)


def segment_work(
    request: SlideRequest, engine: SlideEngine, describe: Callable[[Path], ModelRead], control: ev.Control
) -> Iterator[object]:
    """The whole run: the engine's events, with what the viewer needs read and kept up to date here.

    Everything that reads from disk is done in this thread, so that the window never waits for it.
    """
    yield describe(request.checkpoint)
    slide = request.slide.open(request.slide_pixel_size_um)
    tissue = request.tissue
    if request.tissue_only and tissue is None:
        tissue = engine.find_tissue(slide, threshold=request.tissue_threshold)
        yield TissueFound(request.slide, tissue)
    control.check()
    mask: GrowingMask | None = None
    for event in engine.segment(
        slide,
        request.checkpoint,
        out=request.out,
        control=control,
        device=request.device,
        top_k=request.top_k,
        threshold=request.threshold,
        domain=request.domain,
        pixel_size_um=request.pixel_size_um,
        slide_pixel_size_um=request.slide_pixel_size_um,
        region=request.region,
        tissue=tissue,
        channels=request.channels,
        routing=request.routing,
        focus=request.focus,
        objects=request.objects,
    ):
        if isinstance(event, ev.SlideTileFinished) and mask is not None:
            mask.grow(event.box, event.overview)
        yield event
        if isinstance(event, ev.SlideStarted):
            mask = GrowingMask(engine.open_mask(event.mask))
            yield MaskOpened(event, mask)
        elif isinstance(event, ev.SlideFinished) and event.objects is not None:
            table = {} if event.table is None else engine.read_table(event.table)
            yield ObjectsOpened(event.objects, engine.open_mask(event.objects), table)


def tissue_work(
    slide: SlideLayer, found: Any, threshold: float | None, engine: SlideEngine, control: ev.Control
) -> Iterator[TissueFound]:
    """Find tissue; where it was found before, only cut what was found at another threshold."""
    control.check()
    if found is None:
        tissue = engine.find_tissue(slide.open(), threshold=threshold)
    else:
        tissue = found.with_threshold(threshold)
    yield TissueFound(slide, tissue)


def picture_work(slide: SlideLayer, name: str, control: ev.Control) -> Iterator[PictureRead]:
    """Read a picture beside the slide."""
    control.check()
    picture = slide.open().associated[name]
    yield PictureRead(slide, name, np.asarray(picture))
