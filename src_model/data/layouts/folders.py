"""Names of files and folders: pictures in them, splits, patients, and which mask is whose."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path

from src_model.data.case import Case
from src_model.data.image_io import IMAGE_SUFFIXES
from src_model.data.layouts.base import MASK_ENDINGS, Found
from src_model.data.problems import Problem, name_some

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "labelcol", "annotations", "annotation", "gt")

_PATIENT = re.compile(r"(TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})(?![A-Z0-9])", re.IGNORECASE)
_SPLIT = re.compile(
    r"(?:(?P<train>train|training)|(?P<validation>val|valid|validation)|(?P<test>test|testing))"
    r"(?:[ _-]?(?:folder|set|data|split))?"
)
_MENTIONS = {"train": "train", "validation": "valid", "test": "test"}


def subfolders(folder: Path) -> dict[str, Path]:
    """By their name in lower case."""
    visible = (entry for entry in sorted(folder.iterdir()) if not entry.name.startswith("."))
    return {entry.name.lower(): entry for entry in visible if entry.is_dir()}


def files(folder: Path, *suffixes: str) -> list[Path]:
    """Visible files with one of the endings (in lower case; default: pictures), by name."""
    wanted = suffixes or tuple(IMAGE_SUFFIXES)
    return sorted(
        file
        for file in folder.iterdir()
        if file.name.lower().endswith(wanted) and not file.name.startswith(".") and file.is_file()
    )


def split_name(folder: str) -> str | None:
    """``train``, ``validation`` or ``test`` where a folder is named after one and nothing else."""
    match = _SPLIT.fullmatch(folder.lower())
    return match and match.lastgroup


def mentioned_split(folder: str) -> str | None:
    """``train``, ``validation`` or ``test`` where a folder's name contains it."""
    found = (split for split, word in _MENTIONS.items() if word in folder.lower())
    return next(found, None) or split_name(folder)


def split_folders(root: Path) -> dict[str, Path]:
    """Subfolders that are named after a split, by the name of the split."""
    named = ((split_name(name), folder) for name, folder in subfolders(root).items())
    found: dict[str, Path] = {}
    for split, folder in named:
        if split is not None:
            found.setdefault(split, folder)
    return found


def with_splits(root: Path) -> Iterator[Path]:
    """The folder and its splits."""
    yield root
    yield from split_folders(root).values()


def pair_folders(folder: Path) -> tuple[Path, Path] | None:
    """A folder of images and one of masks, by their usual names."""
    below = subfolders(folder)
    images = next((below[name] for name in IMAGE_FOLDERS if name in below), None)
    masks = next((below[name] for name in MASK_FOLDERS if name in below), None)
    return None if images is None or masks is None else (images, masks)


def stem(file: Path) -> str:
    """File name without its ending; ``.ome.tif`` counts as one."""
    return file.stem[:-4] if file.stem.lower().endswith(".ome") else file.stem


def group_of(name: str) -> str:
    """The patient where a name of The Cancer Genome Atlas tells it, else the name itself."""
    patient = patient_of(name)
    return patient or name


def patient_of(name: str) -> str | None:
    """``TCGA-21-5784`` of ``TCGA-21-5784-01Z-00-DX1``; ``None`` for names of other kinds."""
    patient = _PATIENT.match(name)
    return patient[1].upper() if patient else None


def split_files(pictures: list[Path], endings: tuple[str, ...]) -> tuple[list[Path], list[Path]]:
    """Images and masks of one folder: a mask has the name of an image and an ending."""
    names = {stem(file).lower() for file in pictures}
    masks = [file for file in pictures if _without_ending(stem(file).lower(), endings) in names]
    return [file for file in pictures if file not in masks], masks


def match(
    images: list[Path],
    masks: list[Path],
    endings: tuple[str, ...] = MASK_ENDINGS,
    group: Callable[[str], str] = group_of,
) -> Found:
    """Pair what belongs together without a doubt, and say what does not."""
    images_of = _by_key(images, lambda file: stem(file).lower())
    masks_of = _by_key(masks, lambda file: _key(file, images_of.keys(), endings))
    cases, problems = [], []
    for key, same in images_of.items():
        found = masks_of.pop(key, [])
        if len(same) > 1:
            what = f"it shares the name '{key}' with another image, of which only one may stay"
            problems += [Problem(file, what) for file in same]
        elif len(found) > 1:
            problems.append(
                Problem(
                    same[0], f"{len(found)} masks fit it, of which only one may stay ({name_some(found)})"
                )
            )
        elif found:
            name = stem(same[0])
            cases.append(Case(id=name, image=same[0], mask=found[0], group=group(name)))
        else:
            problems.append(Problem(same[0], "it has no mask"))
    spare = [file for found in masks_of.values() for file in found]
    problems += [Problem(file, "it has no image") for file in spare]
    return Found(tuple(cases), tuple(problems))


def _by_key(files: Iterable[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(key(file), []).append(file)
    return found


def _key(mask: Path, images: Container[str], endings: tuple[str, ...]) -> str:
    """Name of the image, in lower case, that a mask belongs to."""
    name = stem(mask).lower()
    return name if name in images else _without_ending(name, endings) or name


def _without_ending(name: str, endings: tuple[str, ...]) -> str | None:
    """The image's name that a mask's name in lower case implies; ``None`` for other names."""
    return next((name.removesuffix(ending) for ending in endings if name.endswith(ending)), None)
