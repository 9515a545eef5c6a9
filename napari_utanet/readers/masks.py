"""Opens the masks of whole slides that were segmented before, as labels over their slide."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from src_model.data.label_pyramid import LabelPyramid

LayerData = tuple[Any, dict[str, Any], str]

_OURS = ('"image-label"', '"utanet"')
"""Stand in the description of every mask that was written here."""


def is_mask(path: Path) -> bool:
    """Whether a folder says that it holds a mask of ours; nothing of it is read."""
    file = path / "zarr.json"
    if not file.is_file():
        return False
    text = file.read_text(encoding="utf-8")
    return all(word in text for word in _OURS)


def read_mask(path: Path) -> LayerData:
    """A Labels layer of several levels, where the slide lies that it was made of.

    Parameters
    ----------
    path
        Folder of a mask, or of numbered objects; their table, where it lies beside them, becomes the
        layer's features.

    Raises
    ------
    DataError
        When it is damaged; names it.
    """
    from napari_utanet.adapters.growing_mask import GrowingMask
    from napari_utanet.adapters.slide_results import reopened_mask
    from src_model.config import named_classes
    from src_model.data.label_pyramid import LabelPyramid

    pyramid = LabelPyramid.open(path)
    classes = named_classes(pyramid.classes, max(len(pyramid.classes), 1))
    levels, size = GrowingMask(pyramid).levels, _slide_pixel(pyramid)
    return reopened_mask(path, pyramid, levels, classes, _table_of(path), size)


def _slide_pixel(pyramid: LabelPyramid) -> tuple[float, float] | None:
    """Height and width of a pixel of the slide as our reader shows it; ``None`` = it shows pixels.

    Where the slide is gone, what the mask says of it; its pixels are then taken for square.
    """
    from napari_utanet.adapters.slide_results import slide_of
    from src_model.data.slide import open_slide
    from src_model.errors import DataError

    slide, size = slide_of(pyramid), pyramid.pixel_size_um
    with suppress(DataError):
        if slide is not None:
            return open_slide(slide).pixel_size_um
    side = None if size is None else size / math.sqrt(pyramid.scale[0] * pyramid.scale[1])
    return None if side is None else (side, side)


def _table_of(path: Path) -> dict[str, Any]:
    """The table of numbered objects; empty where there is none."""
    from src_model.errors import DataError

    table = path.with_name(f"{path.name.removesuffix('.ome.zarr')}.csv")
    if not table.is_file():
        return {}
    from src_model.inference.slides.table import read_table

    try:
        columns: dict[str, Any] = read_table(table)
    except DataError as error:
        from napari.utils.notifications import show_warning

        show_warning(str(error))
        return {}
    return columns
