"""``utanet segment``: images, volumes and whole slides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from src_model import events as ev
from src_model.cli.commands import CheckpointFile, Device, Flips, Json, TopK, app
from src_model.cli.follow import follow
from src_model.errors import ConfigError, DataError, ImageError

Region = tuple[int, int, int, int]
_SLIDES = "Whole slides"
"""Heading of the options for slides."""


@app.command()
def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Images, volumes or slides, or folders of them."),
    ],
    checkpoint: CheckpointFile,
    out: Annotated[
        Path,
        typer.Option(help="Folder for the masks: <stem>_mask.tif, .nii.gz, or .ome.zarr of a slide."),
    ],
    top_k: TopK = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Probability above which is foreground.")
    ] = 0.5,
    roi: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="Only this region, in pixels of the full resolution."),
    ] = None,
    instances: Annotated[
        bool,
        typer.Option("--instances", help="Number the objects instead of classes; of slides beside them."),
    ] = False,
    domain: Annotated[
        str | None, typer.Option(help="Which organ, for a network that serves several (u2net3d).")
    ] = None,
    flips: Flips = False,
    tissue: Annotated[
        bool, typer.Option("--tissue", help="Only where there is tissue.", rich_help_panel=_SLIDES)
    ] = False,
    tissue_threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="What counts as tissue; lower finds more. Default: found on each slide.",
            rich_help_panel=_SLIDES,
        ),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(help="At which to segment, micrometres; default: the model's.", rich_help_panel=_SLIDES),
    ] = None,
    slide_pixel_size: Annotated[
        float | None,
        typer.Option(
            help="Of the slide, micrometres, where its file does not tell it.", rich_help_panel=_SLIDES
        ),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Which channels, counted from 0.", rich_help_panel=_SLIDES),
    ] = None,
    routing: Annotated[
        Literal["slide", "tile"] | None,
        typer.Option(help="Choose experts once for the slide, or for each tile.", rich_help_panel=_SLIDES),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Segment images, volumes and slides.

    A mask of an image appears only when it is complete. That of a slide grows, and the same command
    goes on where it stopped.
    """
    from src_model.data.slide import is_slide

    region = None if roi is None else _region(roi)
    chosen = None if channels is None else _numbers(channels, "whole numbers N,N,...")
    given = [
        (file, is_slide(file)) for item in inputs for file in ([item] if is_slide(item) else _files(item))
    ]
    images = [file for file, slide in given if not slide]
    control = ev.Control()
    missing = False
    if images:
        from src_model.inference.predictor import segment as engine

        stream = engine(
            images,
            checkpoint,
            out=out,
            control=control,
            device=device,
            top_k=top_k,
            threshold=threshold,
            roi=region,
            instances=instances,
            domain=domain,
            flips=flips,
        )
        last = follow(stream, control, as_json=as_json)
        if not isinstance(last, ev.SegmentationFinished):
            raise typer.Exit(130)
        missing = len(last.results) < len(images)

    def events_of(slide: Path) -> Iterator[ev.Event]:
        from src_model.data.slide import open_slide
        from src_model.inference.slides.run import segment_slide
        from src_model.inference.slides.tissue import find_tissue

        opened = open_slide(slide)
        looked = tissue or tissue_threshold is not None
        yield from segment_slide(
            opened,
            checkpoint,
            out=out,
            control=control,
            device=device,
            top_k=top_k,
            threshold=threshold,
            domain=domain,
            pixel_size_um=pixel_size,
            slide_pixel_size_um=slide_pixel_size,
            region=None if region is None else [_outline(region)],
            tissue=find_tissue(opened, threshold=tissue_threshold) if looked else None,
            channels=chosen,
            routing=routing,
            objects=instances,
        )

    for slide in (file for file, slide in given if slide):
        try:
            end = follow(events_of(slide), control, as_json=as_json)
        except (DataError, ImageError) as error:
            message = _about(slide, str(error))
            if len(given) == 1:
                raise type(error)(message) from error
            missing = True  # one that cannot be used costs no other
            follow([ev.Warned(message=message)], control, as_json=as_json)
            continue
        if not isinstance(end, ev.SlideFinished):
            raise typer.Exit(130)
    if missing:
        raise typer.Exit(1)


def _about(slide: Path, message: str) -> str:
    """A message that names its slide."""
    return message if slide.name in message else f"{slide.name}: {message}"


def _outline(region: Region) -> np.ndarray:
    """The corners of a region (y, x)."""
    x, y, width, height = region
    return np.array([[y, x], [y, x + width], [y + height, x + width], [y + height, x]])


def _region(text: str) -> Region:
    numbers = _numbers(text, "four whole numbers X,Y,W,H")
    if len(numbers) != 4:
        raise typer.BadParameter(f"expected four whole numbers X,Y,W,H but got '{text}'")
    x, y, width, height = numbers
    if width < 1 or height < 1:
        raise typer.BadParameter(f"expected a width and a height of at least 1 in X,Y,W,H but got '{text}'")
    return x, y, width, height


def _numbers(text: str, expected: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"expected {expected} but got '{text}'") from None


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    from src_model.data.image_io import IMAGE_SUFFIXES
    from src_model.data.slide import SLIDE_SUFFIXES
    from src_model.data.volumes import SUFFIXES

    endings = (*sorted(IMAGE_SUFFIXES | SLIDE_SUFFIXES), *SUFFIXES)
    visible = (file for file in path.iterdir() if not file.name.startswith("."))
    files = sorted(file for file in visible if file.name.lower().endswith(endings))
    if not files:
        raise ConfigError(f"The folder {path} holds no images or volumes ({', '.join(endings)}).")
    return files
