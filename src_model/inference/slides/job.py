"""What is segmented and how, so that the same job is gone on with and another one never overwrites it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src_model.data.label_pyramid import LabelPyramid
from src_model.data.slide import ARRAYS, Slide
from src_model.data.slide_formats.level import Level
from src_model.errors import ConfigError, DataError, OutputError
from src_model.files import reason_of
from src_model.inference.network import Network
from src_model.inference.slides.grid import Grid
from src_model.inference.slides.request import SlideRequest
from src_model.inference.sources import check_writable
from src_model.lock import lock_file
from src_model.models.checkpoint import Checkpoint

MASK, OBJECTS = "_mask.ome.zarr", "_objects.ome.zarr"
_LOCK = ".lock"
_READ_AT_ONCE = 1 << 22
_WINDOW, _WINDOWS = 64, 16
"""Side of the windows by which arrays are known again, and their number along the diagonal."""


@dataclass(frozen=True)
class Fingerprint:
    """A slide as it lay there when the work began."""

    path: Path | None
    """File whose change is noticed; ``None`` for arrays."""
    stamp: tuple[int, ...] | str

    @classmethod
    def of(cls, slide: Slide) -> Fingerprint:
        """Of a slide now.

        Raises
        ------
        DataError
            When its file is gone.
        """
        if slide.format == ARRAYS:
            return cls(None, _digest_of_samples(slide.levels[slide.stored_levels - 1]))
        file = slide.path
        if file.is_dir():
            file = next(f for name in ("zarr.json", ".zattrs") if (f := slide.path / name).exists())
        return cls(file, _stamp(file))

    def check(self) -> None:
        """Refuse to go on with a slide that was replaced or is gone, with a DataError."""
        if self.path is not None and _stamp(self.path) != self.stamp:
            raise DataError(
                f"{self.path} was replaced while it was segmented; what is done belongs to the old one: "
                "segment it again."
            )


def _digest_of_samples(level: Level) -> str:
    """Of the size and some windows of a picture that lies in no file."""
    digest = hashlib.sha256(f"{level.shape} {level.dtype}".encode())
    height, width = level.size_yx
    for n in range(_WINDOWS):
        y, x = n * height // _WINDOWS, n * width // _WINDOWS
        window = slice(y, y + _WINDOW), slice(x, x + _WINDOW)
        with suppress(DataError):  # a damaged piece tells nothing; that it is damaged, the reading says
            values = level[(slice(None), *window) if level.axes == "CYX" else window]
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        status = file.stat()
    except OSError as error:
        raise DataError(
            f"{file} can no longer be read ({error.strerror}); what is done is kept: bring it back and "
            "segment again with the same settings."
        ) from error
    return status.st_size, status.st_mtime_ns, status.st_ino


def describe_job(
    slide: Slide,
    fingerprint: Fingerprint,
    checkpoint: Checkpoint | str | os.PathLike[str],
    request: SlideRequest,
    grid: Grid,
    network: Network,
) -> dict[str, Any]:
    """All that decides the result, as plain data."""
    tissue = request.tissue
    region = None if request.region is None else [np.asarray(points).tolist() for points in request.region]
    return {
        "slide": str(slide.path if fingerprint.path is None else slide.path.resolve()),
        "slide_stamp": fingerprint.stamp if isinstance(fingerprint.stamp, str) else [*fingerprint.stamp],
        "model": checkpoint_digest(checkpoint),
        "level": grid.level,
        "factor": grid.factor,
        "threshold": request.threshold,
        "region": region,
        "tissue": None if tissue is None else hashlib.sha256(np.packbits(tissue.mask).tobytes()).hexdigest(),
        "channels": None if request.channels is None else [*request.channels],
        "routing": request.routing,
        "objects": request.objects,
        "tile": request.tile,
        "halo": request.halo,
        "batch_size": request.batch_size,
        "top_k": network.top_k,
        "domain": network.domain,
        "precision": network.precision,
    }


def checkpoint_digest(checkpoint: Checkpoint | str | os.PathLike[str]) -> str:
    """SHA-256 of a checkpoint's file, or of the weights of one in memory."""
    digest = hashlib.sha256()
    if isinstance(checkpoint, Checkpoint):
        for key, value in sorted(checkpoint.model.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.detach().cpu().numpy().tobytes())
        return digest.hexdigest()
    with Path(checkpoint).open("rb") as stream:
        while part := stream.read(_READ_AT_ONCE):
            digest.update(part)
    return digest.hexdigest()


def find_output(slide: Slide, out: str | os.PathLike[str] | None, job: Mapping[str, Any]) -> Path:
    """Where the mask of a job lies or will lie: ``<stem>_mask.ome.zarr``, then ``<stem>_2_mask...``.

    A mask of another job is left as it is.

    Raises
    ------
    ConfigError
        When no folder is given for a slide that is no file.
    OutputError
        When the folder cannot be written.
    """
    if out is None and slide.format == ARRAYS:
        raise ConfigError(f"{slide.path.name} is no file, so its results need a folder; give one as 'out'.")
    folder = slide.path.resolve().parent if out is None else Path(out)
    check_writable(folder)
    stem = slide.path.name if slide.format == ARRAYS else slide.path.stem.removesuffix(".ome")
    stem = re.sub(r"[^\w.-]+", "_", stem)
    number = 1
    while True:
        numbered = stem if number == 1 else f"{stem}_{number}"
        path = folder / f"{numbered}{MASK}"
        if not path.exists() or _job_of(path) == dict(job):
            return path
        number += 1


def objects_paths(mask: Path) -> tuple[Path, Path]:
    """Where the objects of a mask and their table lie."""
    stem = mask.name.removesuffix(MASK)
    return mask.with_name(f"{stem}{OBJECTS}"), mask.with_name(f"{stem}_objects.csv")


def _job_of(path: Path) -> dict[str, Any] | None:
    try:
        found = LabelPyramid.open(path).provenance.get("job")
    except DataError:
        return None
    return found if isinstance(found, dict) else None


@contextmanager
def only_one(mask: Path) -> Iterator[None]:
    """Keep others from writing the same mask.

    Raises
    ------
    OutputError
        When another work writes it already.
    """
    with ExitStack() as stack:
        try:
            holder = stack.enter_context(lock_file(mask / _LOCK))
        except OSError as error:
            raise OutputError(
                f"Could not write to {mask}: {reason_of(error)}; what is written is kept: make space there, "
                "then do the same again."
            ) from error
        if holder is not None:
            raise OutputError(
                f"{mask} is being written by process {holder}; wait for it, or choose another folder."
            )
        try:
            yield
        finally:
            with suppress(OSError):  # some systems keep what is open
                (mask / _LOCK).unlink()
