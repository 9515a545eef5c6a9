"""How datasets lie on disk: which image belongs to which mask, and who must not be torn apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from src_model.data.image_io import IMAGE_SUFFIXES
from src_model.errors import DataError

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "labelcol", "annotations", "annotation", "gt")
MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_segmentation", "_seg", "_anno", "_gt")
"""What may follow the image's name in the mask's name, in any case."""

_PATIENT = re.compile(r"(TCGA-\w{2}-\w{4})-", re.IGNORECASE)
_NAMED = 3


@dataclass(frozen=True)
class Case:
    """One image and its mask."""

    id: str
    """Name of the image without its ending; unique in a dataset."""
    image: Path
    mask: Path
    group: str
    """Patient or slide: cases of one group are never divided between training and testing."""


@dataclass(frozen=True)
class Listing:
    """What a folder holds."""

    root: Path
    cases: tuple[Case, ...]
    problems: tuple[str, ...]
    """One sentence for each kind of file that was left out."""


def find_cases(root: str | Path, layout: str = "auto", *, split: str | None = None) -> Listing:
    """Find the pairs of images and masks in a folder.

    Taken are a folder of images beside a folder of masks (:data:`IMAGE_FOLDERS`,
    :data:`MASK_FOLDERS`) with the same names, or one folder in which the mask's name is the image's
    followed by one of :data:`MASK_ENDINGS`. Where the folder itself has none, its ``train`` folder
    is looked into.

    Parameters
    ----------
    root
        The folder.
    layout
        ``auto`` or ``pairs``.
    split
        A subfolder to look into, e.g. ``test``.

    Raises
    ------
    DataError
        When the folder does not exist, the layout is unknown, or there is no pair.
    """
    if layout not in ("auto", "pairs"):
        raise DataError(f"There is no layout '{layout}'; choose 'auto' or 'pairs'.")
    top = Path(root)
    if not top.is_dir():
        raise DataError(f"There is no folder {top}; check the path.")
    candidates = [top / split] if split else [top, top / "train"]
    for folder in candidates:
        listing = _pairs(folder) if folder.is_dir() else None
        if listing is not None and listing.cases:
            return listing
    raise DataError(
        f"No pairs of image and mask were found in {candidates[0]}; expected the folders 'images' and "
        "'masks' with equal file names, or <name>.png beside <name>_mask.png."
    )


def _pairs(folder: Path) -> Listing:
    below = {entry.name.lower(): entry for entry in folder.iterdir() if entry.is_dir()}
    image_folder = next((below[name] for name in IMAGE_FOLDERS if name in below), None)
    mask_folder = next((below[name] for name in MASK_FOLDERS if name in below), None)
    if image_folder is not None and mask_folder is not None:
        images, masks = _pictures(image_folder), _pictures(mask_folder)
    else:
        files = _pictures(folder)
        names = {file.stem.lower() for file in files}
        masks = [file for file in files if _without_ending(file.stem) in names]
        images = [file for file in files if file not in masks]
    return _match(folder, images, masks)


def _match(folder: Path, images: list[Path], masks: list[Path]) -> Listing:
    problems: list[str] = []
    by_name, twins = _by_name(images)
    mask_of, mask_twins = _by_name(masks)
    for ending in MASK_ENDINGS:
        for file in masks:
            if file.stem.lower().endswith(ending):
                mask_of.setdefault(file.stem.lower().removesuffix(ending), file)
    problems += [
        f"{len(files)} {kind} share the name '{name}' and are left out: {_list(files)}; keep only one."
        for kind, found in (("images", twins), ("masks", mask_twins))
        for name, files in found.items()
    ]
    cases = [
        Case(id=image.stem, image=image, mask=mask_of[name], group=_group(image.stem))
        for name, image in by_name.items()
        if name in mask_of and name not in mask_twins
    ]
    alone = [image for name, image in by_name.items() if name not in mask_of and name not in mask_twins]
    if alone:
        problems.append(f"Without a mask and left out: {_list(alone)}.")
    used = {case.mask for case in cases} | {file for files in mask_twins.values() for file in files}
    spare = [
        file
        for file in masks
        if file not in used and not {file.stem.lower(), _without_ending(file.stem)} & twins.keys()
    ]
    if spare:
        problems.append(f"Without an image and left out: {_list(spare)}.")
    return Listing(folder, tuple(cases), tuple(problems))


def _by_name(files: Iterable[Path]) -> tuple[dict[str, Path], dict[str, list[Path]]]:
    """Files by their name in lower case; those that share one come apart."""
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(file.stem.lower(), []).append(file)
    single = {name: same[0] for name, same in found.items() if len(same) == 1}
    return single, {name: same for name, same in found.items() if len(same) > 1}


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    )


def _without_ending(stem: str) -> str | None:
    """The image's name that a mask's name implies, in lower case; ``None`` for other names."""
    lower = stem.lower()
    return next((lower.removesuffix(ending) for ending in MASK_ENDINGS if lower.endswith(ending)), None)


def _group(stem: str) -> str:
    patient = _PATIENT.match(stem)
    return patient[1].upper() if patient else stem


def _list(files: list[Path]) -> str:
    names = ", ".join(file.name for file in files[:_NAMED])
    return names if len(files) <= _NAMED else f"{names} and {len(files) - _NAMED} more"
