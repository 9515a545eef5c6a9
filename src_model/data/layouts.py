"""How datasets lie on disk: which image belongs to which mask, and who must not be torn apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from src_model.data.image_io import IMAGE_SUFFIXES
from src_model.errors import DataError

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "labelcol", "annotations", "annotation", "gt")
MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_segmentation", "_seg", "_anno", "_gt")
"""What may follow the image's name in the mask's name, in any case."""

_PATIENT = re.compile(r"(TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})(?![A-Z0-9])", re.IGNORECASE)
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
    below = _subfolders(top)
    if split is not None and split.lower() not in below:
        raise DataError(f"There is no folder '{split}' in {top}; check the path.")
    folders = [below[split.lower()]] if split is not None else [top, *filter(None, [below.get("train")])]
    listings = [_pairs(folder) for folder in folders]
    for listing in listings:
        if listing.cases:
            return listing
    seen = next((f" ({listing.problems[0].rstrip('.')})" for listing in listings if listing.problems), "")
    raise DataError(
        f"No pairs of image and mask were found in {folders[0]}{seen}; expected the folders 'images' and "
        "'masks' with equal file names, or <name>.png beside <name>_mask.png."
    )


def _subfolders(folder: Path) -> dict[str, Path]:
    """By their name in lower case."""
    return {entry.name.lower(): entry for entry in sorted(folder.iterdir()) if entry.is_dir()}


def _pairs(folder: Path) -> Listing:
    below = _subfolders(folder)
    image_folder = next((below[name] for name in IMAGE_FOLDERS if name in below), None)
    mask_folder = next((below[name] for name in MASK_FOLDERS if name in below), None)
    if image_folder is not None and mask_folder is not None:
        images, masks = _pictures(image_folder), _pictures(mask_folder)
    else:
        files = _pictures(folder)
        names = {_name(file).lower() for file in files}
        masks = [file for file in files if _without_ending(_name(file).lower()) in names]
        images = [file for file in files if file not in masks]
    return _match(folder, images, masks)


def _match(folder: Path, images: list[Path], masks: list[Path]) -> Listing:
    """Pair what belongs together without a doubt, and say what does not."""
    images_of = _by_key(images, lambda file: _name(file).lower())
    masks_of = _by_key(masks, lambda file: _key(file, images_of.keys()))
    cases, problems, alone = [], [], []
    for key, same in images_of.items():
        found = masks_of.pop(key, [])
        if len(same) > 1:
            problems.append(
                f"{len(same)} images share the name '{key}' and are left out: {_list(same)}; keep only one."
            )
        elif len(found) > 1:
            problems.append(
                f"{len(found)} masks fit {same[0].name} and it is left out: {_list(found)}; keep only one."
            )
        elif found:
            name = _name(same[0])
            cases.append(Case(id=name, image=same[0], mask=found[0], group=_group(name)))
        else:
            alone += same
    if alone:
        problems.append(f"Without a mask and left out: {_list(alone)}.")
    spare = [file for files in masks_of.values() for file in files]
    if spare:
        problems.append(f"Without an image and left out: {_list(spare)}.")
    return Listing(folder, tuple(cases), tuple(problems))


def _by_key(files: Iterable[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(key(file), []).append(file)
    return found


def _key(mask: Path, images: Container[str]) -> str:
    """Name of the image, in lower case, that a mask belongs to."""
    name = _name(mask).lower()
    return name if name in images else _without_ending(name) or name


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    )


def _name(file: Path) -> str:
    """File name without its ending; ``.ome.tif`` counts as one."""
    return file.stem[:-4] if file.stem.lower().endswith(".ome") else file.stem


def _without_ending(name: str) -> str | None:
    """The image's name that a mask's name in lower case implies; ``None`` for other names."""
    return next((name.removesuffix(ending) for ending in MASK_ENDINGS if name.endswith(ending)), None)


def _group(name: str) -> str:
    patient = _PATIENT.match(name)
    return patient[1].upper() if patient else name


def _list(files: list[Path]) -> str:
    names = ", ".join(file.name for file in files[:_NAMED])
    return names if len(files) <= _NAMED else f"{names} and {len(files) - _NAMED} more"


def _one_of(files: list[Path]) -> str:
    return f"{_list(files)}; keep only one"
