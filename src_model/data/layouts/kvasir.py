"""Kvasir-SEG, polyps in the colon: images and masks of the same names, all of them JPEG."""

from __future__ import annotations

from pathlib import Path

from src_model.data.layouts.base import Layout, Parts
from src_model.data.layouts.folders import files, pair_folders, with_splits
from src_model.data.layouts.pairs import pair_parts

BOXES = ("kavsir_bboxes.json", "kvasir_bboxes.json")
"""The original is spelt the first way."""
_LOSSY = {".jpg", ".jpeg"}


class Kvasir(Layout):
    """Kvasir-SEG (Jha et al., 2020); the noise of its JPEG masks is removed where they are read."""

    name = "kvasir"
    title = "Kvasir-SEG"
    expects = "the folders 'images' and 'masks' with equal file names *.jpg, beside kavsir_bboxes.json or not"
    classes = ("polyp",)

    def recognises(self, root: Path) -> bool:
        if pair_folders(root) is not None and any((root / name).is_file() for name in BOXES):
            return True
        return any(_is_lossy(folder) for folder in with_splits(root))

    def parts(self, root: Path) -> Parts:
        return pair_parts(root)


def _is_lossy(folder: Path) -> bool:
    """Whether images and masks have the same names and both are JPEG."""
    both = pair_folders(folder)
    if both is None:
        return False
    images, masks = ({file.name.lower() for file in files(part)} for part in both)
    return bool(images & masks) and all(Path(name).suffix in _LOSSY for name in images | masks)
