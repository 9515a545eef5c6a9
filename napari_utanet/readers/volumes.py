"""Opens NIfTI volumes in napari, with their spacing in millimetres."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LayerData = tuple[Any, dict[str, Any], str]

MASK_ENDINGS = ("_mask.nii", "_mask.nii.gz")
"""Files that this program wrote as masks; they open as labels."""


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """The reader of ``.nii`` and ``.nii.gz`` files, or ``None`` for other files."""
    paths = [path] if isinstance(path, str) else path
    if all(name.lower().endswith((".nii", ".nii.gz")) for name in paths):
        return read_volumes
    return None


def read_volumes(path: str | list[str]) -> list[LayerData]:
    """One layer for each file.

    The axes are Z, Y, X in canonical orientation (to the top, the front and the right of the patient),
    after channels where there are several.

    Raises
    ------
    DataError
        When a file cannot be read; names it.
    """
    return [_layer(name) for name in ([path] if isinstance(path, str) else path)]


def _layer(name: str) -> LayerData:
    from src_model.data.volumes import read_mask_volume, read_volume, volume_stem

    is_mask = name.lower().endswith(MASK_ENDINGS)
    volume = read_mask_volume(name) if is_mask else read_volume(name)
    placed: dict[str, Any] = {
        "scale": volume.spacing_mm,
        "units": ("mm",) * 3,
        "axis_labels": ("z", "y", "x"),
    }
    values = volume.values
    if len(values) == 1:
        values = values[0]
    else:
        of_channels = {"scale": (1.0,), "units": ("pixel",), "axis_labels": ("c",)}
        placed = {key: of_channels[key] + placed[key] for key in placed}
    return values, {"name": volume_stem(Path(name)), **placed}, "labels" if is_mask else "image"
