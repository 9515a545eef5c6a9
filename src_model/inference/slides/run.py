"""Segments a whole slide: a generator of events, while the mask grows on the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from src_model.data.slide import Slide, open_slide
from src_model.errors import Stopped
from src_model.events import (
    Control,
    Event,
    SlideFinished,
    SlidePhase,
    SlideStarted,
    SlideStopped,
    SlideTileFinished,
    Warned,
)
from src_model.inference.network import Network
from src_model.inference.slides.job import objects_paths, only_one
from src_model.inference.slides.objects import Numbered
from src_model.inference.slides.pipeline import flow
from src_model.inference.slides.plan import MOST_MEMORY
from src_model.inference.slides.request import DEFAULT_ROUTING, RoutingMode, SlideRequest
from src_model.inference.slides.work import SlideWork
from src_model.memory import kept_memory
from src_model.models.checkpoint import Checkpoint
from src_model.tiling.groups import Group

if TYPE_CHECKING:
    from src_model.inference.slides.tissue import Tissue


def segment_slide(
    source: str | os.PathLike[str] | Slide,
    checkpoint: Checkpoint | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    control: Control | None = None,
    device: str = "auto",
    precision: str = "auto",
    top_k: int | None = None,
    threshold: float = 0.5,
    domain: str | int | None = None,
    pixel_size_um: float | None = None,
    slide_pixel_size_um: float | None = None,
    region: Sequence[NDArray[Any]] | None = None,
    tissue: Tissue | None = None,
    channels: tuple[int, ...] | None = None,
    routing: RoutingMode | None = None,
    focus: tuple[float, float] | None = None,
    objects: bool = False,
    tile: int | None = None,
    halo: int | None = None,
    batch_size: int | None = None,
) -> Iterator[Event]:
    """Segment a slide of any size into an OME-Zarr pyramid that grows on the disk.

    Tiles are read, computed and written at the same time, and memory does not grow with the slide.
    The tiles that lie nearest to ``focus`` come first. The same call goes on with a job that was
    stopped or killed: what is done is not done again, and the result is the same. A finished job is not
    repeated; one with other settings gets a folder of its own.

    A tile without any contrast is background. A piece of the slide that cannot be decoded counts as
    blank, is noted in the result, and costs no other piece.

    Parameters
    ----------
    source
        A slide, or its path; see :func:`src_model.data.slide.open_slide`.
    checkpoint
        A checkpoint of a 2-D network, or its path.
    out
        Folder for ``<stem>_mask.ome.zarr`` and, with objects, ``<stem>_objects.ome.zarr`` and
        ``<stem>_objects.csv``; ``None`` = that of the slide.
    control
        Token to pause and stop, checked between the layers of the network.
    device, precision, top_k, threshold, domain
        See :func:`src_model.inference.predictor.segment`.
    pixel_size_um
        At which to segment, micrometres: the nearest finer level is read and shrunk. ``None`` = the
        model's, where it knows it, else the slide's finest.
    slide_pixel_size_um
        Of the finest level, where the file does not tell it.
    region
        Polygons (N, 2), (y, x) in pixels of the finest level from its corner; ``None`` = the whole slide.
    tissue
        Only there, see :func:`src_model.inference.slides.tissue.find_tissue`; ``None`` = everywhere.
    channels
        Which channels of a slide with channels the network sees; ``None`` = all.
    routing
        ``tile``: the routers of a mixture choose experts for each tile; ``slide``: once, by the mean over
        samples of the slide. ``None`` = the better one as measured, see docs/performance.md.
    focus
        Where to begin, (y, x) in pixels of the finest level; ``None`` = the middle.
    objects
        Number the objects too, and measure them.
    tile, halo, batch_size
        Side of the kept part of a square tile (a multiple of 256; others are no wider, and read no more
        pixels) and context around it, pixels of the mask, and tiles at a time; ``None`` = what suits network,
        device and memory.

    Yields
    ------
    Event
        ``SlideStarted``, ``SlideTileFinished`` for each tile, ``SlidePhase`` before and after them; at the
        end ``SlideFinished``, or ``SlideStopped`` after a stop. ``Warned`` says what the user should know.

    Raises
    ------
    CheckpointError, ConfigError, DeviceError, ModelError
        When a setting, the checkpoint or the device cannot be used, or memory is short.
    DataError
        When the slide cannot be opened, or was replaced or lost while it was read.
    ImageError
        When the slide does not fit the model, or nothing of it is to be segmented.
    OutputError
        When the results cannot be written, or another work writes them; what is done is kept.
    """
    request = SlideRequest(
        threshold=threshold,
        pixel_size_um=pixel_size_um,
        slide_pixel_size_um=slide_pixel_size_um,
        region=region,
        tissue=tissue,
        channels=channels,
        routing=routing or DEFAULT_ROUTING,
        focus=focus,
        objects=objects,
        tile=tile,
        halo=halo,
        batch_size=batch_size,
    )
    control = control or Control()
    slide = source if isinstance(source, Slide) else open_slide(Path(source))
    network = Network(
        checkpoint, device=device, precision=precision, top_k=top_k, domain=domain, control=control
    )
    with kept_memory(), network.maps.reserved(MOST_MEMORY if network.shares_processors else 0):
        try:
            control.check()
            work = SlideWork(slide, network, request, control, checkpoint, out)
        except Stopped:
            message = "Stopped on request; nothing was begun."
            yield SlideStopped(source=slide.path.name, mask=None, done=0, total=0, message=message)
            return
        with only_one(work.path), network.maps.reserved(work.needs.maps):
            work.begin()
            yield from _events(work, network, control)


def _events(work: SlideWork, network: Network, control: Control) -> Iterator[Event]:
    begun = time.perf_counter()
    left = work.left
    done = work.tiles - sum(map(len, left))
    yield SlideStarted(
        source=work.name,
        mask=work.path,
        tiles=work.tiles,
        done=done,
        shape=work.grid.shape,
        scale=work.grid.scale,
        pixel_size_um=work.grid.pixel_size_um,
        device=str(network.device),
        memory_bytes=work.needs.memory,
        disk_bytes=work.needs.disk,
    )
    for note in work.warnings:
        yield Warned(message=note)
    try:
        for looked, samples in work.scout() if left else ():
            yield SlidePhase(source=work.name, phase="routing", done=looked, total=samples)
        yield from _tiles(work, network, left, done, control)
        work.check_decoded()
        if not work.mask.complete:
            work.mask.finish()
        objects = yield from _objects(work)
    except Stopped:
        done = work.tiles - sum(map(len, work.left))
        message = (
            f"Stopped on request; {done} of {work.tiles} tiles are kept, and the same call goes on there."
        )
        yield SlideStopped(source=work.name, mask=work.path, done=done, total=work.tiles, message=message)
        return
    if work.damaged:
        yield Warned(message=_about_damage(work))
    yield SlideFinished(
        source=work.name,
        mask=work.path,
        foreground=work.foreground(),
        damaged=work.damaged,
        objects=objects.labels if objects else None,
        table=objects.table if objects else None,
        count=objects.number if objects else None,
        seconds=time.perf_counter() - begun,
    )


def _about_damage(work: SlideWork) -> str:
    """How many pieces could not be decoded, and why the first of them could not."""
    pieces, reason = len(work.damaged), work.reader.reason
    many = f"{pieces:,} pieces" if pieces > 1 else "1 piece"
    text = f"{many} of {work.name} could not be decoded and {'count' if pieces > 1 else 'counts'} as blank"
    if not reason:
        return f"{text}, as an earlier run found."
    return f"{text}; the first one: {reason}" if pieces > 1 else f"{text}: {reason}"


class _Objects(NamedTuple):
    """Where the objects of a slide lie, and how many there are."""

    labels: Path
    table: Path
    number: int


def _objects(work: SlideWork) -> Generator[Event, None, _Objects | None]:
    """Number and measure the objects, unless that is done or not wanted."""
    if not work.objects:
        return None
    labels, table = objects_paths(work.path)
    count = work.mask.provenance.get("objects_found")
    if count is None or not (labels.exists() and table.exists()):
        numbered = yield from _as_phase(work.name, work.number_objects(labels, table))
        for note in numbered.warnings:
            yield Warned(message=note)
        count = numbered.count
        work.mask.note(objects_found=count)
    return _Objects(labels, table, int(count))


def _as_phase(
    name: str, steps: Generator[tuple[int, int], None, Numbered]
) -> Generator[Event, None, Numbered]:
    while True:
        try:
            done, total = next(steps)
        except StopIteration as end:
            found: Numbered = end.value
            return found
        yield SlidePhase(source=name, phase="objects", done=done, total=total)


def _tiles(
    work: SlideWork, network: Network, left: list[Group], done: int, control: Control
) -> Iterator[Event]:
    """All groups that are left."""
    begun, before = time.perf_counter(), done
    steps = flow(
        left,
        work.read,
        work.compute,
        work.write,
        readers=network.readers,
        ahead=network.ahead,
        apart=network.shares_processors,
        check=control.check,
    )
    with closing(steps):
        for written in steps:
            for box, overview in written:
                done += 1
                seconds = (time.perf_counter() - begun) / (done - before)
                yield SlideTileFinished(
                    source=work.name,
                    done=done,
                    total=work.tiles,
                    seconds_left=seconds * (work.tiles - done),
                    box=(box.y, box.x, box.height, box.width),
                    overview=overview,
                    damaged=len(work.damaged),
                )
