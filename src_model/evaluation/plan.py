"""Settled before the first image: what is scored, under which names, in which unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from src_model.data.decathlon import read_decathlon
from src_model.data.layouts import Listing, find_cases
from src_model.data.read_case import read_case_mask
from src_model.errors import ConfigError, DataError
from src_model.evaluation.scores import FOREGROUND
from src_model.evaluation.subjects import Subject, list_subjects, numbers_objects
from src_model.inference.pieces import known_side
from src_model.models.header import CheckpointInfo
from src_model.models.registry import list_models

Resolution = Literal["native", "training"]

_TEST = "test"
_LOOKED_AT = 32
"""So many masks show whether those of a dataset number objects."""


@dataclass(frozen=True)
class Plan:
    """Everything but the network."""

    listing: Listing
    subjects: tuple[Subject, ...]
    domain: str | None
    """Of a network that serves several."""
    num_classes: int
    """Channels of the logits: 1, or background and classes."""
    labels: tuple[str, ...]
    """Foreground classes by name."""
    side: int | None
    """Masks are compared at this size; ``None`` = as they are stored."""
    pixel_size_um: float | None
    """Of images at native resolution, where known."""
    objects: bool
    """Whether the masks tell objects apart."""
    notes: tuple[str, ...]
    """What the user should know."""


def make_plan(
    data: str | Path,
    info: CheckpointInfo,
    *,
    layout: str,
    split: str | None,
    ids: Sequence[str] | None,
    resolution: str,
    domain: str | int | None,
    mask_endings: tuple[str, ...] = (),
) -> Plan:
    """Find the cases and see that the network can be scored on them.

    Raises
    ------
    ConfigError
        When the resolution or the network does not fit the dataset.
    DataError
        When the dataset cannot be used.
    """
    if resolution not in ("native", "training"):
        raise ConfigError(f"The resolution must be 'native' or 'training' but got '{resolution}'.")
    listing = find_cases(data, layout, split=split, mask_endings=mask_endings)
    if split is None and ids is None and listing.split not in (None, _TEST) and _TEST in listing.splits:
        listing = find_cases(data, layout, split=_TEST, mask_endings=mask_endings)
    _check_dims(info, listing)
    side = known_side(info.training) if resolution == "training" else None
    name = _domain(info, listing, domain)
    num_classes = _num_classes(info, name)
    labels, notes = _labels(info, listing, name, num_classes)
    if listing.kind == "instances" and num_classes > 1:
        raise ConfigError(
            f"The masks of {listing.root} number objects but the model has {num_classes} classes; "
            "evaluate a model of one class."
        )
    subjects = tuple(list_subjects(listing, ids))
    return Plan(
        listing=listing,
        subjects=subjects,
        domain=name,
        num_classes=num_classes,
        labels=labels,
        side=side,
        pixel_size_um=info.pixel_size_um if side is None else None,
        objects=num_classes == 1 and _tells_objects(listing, subjects),
        notes=(*listing.problems, *notes),
    )


def _check_dims(info: CheckpointInfo, listing: Listing) -> None:
    name = info.config.get("name")
    takes = 3 if name in list_models(dims=3) else 2
    if takes != listing.dims:
        held, wanted = ("volumes", "flat images") if listing.dims == 3 else ("flat images", "volumes")
        raise ConfigError(
            f"{listing.root} holds {held} but the network '{name}' takes {wanted}; choose a model of one of: "
            f"{', '.join(list_models(dims=listing.dims))}."
        )


def _domain(info: CheckpointInfo, listing: Listing, domain: str | int | None) -> str | None:
    """The domain that was named, else that of the dataset's name, else the only one."""
    names: list[str] = list((info.config.get("options") or {}).get("domains") or {})
    if not names:
        return None if domain is None else str(domain)
    if domain is not None:
        return names[int(domain)] if str(domain).isdecimal() and int(domain) < len(names) else str(domain)
    own = (read_decathlon(listing.root).name if listing.layout == "decathlon" else listing.root.name).lower()
    found = next((name for name in names if name.lower() == own), None)
    if found is None and len(names) > 1:
        raise ConfigError(
            f"The model has no domain '{own}', after which the dataset is named; say which one it is: "
            f"{', '.join(names)}."
        )
    return found or names[0]


def _num_classes(info: CheckpointInfo, domain: str | None) -> int:
    domains = (info.config.get("options") or {}).get("domains") or {}
    sizes = domains.get(domain) if domain is not None else None
    return int((sizes or {}).get("num_classes", info.config["num_classes"]))


def _labels(
    info: CheckpointInfo, listing: Listing, domain: str | None, num_classes: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the classes, of the model where it has some, else of the dataset; and what is odd."""
    count = max(num_classes - 1, 1)
    own = tuple(item.name for item in info.domain(domain).classes)
    theirs = listing.classes if len(listing.classes) == count else ()
    if own and theirs and count > 1 and [n.lower() for n in own] != [n.lower() for n in theirs]:
        note = (
            f"The model's classes are {', '.join(own)} but those of {listing.root} are {', '.join(theirs)}; "
            "they are compared by their numbers, so check that the order is the same."
        )
        return own, (note,)
    numbered = tuple(f"class {number}" for number in range(1, count + 1)) if count > 1 else (FOREGROUND,)
    return own or theirs or numbered, ()


def _tells_objects(listing: Listing, subjects: Sequence[Subject]) -> bool:
    """Whether the dataset numbers objects: it says so, or the values of one of its first masks do."""
    if listing.kind == "instances":
        return True
    if listing.kind == "classes" or listing.dims == 3 or listing.layout != "pairs":
        return False
    return any(_is_numbered(subject) for subject in subjects[:_LOOKED_AT])


def _is_numbered(subject: Subject) -> bool:
    return any(numbers_objects(mask) for mask in _readable_masks(subject))


def _readable_masks(subject: Subject) -> Iterator[NDArray[Any]]:
    for case in subject.cases:
        try:
            yield read_case_mask(case)
        except DataError:
            continue  # named when its turn comes
