"""The Medical Segmentation Decathlon as a layout: volumes that ``dataset.json`` lists."""

from __future__ import annotations

from pathlib import Path

from src_model.data.decathlon import DESCRIPTION, read_decathlon
from src_model.data.layouts.base import UNDIVIDED, Found, Layout, Parts


class Decathlon(Layout):
    """Any task of the Medical Segmentation Decathlon (Antonelli et al., 2022)."""

    name = "decathlon"
    title = "Medical Segmentation Decathlon"
    expects = f"{DESCRIPTION} beside the folders 'imagesTr' and 'labelsTr'"
    kind = "classes"
    dims = 3

    def recognises(self, root: Path) -> bool:
        return (root / DESCRIPTION).is_file()

    def parts(self, root: Path) -> Parts:
        return {UNDIVIDED: lambda: _list(root)}


def _list(root: Path) -> Found:
    dataset = read_decathlon(root)
    return Found(dataset.cases, dataset.findings, classes=dataset.classes[1:])
