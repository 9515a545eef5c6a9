"""From the mask of a whole slide to numbered objects and their table, in memory that stays flat.

No object is cut or doubled at the border of a window: the result is that of
:func:`src_model.inference.objects.to_objects` for the whole mask, up to the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.label_pyramid import LabelPyramid
from src_model.errors import OutputError
from src_model.events import Control
from src_model.files import atomic_folder, atomic_path, reason_of, remove_leftovers
from src_model.inference.objects import LEAST_PIXELS
from src_model.inference.slides.components import Components, Grid, Read, Scan
from src_model.inference.slides.label_buffer import Labels
from src_model.inference.slides.object_windows import Windows
from src_model.inference.slides.table import ObjectTable
from src_model.tiling.plan import Box

BLOCK = 1024
"""Side of the square blocks in which a mask is read, pixels."""
LARGEST = 4096
"""Connected pieces that are higher or wider than this many pixels are kept whole."""


@dataclass(frozen=True)
class Numbered:
    """What was found."""

    count: int
    """Objects."""
    warnings: tuple[str, ...]
    """One sentence for each thing the user should know."""


def number_objects(
    mask: LabelPyramid,
    objects_path: Path,
    table_path: Path,
    *,
    split: bool = True,
    min_size: int = LEAST_PIXELS,
    intensity: Read | None = None,
    channels: Sequence[str] | None = None,
    confidence: Read | None = None,
    classes: Sequence[str] = (),
    control: Control | None = None,
    block: int = BLOCK,
    largest: int = LARGEST,
) -> Generator[tuple[int, int], None, Numbered]:
    """Number the objects of a slide's mask; pyramid and table appear complete, or not at all.

    The caller holds the lock on the results: what a killed run has left of them is removed first.

    Parameters
    ----------
    mask
        Classes, complete.
    objects_path, table_path
        Where the pyramid (uint32) and the CSV file shall appear; earlier ones are replaced.
    channels
        Names of the channels of ``intensity``; ``None`` = their numbers from 1, or none for grey.
    classes
        Names of the classes 1, 2, ...
    control
        Checked between two steps.
    split, min_size, intensity, confidence, block, largest
        See :func:`stream_objects`.

    Yields
    ------
    done, total
        Steps.

    Returns
    -------
    Numbered

    Raises
    ------
    Stopped
        When the control asked for it; nothing is left.
    OutputError
        When the folder is not writable or full; nothing is left.
    """
    control = control or Control()
    for path in (objects_path, table_path):
        remove_leftovers(path.parent, path)
    shape = mask.shape
    settings = {"split": split, "min_size": min_size, "block": block, "largest": largest}
    with _named(objects_path), atomic_path(table_path) as table_file, atomic_folder(objects_path) as folder:
        labels = LabelPyramid.create(
            folder,
            shape,
            chunk=mask.chunk,
            dtype=np.dtype(np.uint32),
            scale=mask.scale,
            pixel_size_um=mask.pixel_size_um,
            provenance=mask.provenance | {"objects": settings},
            wanted=mask.wanted,
            name=objects_path.stem,
        )
        with table_file.open("w", encoding="utf-8", newline="") as stream:
            table = ObjectTable(
                stream,
                pixel_size_um=mask.pixel_size_um,
                classes=classes,
                channels=_channels(intensity) if channels is None and intensity else channels or (),
                confidence=confidence is not None,
            )
            numbered = yield from stream_objects(
                lambda y, x, height, width: mask.read(Box(y, x, height, width)),
                shape,
                labels,
                table,
                chunk=mask.chunk,
                split=split,
                min_size=min_size,
                intensity=intensity,
                confidence=confidence,
                block=block,
                largest=largest,
                check=control.check,
            )
        labels.finish()
    return numbered


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Have an OutputError name the result instead of the temporary folder in which it is made."""
    try:
        yield
    except OutputError as error:
        reason = reason_of(error.__cause__ or error)
        raise OutputError(
            f"Could not write {path}: {reason}; the mask is kept: make space there, then do the same again."
        ) from error


def stream_objects(
    read: Read,
    shape: tuple[int, int],
    labels: Labels,
    table: ObjectTable,
    *,
    chunk: int = 512,
    split: bool = True,
    min_size: int = LEAST_PIXELS,
    intensity: Read | None = None,
    confidence: Read | None = None,
    block: int = BLOCK,
    largest: int = LARGEST,
    check: Callable[[], None] = lambda: None,
) -> Generator[tuple[int, int], None, Numbered]:
    """Number the objects of a mask that is too large for memory, and write a table of them.

    Parameters
    ----------
    read
        Reads a part of the mask, uint8: 0 = background, other values = classes.
    shape
        Of the mask, pixels.
    labels
        Gets objects 1, 2, ... without gaps; must be empty.
    table
        Gets a row for each, in the order of their numbers.
    chunk
        Side of the chunks in which ``labels`` is written; chunks without an object are not.
    split, min_size
        See :func:`src_model.inference.objects.to_objects`.
    intensity
        Reads a part of the image on the grid of the mask, (height, width) or (height, width, C), with as
        many channels as the table has; ``None`` = not measured.
    confidence
        Reads a part of the foreground probability, 0 ... 255; ``None`` = not known.
    block
        Side of the square blocks in which the mask is read, pixels. It decides the memory needed, not the
        result.
    largest
        Connected pieces that do not fit into one block and are higher or wider than this many pixels are
        one object each, so that memory stays bounded, and do not count for the typical radius.
    check
        Called between two steps; may raise to stop the work.

    Yields
    ------
    done, total
        Steps; the total can grow once, when all pieces are known.

    Returns
    -------
    Numbered
    """
    grid = Grid(shape, block)
    scan = Scan(read, grid, min_size=min_size, largest=max(largest, block), measure=split, check=check)
    done, total = 0, 2 * len(grid)
    for index in range(len(grid)):
        check()
        scan.add(index)
        yield (done := done + 1), total
    found = scan.finish()
    windows = Windows(read, grid, labels, table, chunk, split, min_size, intensity, confidence, check, found)
    with_huge = np.unique(found.parts[:, 0]).tolist()
    total += 2 * len(with_huge)
    for _ in windows.keep_huge(with_huge):
        yield (done := done + 1), total
    for index in range(len(grid)):
        check()
        windows.split_block(index)
        yield (done := done + 1), total
    return Numbered(windows.count, _kept_whole(found, max(largest, block)) if split else ())


def _kept_whole(found: Components, largest: int) -> tuple[str, ...]:
    """A warning, where pieces were too large to be split."""
    count = len(found.huge)
    if not count:
        return ()
    subject = "1 connected area is" if count == 1 else f"{count:,} connected areas are"
    return (
        f"{subject} larger than {largest:,} pixels on a side and counted as one object each; "
        "segment at a larger pixel size to have them split.",
    )


def _channels(intensity: Read) -> tuple[str, ...]:
    """One name for each channel, from a look at a pixel."""
    pixel: NDArray[Any] = intensity(0, 0, 1, 1)
    return ("",) if pixel.ndim == 2 else tuple(str(number + 1) for number in range(pixel.shape[2]))
