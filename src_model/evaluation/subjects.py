"""What is scored as a whole: an image, a volume in one file, or the planes of a volume together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from src_model.data.image_io import finite_range
from src_model.data.layouts import Case, Listing
from src_model.data.problems import by
from src_model.data.read_case import read_case_image, read_case_mask
from src_model.errors import DataError

Form = Literal["image", "planes", "volume"]


@dataclass(frozen=True)
class Subject:
    """One row of the table of scores for each class."""

    name: str
    """Of the image or volume; unique in an evaluation."""
    group: str
    """Patient or slide."""
    form: Form
    cases: tuple[Case, ...]
    """The planes of a volume in their order; else a single one."""


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and its mask as they are stored."""

    image: NDArray[Any]
    axes: str
    """Of the image: ``YX``, ``YXC`` or ``CYX``."""
    mask: NDArray[Any]
    """``(Y, X)``, whole numbers."""

    @property
    def is_blank(self) -> bool:
        """Whether the image has one value everywhere, so that there is nothing to segment."""
        if self.image.dtype.kind not in "buif" or not self.image.size:
            return False
        low, high = finite_range(self.image)
        return low is not None and low == high


def list_subjects(listing: Listing, ids: Sequence[str] | None = None) -> list[Subject]:
    """Group the cases of a dataset: planes of one file are one subject, all others stand alone.

    Parameters
    ----------
    listing
        The cases.
    ids
        Take only the cases of these ids; ``None`` = all.

    Raises
    ------
    DataError
        When there is no case of one of the ids.
    """
    cases = listing.cases if ids is None else _chosen(listing, ids)
    volumes: dict[object, list[Case]] = {}
    for case in cases:
        volumes.setdefault(case.image if case.plane is not None else case, []).append(case)
    form: Form = "volume" if listing.dims == 3 else "image"
    parts = [tuple(sorted(own, key=lambda case: case.plane or 0)) for own in volumes.values()]
    groups = [own[0].group for own in parts if own[0].plane is not None]
    subjects = []
    for own in parts:
        first = own[0]
        if first.plane is None:
            subjects.append(Subject(first.id, first.group, form, own))
        else:
            name = first.group if groups.count(first.group) == 1 else first.image.name
            subjects.append(Subject(name, first.group, "planes", own))
    return subjects


def _chosen(listing: Listing, ids: Sequence[str]) -> list[Case]:
    known = {case.id for case in listing.cases}
    unknown = next((name for name in ids if name not in known), None)
    if unknown is not None:
        raise DataError(f"There is no case '{unknown}' in {listing.root}; check the ids and the split.")
    wanted = set(ids)
    return [case for case in listing.cases if case.id in wanted]


def read_pair(case: Case) -> Pair:
    """Read the image and mask of a flat case.

    Raises
    ------
    DataError
        When a file cannot be read, or the two differ in size; names the file.
    """
    image = read_case_image(case)
    mask = read_case_mask(case, (image.shape[0], image.shape[1]) if image.ndim > 1 else None)
    axes = _axes(image.shape, mask.shape)
    if axes is None:
        raise DataError(
            f"The image {case.place} has the shape {by(image.shape)} but its mask {case.mask.name} has "
            f"{by(mask.shape)}; export both at the same size."
        )
    return Pair(image, axes, mask)


def _axes(shape: tuple[int, ...], size: tuple[int, ...]) -> str | None:
    """The axes of an image as the size of its mask tells them."""
    if shape == size:
        return "YX"
    if len(shape) != 3:
        return None
    return "YXC" if shape[:2] == size else "CYX" if shape[1:] == size else None


def check_classes(mask: NDArray[Any], num_classes: int, case: Case) -> None:
    """Refuse a mask with a class that the network does not have.

    Raises
    ------
    DataError
        Naming the mask.
    """
    highest = int(mask.max(initial=0))
    if num_classes > 1 and highest >= num_classes:
        raise DataError(
            f"The mask {case.mask} holds the class {highest} but the model has 0 to {num_classes - 1}; "
            "evaluate a model of these classes, or mend the mask."
        )


def numbers_objects(mask: NDArray[Any]) -> bool:
    """Whether a mask of one class has other values than 0 and 1, or 0 and 255."""
    values = set(np.unique(mask).tolist()) - {0}
    return bool(values) and values not in ({1}, {255})
