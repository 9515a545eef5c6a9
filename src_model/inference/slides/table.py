"""The table of a slide's objects: a CSV file written while they are found, and read for the viewer."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from src_model.errors import DataError
from src_model.inference.slides.object_measures import Sums

CLASS_NAME = "class_name"
"""The only column of words."""
_WHOLE_NUMBERS = ("label", "class", "bbox_")
"""How the names of columns of whole numbers begin."""


class ObjectTable:
    """Writes one row an object; nothing of it stays in memory.

    Parameters
    ----------
    stream
        A text file, opened for writing with ``newline=""``.
    pixel_size_um
        Side of a pixel, micrometres; ``None`` = not known, lengths are in pixels.
    classes
        Names of the classes 1, 2, ...; empty = no column of names.
    channels
        Names of the channels whose mean is known; one empty name = grey.
    confidence
        Whether the foreground probability is known.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        pixel_size_um: float | None = None,
        classes: Sequence[str] = (),
        channels: Sequence[str] = (),
        confidence: bool = False,
    ) -> None:
        self._rows = csv.writer(stream, lineterminator="\n")
        self._size = pixel_size_um
        self._classes = list(classes)
        self.channels = tuple(" ".join(name.split()) for name in channels)
        self._confidence = confidence
        unit, square = ("px", "px") if pixel_size_um is None else ("um", "um2")
        self.columns: tuple[str, ...] = (
            "label",
            "class",
            *([CLASS_NAME] if classes else []),
            f"area_{square}",
            f"perimeter_{unit}",
            "eccentricity",
            f"centroid_y_{unit}",
            f"centroid_x_{unit}",
            *(f"bbox_{side}_px" for side in ("top", "left", "bottom", "right")),
            *(f"mean_intensity_{name}".rstrip("_") for name in self.channels),
            *(["confidence"] if confidence else []),
        )
        self._rows.writerow(self.columns)

    def add(self, first: int, classes: Sequence[int], sums: Sums) -> None:
        """Write the rows of objects ``first``, ``first + 1``, ... of those classes.

        A centroid is measured from the upper left corner of the image: the middle of its first
        pixel lies half a pixel from it. With the size of a pixel unknown it is an index, 0 = that middle.
        """
        if sums.intensity.shape[1] != len(self.channels):
            raise ValueError(
                f"Expected {len(self.channels)} channels as in the head of the table "
                f"but got {sums.intensity.shape[1]}."
            )
        size, shift = (1.0, 0.0) if self._size is None else (self._size, 0.5)
        numbers = np.arange(first, first + len(classes))
        centre = (sums.centroid + shift) * size
        corners = np.column_stack([sums.low, sums.high])
        means = sums.intensity / sums.area[:, None]
        texts = [
            _texts(numbers, "d"),
            _texts(classes, "d"),
            *([[self._name(value) for value in classes]] if self._classes else []),
            _texts(sums.area * size**2, ".8g"),
            _texts(sums.perimeter * size, ".3f"),
            _texts(sums.eccentricity, ".4f"),
            *(_texts(axis, ".3f") for axis in centre.T),
            *(_texts(axis, ".0f") for axis in corners.T),
            *(_texts(channel, ".6g") for channel in means.T),
            *([_texts(sums.confidence / sums.area, ".4f")] if self._confidence else []),
        ]
        self._rows.writerows(zip(*texts, strict=True))

    def _name(self, value: int) -> str:
        return self._classes[value - 1] if value <= len(self._classes) else str(value)


def read_table(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read a table of objects.

    Returns
    -------
    dict
        For each column in the order of the file its values, one an object: int64 for ``label``, ``class``
        and the bounding box, str for ``class_name``, float64 for the rest.

    Raises
    ------
    DataError
        When the file is missing or no table of objects; names it.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            names = next(csv.reader(stream), [])
            begin = stream.readline()
        if names[:2] != ["label", "class"]:
            raise ValueError(f"its columns begin with {', '.join(names[:2]) or 'nothing'}")
        numeric = [index for index, name in enumerate(names) if name != CLASS_NAME]
        if not begin:
            return {name: np.empty(0, _kind(name)) for name in names}
        numbers = _load(path, numeric, np.float64)
        table = {names[index]: numbers[:, k].astype(_kind(names[index])) for k, index in enumerate(numeric)}
        if CLASS_NAME in names:
            table[CLASS_NAME] = _load(path, [names.index(CLASS_NAME)], np.str_)[:, 0]
    except (OSError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"{path} cannot be read as a table of objects: {reason}; segment the slide with objects again."
        ) from error
    return {name: table[name] for name in names}


def _load(path: Path, columns: list[int], dtype: type[np.generic]) -> NDArray[Any]:
    """Some columns of a table without its head, (N, number of columns)."""
    with path.open(encoding="utf-8", newline="") as stream:
        stream.readline()
        values: NDArray[Any] = np.loadtxt(
            stream, dtype=dtype, delimiter=",", quotechar='"', comments=None, usecols=columns, ndmin=2
        )
    return values


def _kind(name: str) -> type[np.generic]:
    """Type of the values of a column."""
    if name == CLASS_NAME:
        return np.str_
    return np.int64 if name.startswith(_WHOLE_NUMBERS) else np.float64


def _texts(values: Any, form: str) -> list[str]:
    return [format(value, form) for value in np.asarray(values).tolist()]
