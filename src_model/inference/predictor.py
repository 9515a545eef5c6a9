"""Segments images and volumes: a generator of events, the last of which carries the masks."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from src_model.errors import DataError, ImageError, Stopped, UTANetError
from src_model.events import (
    Control,
    Event,
    ImageSegmented,
    SegmentationFinished,
    SegmentationStopped,
    Warned,
)
from src_model.inference.image_run import ImageRun
from src_model.inference.network import Network
from src_model.inference.request import Request
from src_model.inference.sources import Source, list_sources, plan_outputs
from src_model.inference.volume_run import VolumeRun
from src_model.memory import kept_memory
from src_model.models.checkpoint import Checkpoint

ImageSource = NDArray[Any] | str | PathLike[str]


def segment(
    source: ImageSource | Sequence[ImageSource],
    checkpoint: Checkpoint | str | PathLike[str],
    *,
    out: str | PathLike[str] | None = None,
    control: Control | None = None,
    device: str = "auto",
    precision: str = "auto",
    top_k: int | None = None,
    threshold: float = 0.5,
    tile: int | None = None,
    halo: int | None = None,
    roi: tuple[int, int, int, int] | None = None,
    instances: bool = False,
    probability: bool = False,
    axes: str | None = None,
    batch_size: int | None = None,
    domain: str | int | None = None,
    flips: bool = False,
) -> Iterator[Event]:
    """Segment one or several images, or volumes with a 3-D network.

    Nothing happens before the first event is asked for. Closing the iterator ends the work; files
    appear complete or not at all. The caller's network is neither moved nor changed.

    Every plane of a stack is segmented by itself, its intensities scaled by the range of the whole
    image. A plane without any contrast is background. Where the network was trained on whole
    images shrunk to one size (``sampling: resize``), planes are shrunk likewise and the result is
    enlarged, unless ``tile`` is given. Otherwise images of up to 1024 x 1024 pixels are seen in
    one piece, larger ones in tiles; the routers of a mixture then decide for each tile.

    A 3-D network takes whole volumes: ``.nii`` or ``.nii.gz`` files, whose masks are NIfTI files on
    the same grid, and arrays or TIFF stacks ``(Z, Y, X)``, perhaps with channels. It sees them in
    overlapping patches of the size that it was trained on.

    Parameters
    ----------
    source
        An array, the path of an image, or a list of those. Grey, RGB, RGBA or multichannel,
        whole numbers or floats, with any axes of planes.
    checkpoint
        A checkpoint or its path.
    out
        Folder for ``<stem>_mask.tif`` (of NIfTI files ``.nii.gz``), and ``<stem>_probability`` where
        asked for; ``None`` = results travel in the events.
    control
        Token to pause and stop, checked between the layers of the network and between pieces.
    device, precision
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``auto``, ``float32``, ``bfloat16`` or, on a
        GPU, ``float16``.
    top_k
        Experts per router, from 1 to their number; ``None`` = as trained.
    threshold
        With one class: the probability above which is foreground. Several classes: unused.
    tile, halo
        Side of the tiles' kept part and context read around it, pixels; ``None`` = 512 and what
        the network needs (its ``halo``). Of volumes, ``tile`` is the side of the patches and ``halo`` is
        not used.
    roi
        Only this region (x, y, width, height), pixels of the full resolution; the result has the
        region's size. What lies around it is still seen as context.
    instances
        Number the objects (uint32, without repeats over the planes) instead of the classes: touching
        ones are separated in images, connected ones stay one in volumes.
    probability
        Give the probabilities too; they take 4 bytes per pixel and foreground class.
    axes
        Letter of each axis, e.g. ``"ZYXC"``; ``None`` = guessed, see
        :func:`src_model.inference.axes.guess_axes`.
    batch_size
        Tiles at a time; ``None`` = 1 on a CPU, else 4.
    domain
        For a network that serves several (3D U2-Net): which organ, by name or number.
    flips
        Whether the mean probability over four mirrorings of each piece counts (rows, columns, both and
        neither); takes four times as long.

    Yields
    ------
    Event
        For each image ``SegmentationStarted``, ``TileFinished`` per piece, ``ImageSegmented``;
        at the end ``SegmentationFinished``, or ``SegmentationStopped`` after a stop. ``Warned``
        names an image that was left out (its neighbours go on) or says that memory was short.

    Raises
    ------
    ConfigError, CheckpointError, DeviceError, ModelError, OutputError
        When a setting, the checkpoint, the device or the output folder cannot be used.
    DataError, ImageError
        When the only image, or each of several, cannot be segmented; the first one's reason.
    """
    request = Request(
        threshold=threshold,
        top_k=top_k,
        tile=tile,
        halo=halo,
        roi=roi,
        instances=instances,
        probability=probability,
        axes=axes,
        batch_size=batch_size,
    )
    sources = list_sources(source)
    targets = plan_outputs(sources, out)
    control = control or Control()
    network = Network(
        checkpoint,
        device=device,
        precision=precision,
        top_k=top_k,
        domain=domain,
        control=control,
        flips=flips,
    )
    with kept_memory():
        yield from _all_images(list(zip(sources, targets, strict=True)), network, request, control)


def _all_images(
    jobs: list[tuple[Source, Path | None]], network: Network, request: Request, control: Control
) -> Iterator[Event]:
    begun = time.perf_counter()
    results: list[ImageSegmented] = []
    failures: list[UTANetError] = []
    for source, target in jobs:
        outcome = yield from _one_image(source, target, network, request, control)
        match outcome:
            case ImageSegmented():
                results.append(outcome)
            case Stopped():
                message = f"Stopped on request; {len(results)} of {len(jobs)} images are complete."
                yield SegmentationStopped(results=tuple(results), message=message)
                return
            case _:
                failures.append(outcome)
                if len(jobs) > 1:
                    yield Warned(message=f"{source.name} was left out: {outcome}")
    if failures and not results:
        raise failures[0]
    yield SegmentationFinished(results=tuple(results), seconds=time.perf_counter() - begun)


def _one_image(
    source: Source, target: Path | None, network: Network, request: Request, control: Control
) -> Generator[Event, None, ImageSegmented | Stopped | DataError | ImageError]:
    """Segment one image; the outcome is its result or why there is none."""
    try:
        control.check()
        kind = VolumeRun if network.model.dims == 3 else ImageRun
        run = kind(source, target, network, request, control)
        result = yield from run.events()
    except (Stopped, DataError, ImageError) as reason:
        return reason
    return result
