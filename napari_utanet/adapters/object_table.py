"""The objects of a mask as a table: what is shown of it, where each object lies, and how it is measured."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_utanet.adapters.from_layer import identity
from napari_utanet.adapters.placement import Placement
from napari_utanet.adapters.slide_layers import pixel_size_of
from napari_utanet.adapters.to_layer import role_of
from src_model.files import atomic_path

Columns = Mapping[str, NDArray[Any]]
"""Values by the name of the column, one an object; the names are those of the CSV files of slides."""

_CORNERS = ("bbox_top_px", "bbox_left_px", "bbox_bottom_px", "bbox_right_px")
_TITLES = {
    "label": "Object", "class": "Class", "class_name": "Class", "area": "Area", "perimeter": "Perimeter",
    "eccentricity": "Eccentricity", "centroid_y": "Y", "centroid_x": "X", "mean_intensity": "Intensity",
    "confidence": "Confidence",
}  # fmt: skip
_UNITS = {"um": "µm", "um2": "µm²", "px": "px"}


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """The objects of one mask."""

    title: str
    """Of the image."""
    columns: Columns
    placement: Placement
    """Of the pixels in which the bounding boxes are counted."""
    layer: str
    """Identity of the Labels layer that shows the objects."""

    def __len__(self) -> int:
        return len(self.columns["label"])

    def shown(self) -> list[tuple[str, NDArray[Any]]]:
        """Title and values of each column that a person wants to see."""
        hidden = {*_CORNERS, "class"} if "class_name" in self.columns else set(_CORNERS)
        return [(title_of(name), values) for name, values in self.columns.items() if name not in hidden]

    def box(self, row: int) -> NDArray[np.float64]:
        """(2, 2): upper left and lower right corner of an object in the world."""
        corners = np.array([float(self.columns[name][row]) for name in _CORNERS]).reshape(2, 2)
        return self.placement.to_world(corners - 0.5)


def has_table(layer: Any) -> bool:
    """Whether a layer shows the numbered objects of a slide and has their table as its features."""
    return role_of(layer) == "slide objects" and set(_CORNERS) <= set(layer.features.columns)


def table_of_layer(layer: Any) -> ObjectTable:
    """The table of a layer that :func:`has_table`, such as one whose objects were found on another day."""
    columns = {
        "label" if name == "index" else str(name): _as_array(layer.features[name])
        for name in layer.features.columns
    }
    return ObjectTable(
        layer.name.removesuffix(" objects"), columns, Placement.of_layer(layer), identity(layer)
    )


def title_of(column: str) -> str:
    """What stands above a column, such as ``Area (µm²)``."""
    name, _, unit = column.rpartition("_")
    if unit in _UNITS:
        return f"{_TITLES.get(name, name)} ({_UNITS[unit]})"
    if column.startswith("mean_intensity_"):
        return f"Intensity {column.removeprefix('mean_intensity_')}"
    return _TITLES.get(column, column)


def write_csv(columns: Columns, path: Path) -> None:
    """Write a table under its columns' names.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(columns)
        rows.writerows(zip(*(_plain(values) for values in columns.values()), strict=True))


def measure(
    labels: NDArray[Any], image: NDArray[Any] | None, placement: Placement
) -> dict[str, NDArray[Any]]:
    """Measure numbered objects.

    Parameters
    ----------
    labels
        (Y, X), whole numbers; 0 = background.
    image
        (Y, X) or (Y, X, C), for the mean intensity; ``None`` = not known.
    placement
        Of the labels; where its units are lengths the measures are micrometres.
    """
    from skimage.measure import regionprops_table

    properties = ["label", "area", "perimeter", "eccentricity", "centroid", "bbox"]
    grey = None if image is None else image.mean(axis=-1) if image.ndim == 3 else image
    if grey is not None:
        properties.append("intensity_mean")
    found = regionprops_table(np.asarray(labels), grey, properties=tuple(properties))
    size = pixel_size_of(placement)
    unit, square = ("px", "px") if size is None else ("um", "um2")
    height, width = size or (1.0, 1.0)
    shift = 0.0 if size is None else 0.5
    table = {
        "label": found["label"].astype(np.int64),
        f"area_{square}": found["area"] * height * width,
        f"perimeter_{unit}": found["perimeter"] * (height + width) / 2,
        "eccentricity": found["eccentricity"],
        f"centroid_y_{unit}": (found["centroid-0"] + shift) * height,
        f"centroid_x_{unit}": (found["centroid-1"] + shift) * width,
    }
    table |= {name: found[f"bbox-{side}"].astype(np.int64) for side, name in enumerate(_CORNERS)}
    if grey is not None:
        table["mean_intensity"] = found["intensity_mean"]
    return table


def _as_array(values: Any) -> NDArray[Any]:
    """A column of features; words as napari's tables keep them become an array of text."""
    array: NDArray[Any] = values.to_numpy()
    return array if array.dtype.kind in "biuf" else array.astype(str)


def _plain(values: NDArray[Any]) -> list[Any]:
    return [f"{value:.6g}" for value in values] if values.dtype.kind == "f" else values.tolist()
