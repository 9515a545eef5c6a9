"""The integrity report of a dataset: what it holds, and what is wrong with it, before anything trains."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from src_model.data.inspection import Inspected, inspect_case
from src_model.data.layouts import MASK_ENDINGS, Case, Kind, Listing, find_cases
from src_model.data.leakage import case_digest
from src_model.data.problems import Problem
from src_model.data.read_case import forget_volumes, is_outlined
from src_model.data.usable import unusable
from src_model.errors import DataError
from src_model.events import CaseChecked, Control, DatasetChecked, Event

_LEAST_GROUPS = 2
"""Patients or slides without which none can be held out."""


@dataclass(frozen=True)
class ClassShare:
    """One number of the masks."""

    value: int
    name: str
    """Empty where the format does not tell."""
    images: int
    """Images in whose masks it stands."""
    share: float
    """Of all pixels."""


@dataclass(frozen=True)
class Integrity:
    """What a dataset holds."""

    root: Path
    layout: str
    """Name of the layout, as a configuration takes it."""
    title: str
    """Name of the layout for people."""
    recognised: bool
    """Whether the layout was found rather than given."""
    kind: Kind
    """What the numbers of the masks are; of pairs it is told by the numbers."""
    dims: int
    """2 = images, 3 = volumes."""
    split: str | None
    """Which split this is; ``None`` = the folder is not divided."""
    splits: tuple[str, ...]
    """All that the folder is divided into."""
    cases: int
    """Pairs of image and mask."""
    usable: int
    """Those that can be trained on."""
    groups: int
    """Patients or slides of the usable cases."""
    sizes: tuple[tuple[int, ...], ...]
    """Smallest, median and largest by number of pixels: (Y, X) or (Z, Y, X)."""
    distinct_sizes: int
    pixels: tuple[tuple[str, int], ...]
    """Channels and type, and how many images have them."""
    classes: tuple[ClassShare, ...]
    """Numbers of the masks, background too; of masks that number objects, foreground is 1."""
    objects: tuple[int, int, int] | None
    """Fewest, median and most objects in an image, where masks number objects."""
    spacing_mm: tuple[float, float, float] | None
    """Median voxel size (Z, Y, X) of volumes, millimetres."""
    mask_endings: tuple[str, ...]
    """By which a mask's name is told from its image's."""
    problems: tuple[Problem, ...]
    class_names: tuple[str, ...] = ()
    """Of the foreground classes 1, 2, ..., whether they stand in the masks or not, where the format tells."""

    @property
    def trainable(self) -> bool:
        """Whether a network can be trained on it."""
        return not any(problem.severity == "error" for problem in self.problems)


def check_dataset(
    root: str | Path,
    layout: str = "auto",
    *,
    split: str | None = None,
    num_classes: int | None = None,
    folds: int | None = None,
    mask_endings: tuple[str, ...] = (),
    control: Control | None = None,
) -> Iterator[Event]:
    """Read every image and mask of a dataset, and report.

    Parameters
    ----------
    root, layout, split, mask_endings
        As for :func:`src_model.data.layouts.find_cases`.
    num_classes
        Of the network that is to be trained, where known.
    folds
        Of the cross-validation that is to be run, where known.
    control
        Pause and stop.

    Yields
    ------
    CaseChecked
        After each image, those of the other splits too, which are only compared with these.
    DatasetChecked
        The last event, with the report.

    Raises
    ------
    DataError
        When there is no such folder, layout or split, or no case at all.
    Stopped
        When the control token asks for it.
    """
    control = Control() if control is None else control
    listing = find_cases(root, layout, split=split, mask_endings=mask_endings)
    others, problems = _other_splits(listing, mask_endings)
    total = len(listing.cases) + sum(len(cases) for cases in others.values())
    inspected: list[Inspected] = []
    for done, case in enumerate(listing.cases, start=1):
        control.check()
        inspected.append(inspect_case(case, listing.dims, num_classes))
        yield CaseChecked(done=done, total=total)
    problems += [problem for case in inspected for problem in case.problems]
    problems += _copies(inspected)
    seen = {case.digest: case.case for case in inspected if case.digest is not None}
    done = len(listing.cases)
    for name, cases in others.items():
        for case in cases:
            control.check()
            problems += _leak(case, name, seen)
            done += 1
            yield CaseChecked(done=done, total=total)
    forget_volumes()
    groups = len({case.case.group for case in inspected if case.usable})
    problems += _too_few(groups, folds)
    yield DatasetChecked(
        report=_report(listing, inspected, (*listing.findings, *problems), layout, groups, mask_endings)
    )


def _other_splits(
    listing: Listing, mask_endings: tuple[str, ...]
) -> tuple[dict[str, Sequence[Case]], list[Problem]]:
    """Cases of the other splits, and which of these are empty."""
    found: dict[str, Sequence[Case]] = {}
    problems: list[Problem] = []
    known = {case.place for case in listing.cases}
    for name in listing.splits:
        if name == listing.split:
            continue
        try:
            other = find_cases(listing.root, listing.layout, split=name, mask_endings=mask_endings)
        except DataError:
            problems.append(Problem(listing.root, f"its split '{name}' holds no pair", "note"))
            continue
        new = [case for case in other.cases if case.place not in known]
        known |= {case.place for case in new}
        if new and listing.dims == 2:
            found[name] = new
    return found, problems


def _copies(inspected: Sequence[Inspected]) -> list[Problem]:
    """Pictures that are there twice, which training refuses to divide."""
    first: dict[str, Case] = {}
    problems = []
    for case in inspected:
        if case.digest is None:
            continue
        twin = first.setdefault(case.digest, case.case)
        if twin is not case.case:
            same = twin.group == case.case.group
            whose = (
                "of the same patient" if same else "but of another patient, so training may refuse the two"
            )
            what = f"it is the same picture as {twin.image.name} {whose}; remove one of them"
            problems.append(Problem(case.case.image, what, "note"))
    return problems


def _leak(case: Case, split: str, seen: dict[str, Case]) -> list[Problem]:
    try:
        digest = case_digest(case)
    except DataError as error:
        return [unusable(case, error)]
    if digest is None or digest not in seen:
        return []
    what = (
        f"it is the same picture as {seen[digest].image.name} but in the split '{split}'; remove one of them"
    )
    return [Problem(case.image, what, "note")]


def _too_few(groups: int, folds: int | None) -> list[Problem]:
    if groups < _LEAST_GROUPS:
        what = f"it has {groups} usable images of different origin but at least {_LEAST_GROUPS} are needed"
        return [Problem(None, what, "error")]
    if folds is not None and groups < folds:
        what = f"it has {groups} images of different origin, too few for {folds} folds; ask for fewer folds"
        return [Problem(None, what, "error")]
    return []


def _report(
    listing: Listing,
    inspected: Sequence[Inspected],
    problems: tuple[Problem, ...],
    layout: str,
    groups: int,
    mask_endings: tuple[str, ...],
) -> Integrity:
    usable = [case for case in inspected if case.usable]
    kind = _kind(listing, usable)
    shapes = sorted((case.shape for case in usable if case.shape is not None), key=math.prod)
    spacings = [case.spacing_mm for case in usable if case.spacing_mm is not None]
    return Integrity(
        root=listing.root,
        layout=listing.layout,
        title=listing.title,
        recognised=layout == "auto",
        kind=kind,
        dims=listing.dims,
        split=listing.split,
        splits=listing.splits,
        cases=len(inspected),
        usable=len(usable),
        groups=groups,
        sizes=(shapes[0], shapes[len(shapes) // 2], shapes[-1]) if shapes else (),
        distinct_sizes=len(set(shapes)),
        pixels=tuple(Counter(case.pixels for case in usable).most_common()),
        classes=_classes(usable, kind, listing.classes),
        objects=_objects(usable) if kind == "instances" else None,
        spacing_mm=_median(spacings) if spacings else None,
        mask_endings=mask_endings or MASK_ENDINGS,
        problems=tuple(dict.fromkeys(problems)),
        class_names=listing.classes,
    )


def _kind(listing: Listing, usable: Sequence[Inspected]) -> Kind:
    """Where the layout leaves it open the numbers tell: a few that return are classes, many are objects."""
    if listing.kind == "classes" or any(is_outlined(case.case) for case in usable):
        return listing.kind
    values = [set(case.values) - {0} for case in usable]
    if len(set().union(*values)) <= 1:
        return "semantic"
    if listing.layout != "pairs":
        return listing.kind
    highest = max((max(numbers, default=0) for numbers in values), default=0)
    consecutive = all(numbers == set(range(1, len(numbers) + 1)) for numbers in values)
    counts = {len(numbers) for numbers in values}
    return "instances" if highest > 255 or (consecutive and len(counts) > 2) else "classes"


def _classes(usable: Sequence[Inspected], kind: Kind, names: tuple[str, ...]) -> tuple[ClassShare, ...]:
    """How often each number stands in the masks; with one class every number but 0 is it."""
    pixels: Counter[int] = Counter()
    images: Counter[int] = Counter()
    for case in usable:
        numbers = case.values
        if kind != "classes":
            background = numbers.get(0, 0)
            numbers = {0: background, 1: sum(numbers.values()) - background}
        pixels.update(numbers)
        images.update(value for value, count in numbers.items() if count)
    total = max(pixels.total(), 1)
    return tuple(
        ClassShare(value, _name(value, names), images[value], count / total)
        for value, count in sorted(pixels.items())
    )


def _name(value: int, names: tuple[str, ...]) -> str:
    if value == 0:
        return "background"
    return names[value - 1] if value <= len(names) else ""


def _objects(usable: Sequence[Inspected]) -> tuple[int, int, int] | None:
    counts = [len(set(case.values) - {0}) for case in usable]
    return (min(counts), int(statistics.median(counts)), max(counts)) if counts else None


def _median(spacings: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    depth, height, width = (float(statistics.median(axis)) for axis in zip(*spacings, strict=True))
    return depth, height, width
