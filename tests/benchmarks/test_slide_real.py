"""Objects that were numbered in two ways are compared by their pixels, not by their numbers."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def slide_real(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import slide_real

    return slide_real


def objects() -> np.ndarray:
    """Three objects on chunks of 8 pixels: the first crosses a row of borders, the second a column."""
    labels = np.zeros((16, 24), np.uint32)
    labels[6:10, 1:4] = 1
    labels[1:3, 14:18] = 2
    labels[12:15, 9:12] = 3
    return labels


def test_other_numbers_of_the_same_objects_make_no_difference(slide_real: ModuleType) -> None:
    renumbered = np.array([0, 3, 1, 2], np.uint32)[objects()]

    found = slide_real.compare_objects(renumbered, objects(), 8)

    assert found == {"untiled": 3, "across": 2, "unequal": 0}


def test_an_object_that_was_cut_at_a_border_is_told(slide_real: ModuleType) -> None:
    cut = objects()
    cut[8:10, 1:4] = 4

    assert slide_real.compare_objects(cut, objects(), 8)["unequal"] == 1


def test_objects_that_were_joined_are_told(slide_real: ModuleType) -> None:
    joined = objects()
    joined[joined == 3] = 2

    assert slide_real.compare_objects(joined, objects(), 8)["unequal"] == 2
