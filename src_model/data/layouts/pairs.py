"""Folders of pairs: any images with a mask each, told apart by folders or by the ends of names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from src_model.data.layouts.base import MASK_ENDINGS, UNDIVIDED, Found, Layout, Parts
from src_model.data.layouts.folders import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    files,
    match,
    pair_folders,
    split_files,
    split_name,
    subfolders,
)


def list_pairs(folder: Path, endings: tuple[str, ...] = MASK_ENDINGS) -> Found:
    """A folder of images beside one of masks with the same names, or both in one folder."""
    both = pair_folders(folder)
    if both is not None:
        return match(files(both[0]), files(both[1]), endings)
    images, masks = split_files(files(folder), endings)
    return match(images, masks, endings)


def pair_parts(root: Path, endings: tuple[str, ...] = MASK_ENDINGS) -> Parts:
    """The folder itself where it holds pairs, its splits, and further subfolders that hold pairs."""
    below = subfolders(root)
    parts = {split: partial(list_pairs, below[name], endings) for name, split in _splits(below).items()}
    for name, folder in below.items():
        if split_name(name) is None and name not in (*IMAGE_FOLDERS, *MASK_FOLDERS):
            found = list_pairs(folder, endings)
            if found.cases:
                parts[name] = partial(list_pairs, folder, endings)
    own = list_pairs(root, endings)
    return {UNDIVIDED: lambda: own, **parts} if own.cases or "train" not in parts else parts


def _splits(below: dict[str, Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in below:
        split = split_name(name)
        if split is not None and split not in found.values():
            found[name] = split
    return found


class Pairs(Layout):
    """Any folder of pairs."""

    name = "pairs"
    title = "folder of pairs"
    expects = "the folders 'images' and 'masks' with equal file names, or <name>.png beside <name>_mask.png"

    def __init__(self, endings: tuple[str, ...] = MASK_ENDINGS) -> None:
        self.endings = tuple(ending.lower() for ending in endings)

    def recognises(self, root: Path) -> bool:
        return any(lister().cases for lister in self.parts(root).values())

    def parts(self, root: Path) -> Parts:
        return pair_parts(root, self.endings)

    def with_mask_endings(self, endings: tuple[str, ...]) -> Pairs:
        return Pairs(endings)
