"""Small pictures on disk for the tests of reading, pairing and sampling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from src_model.data.layouts import Case

Save = Callable[[str, NDArray[Any]], Path]
MakeCase = Callable[..., Case]


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers for every test."""
    return np.random.default_rng(0)


@pytest.fixture
def colour(rng: np.random.Generator) -> NDArray[np.uint8]:
    """(20, 24, 3), noise."""
    return rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes an array as a picture or TIFF below the test's folder: ``save("images/a.png", array)``."""

    def write(name: str, array: NDArray[Any]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in (".tif", ".tiff"):
            import tifffile

            colours = array.ndim == 3 and array.shape[-1] == 3
            tifffile.imwrite(path, array, photometric="rgb" if colours else "minisblack")
        else:
            Image.fromarray(array).save(path)
        return path

    return write


@pytest.fixture
def make_case(save: Save) -> MakeCase:
    """Writes one pair and gives its case: ``make_case(image, mask, id="a", suffix=".tif")``."""

    def make(image: NDArray[Any], mask: NDArray[Any], id: str = "a", suffix: str = ".png") -> Case:
        return Case(id, save(f"images/{id}{suffix}", image), save(f"masks/{id}.png", mask), id)

    return make


@pytest.fixture
def write_case(make_case: MakeCase) -> MakeCase:
    """``make_case`` with two objects as the mask and noise as the image where none is given."""

    def write(name: str = "a", image: Any = None, mask: Any = None, *, suffix: str = ".png") -> Case:
        if mask is None:
            mask = np.zeros((40, 48), np.uint8)
            mask[4:20, 5:24], mask[23:36, 24:42] = 1, 2
        if image is None:
            image = np.random.default_rng(0).integers(0, 256, (*mask.shape[:2], 3), dtype=np.uint8)
        return make_case(image, mask, id=name, suffix=suffix)

    return write
