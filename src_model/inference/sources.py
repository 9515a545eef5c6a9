"""What is to be segmented: arrays and files under readable names, and where each mask will lie."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.image_io import read_image
from src_model.data.normalise import Limits
from src_model.data.volumes import is_volume_path, volume_stem
from src_model.errors import ConfigError, ImageError, OutputError
from src_model.models.registry import list_models

MASK, PROBABILITY = "_mask", "_probability"
"""What follows the stem in the names of the result files."""


@dataclass(frozen=True, eq=False)
class Source:
    """One image, in memory or on disk."""

    name: str
    """For messages and events: the path, or ``image`` (``image 2``, ...) for arrays."""
    stem: str
    """Beginning of the names of its output files."""
    suffix: str = ".tif"
    """Ending of its output files."""
    path: Path | None = None
    array: NDArray[Any] | None = None
    limits: Limits | None = None
    """Intensities that become 0 and 1; ``None`` = found from the image."""

    def load(self) -> NDArray[Any]:
        """The image as it is stored.

        Raises
        ------
        DataError
            When the file cannot be read.
        ImageError
            When it is a volume, which only 3-D networks take.
        """
        if self.path is not None and is_volume_path(self.path):
            raise ImageError(
                f"{self.path} is a volume but this model takes flat images; use a model of a network for "
                f"volumes: {', '.join(list_models(dims=3))}."
            )
        return read_image(self.path or self.name) if self.array is None else self.array


def list_sources(source: Any) -> tuple[Source, ...]:
    """One :class:`Source` for an array or path, several for a list or tuple of them.

    Raises
    ------
    ConfigError
        When the list is empty.
    """
    if not isinstance(source, (list, tuple)):
        return (_source(source, "image"),)
    if not source:
        raise ConfigError("No image was given to segment; give at least one array or file.")
    return tuple(_source(item, f"image {number}") for number, item in enumerate(source, start=1))


def _source(item: Any, name: str) -> Source:
    if isinstance(item, (str, os.PathLike)):
        path = Path(item)
        if is_volume_path(path):
            return Source(str(path), volume_stem(path), ".nii.gz", path=path)
        return Source(str(path), _stem(path), path=path)
    return Source(name, name.replace(" ", "_"), array=np.asarray(item))


def _stem(path: Path) -> str:
    """File name without its ending; ``.ome.tif`` counts as one ending."""
    return path.stem[:-4] if path.stem.lower().endswith(".ome") and len(path.stem) > 4 else path.stem


def plan_outputs(sources: Sequence[Source], out: str | os.PathLike[str] | None) -> list[Path | None]:
    """The mask file of each source: ``<stem>_mask.tif``, then ``<stem>_2_mask.tif``, and so on.

    Of a NIfTI file it ends in ``.nii.gz``. The numbered names keep sources of equal stem apart, and
    keep a mask from taking the place of one of the sources. All are ``None`` where ``out`` is ``None``.

    Raises
    ------
    OutputError
        When the folder cannot be made or written to.
    """
    if out is None:
        return [None] * len(sources)
    folder = Path(out)
    check_writable(folder)
    taken = {_key(source.path) for source in sources if source.path is not None}
    targets: list[Path | None] = []
    for source in sources:
        target = _free_name(folder, source, taken)
        taken |= {_key(target), _key(probability_path(target))}
        targets.append(target)
    return targets


def probability_path(mask: Path) -> Path:
    """The file beside ``mask`` that holds the probabilities of the same image."""
    stem, _, suffix = mask.name.rpartition(MASK)
    return mask.with_name(f"{stem}{PROBABILITY}{suffix}")


def _free_name(folder: Path, source: Source, taken: Iterable[str]) -> Path:
    number = 1
    while True:
        numbered = source.stem if number == 1 else f"{source.stem}_{number}"
        target = folder / f"{numbered}{MASK}{source.suffix}"
        if not {_key(target), _key(probability_path(target))} & {*taken}:
            return target
        number += 1


def _key(path: Path) -> str:
    """Equal for paths that are one file, also where the system ignores case."""
    return str(path.resolve()).casefold()


def check_writable(folder: Path) -> None:
    """Make a folder, and refuse one that cannot be written to with an OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror
        raise OutputError(
            f"Cannot write to the output folder {folder}: {reason}; choose a folder you may write to."
        ) from error
