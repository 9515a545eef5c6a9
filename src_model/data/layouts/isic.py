"""ISIC 2016 and 2018, lesions of the skin: folders of photographs beside folders of ground truth."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from src_model.data.layouts.base import Found, Layout, Parts
from src_model.data.layouts.folders import (
    files,
    match,
    mentioned_split,
    pair_folders,
    subfolders,
    with_splits,
)
from src_model.data.layouts.pairs import pair_parts

_ENDING = "_segmentation"
_TRUTH = re.compile(r"ground[ _-]?truth", re.IGNORECASE)
_OTHER_TASK = re.compile(r"(part|task)[23]", re.IGNORECASE)
"""Attributes and diagnoses, which are no masks of lesions."""
_YEAR = re.compile(r"20\d\d")
_PHOTOGRAPHS = (".jpg", ".jpeg")


class ISIC(Layout):
    """Lesion segmentation of the International Skin Imaging Collaboration (Gutman et al., 2016; Codella
    et al., 2019).
    """

    name = "isic"
    title = "ISIC"
    expects = (
        "a folder of ISIC_*.jpg beside a folder ..._GroundTruth of ISIC_*_Segmentation.png, or 'images' and "
        "'masks' of such"
    )
    classes = ("lesion",)

    def recognises(self, root: Path) -> bool:
        return bool(_official(root)) or any(_is_prepared(folder) for folder in with_splits(root))

    def parts(self, root: Path) -> Parts:
        official = _official(root)
        if official:
            return {name: partial(_list, *folders) for name, folders in official.items()}
        return pair_parts(root)


def _official(root: Path) -> dict[str, tuple[Path, Path]]:
    """Folders of photographs and ground truth by split; a second year is told by its number."""
    below = {name: folder for name, folder in subfolders(root).items() if not _OTHER_TASK.search(name)}
    truths = {_place(name): folder for name, folder in below.items() if _TRUTH.search(name)}
    found: dict[str, tuple[Path, Path]] = {}
    for name, folder in below.items():
        place = _place(name)
        if _TRUTH.search(name) is None and place in truths:
            year, split = place
            found[f"{split}-{year}" if split in found else split] = folder, truths[place]
    return found


def _place(folder: str) -> tuple[str, str]:
    """Year and split that a folder's name tells."""
    year = _YEAR.search(folder)
    return year[0] if year else "", mentioned_split(folder) or "train"


def _is_prepared(folder: Path) -> bool:
    both = pair_folders(folder)
    if both is None:
        return False
    photographs, masks = files(both[0]), [file.stem.lower() for file in files(both[1])]
    return (
        bool(masks)
        and all(name.endswith(_ENDING) for name in masks)
        and all(file.suffix.lower() in _PHOTOGRAPHS for file in photographs)
    )


def _list(images: Path, masks: Path) -> Found:
    return match(files(images, *_PHOTOGRAPHS), files(masks), (_ENDING,))
