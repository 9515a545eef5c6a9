"""MoNuSeg, nuclei in many organs: TIFF images with XML outlines, and prepared pairs of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from src_model.data.layouts.base import UNDIVIDED, Found, Layout, Parts
from src_model.data.layouts.folders import (
    files,
    match,
    mentioned_split,
    pair_folders,
    patient_of,
    stem,
    subfolders,
)
from src_model.data.layouts.pairs import list_pairs

OUTLINES = ".xml"
IMAGE_FOLDER, OUTLINE_FOLDER = "tissue images", "annotations"


class MoNuSeg(Layout):
    """Multi-Organ Nucleus Segmentation (Kumar et al., 2017 and 2020)."""

    name = "monuseg"
    title = "MoNuSeg"
    expects = (
        "'Tissue Images' with *.tif beside 'Annotations' with *.xml, or folders of pairs that are named "
        "TCGA-XX-XXXX-..."
    )
    kind = "instances"
    classes = ("nucleus",)

    def recognises(self, root: Path) -> bool:
        return any(True for _ in _sources(root))

    def parts(self, root: Path) -> Parts:
        folders: dict[str, Path] = {}
        for split, folder in _sources(root):
            folders.setdefault(split, folder)
        return {split: partial(_list, folder) for split, folder in folders.items()}


def _sources(root: Path) -> Iterator[tuple[str, Path]]:
    """Folders that hold cases, with the split that they or the folder above are named after."""
    for folder in _two_levels(root):
        if _outlined(folder) is not None or _is_prepared(folder):
            split = None if folder == root else mentioned_split(folder.name)
            yield split or UNDIVIDED, folder


def _two_levels(root: Path) -> Iterator[Path]:
    """The folder, its splits, and theirs: an archive unpacks to a folder in a folder of its name."""
    yield root
    for folder in _divided(root):
        yield folder
        yield from _divided(folder)


def _divided(folder: Path) -> list[Path]:
    return [below for name, below in subfolders(folder).items() if mentioned_split(name) is not None]


def _outlined(folder: Path) -> tuple[Path, Path] | None:
    """The folders of images and of XML outlines; the test set keeps both in one."""
    below = subfolders(folder)
    if IMAGE_FOLDER in below and OUTLINE_FOLDER in below:
        return below[IMAGE_FOLDER], below[OUTLINE_FOLDER]
    outlines = {stem(file) for file in files(folder, OUTLINES)}
    if outlines and any(stem(file) in outlines for file in files(folder)):
        return folder, folder
    return None


def _is_prepared(folder: Path) -> bool:
    """Whether it holds pairs that are named after patients of The Cancer Genome Atlas."""
    both = pair_folders(folder)
    return both is not None and any(patient_of(file.name) is not None for file in files(both[0]))


def _list(folder: Path) -> Found:
    both = _outlined(folder)
    if both is not None:
        return match(files(both[0]), files(both[1], OUTLINES))
    found = list_pairs(folder)
    return found if found.cases and _numbers_objects(found.cases[0].mask) else replace(found, kind="semantic")


def _numbers_objects(mask: Path) -> bool:
    """Whether a mask has more than 8 bits, which only numbers of objects need."""
    from src_model.data.headers import read_header

    header = read_header(mask)
    return header is not None and header.bits > 8
