"""Numbered objects from masks."""

from __future__ import annotations

import numpy as np

from src_model.inference.objects import to_objects


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(shape)
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def test_two_touching_discs_become_two_objects() -> None:
    left, right = disc((40, 60), 20, 20, 10), disc((40, 60), 20, 37, 10)

    labels = to_objects(left | right)

    assert labels.dtype == np.uint32
    assert labels.max() == 2
    assert labels[20, 15] != labels[20, 42]
    np.testing.assert_array_equal(labels > 0, left | right)


def test_touching_discs_stay_whole_on_request() -> None:
    pair = disc((40, 60), 20, 20, 10) | disc((40, 60), 20, 37, 10)

    assert to_objects(pair, split=False).max() == 1


def test_an_oval_and_a_lone_disc_stay_one_object_each() -> None:
    rows, columns = np.indices((50, 90))
    oval = ((rows - 25) / 8) ** 2 + ((columns - 25) / 13) ** 2 <= 1

    assert to_objects(oval | disc((50, 90), 25, 70, 9)).max() == 2


def test_specks_do_not_break_the_wavy_objects_beside_them() -> None:
    rows, columns = np.indices((60, 120))
    wavy = np.zeros((60, 120), bool)
    for x in (30, 85):
        wave = 1 + 0.1 * np.cos(6 * np.arctan2(rows - 35, columns - x))
        wavy |= np.hypot((rows - 35) / 14, (columns - x) / 21) <= wave
    specks = np.logical_or.reduce([disc((60, 120), 6, x, 2) for x in (10, 40, 70)])

    assert to_objects(wavy).max() == 2
    assert to_objects(wavy | specks).max() == 2 + 3


def test_specks_are_removed_and_numbers_have_no_gaps() -> None:
    mask = disc((60, 60), 15, 15, 8) | disc((60, 60), 45, 45, 8)
    mask[30, 30] = mask[2, 50] = True

    labels = to_objects(mask)

    assert set(np.unique(labels)) == {0, 1, 2}
    assert labels[30, 30] == 0


def test_neighbours_of_different_classes_share_no_number() -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[5:25, 5:20] = 1
    mask[5:25, 20:35] = 2

    labels = to_objects(mask, split=False)

    assert labels.max() == 2
    assert len(np.unique(labels[mask == 1])) == len(np.unique(labels[mask == 2])) == 1


def test_an_empty_mask_has_no_objects() -> None:
    assert to_objects(np.zeros((9, 9), np.uint8)).max() == 0
    assert to_objects(np.pad(np.ones((2, 2), bool), 4)).max() == 0


def test_a_full_mask_is_one_object() -> None:
    assert to_objects(np.ones((20, 20), bool)).max() == 1
