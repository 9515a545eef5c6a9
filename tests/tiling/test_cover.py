"""What is wanted is covered by rectangles that do not overlap and cost least."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from src_model.tiling.cover import cover
from src_model.tiling.plan import Box

wanted_blocks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=4))


def area(rows: int, columns: int) -> float:
    return float(rows * columns)


def framed(rows: int, columns: int) -> float:
    """With a border of one all around, which makes many small rectangles dear."""
    return float((rows + 2) * (columns + 2))


@given(wanted_blocks, st.sampled_from([area, framed]))
def test_each_wanted_block_lies_in_one_rectangle_and_no_two_overlap(wanted: np.ndarray, cost) -> None:  # type: ignore[type-arg, no-untyped-def]
    times = np.zeros(wanted.shape, int)

    for box in cover(wanted, cost):
        times[box.slices] += 1
        assert wanted[box.slices].any()

    assert (times[wanted] == 1).all()
    assert times.max(initial=0) <= 1


@given(wanted_blocks)
def test_the_rectangles_cost_no_more_than_one_around_all(wanted: np.ndarray) -> None:  # type: ignore[type-arg]
    rows, columns = np.nonzero(wanted)
    cost = sum(framed(box.height, box.width) for box in cover(wanted, framed))

    if rows.size:
        assert cost <= framed(int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)
    else:
        assert cost == 0


@given(wanted_blocks)
def test_where_only_the_area_counts_each_rectangle_is_full_or_cannot_be_cut_better(
    wanted: np.ndarray,
) -> None:  # type: ignore[type-arg]
    covered = sum(box.height * box.width for box in cover(wanted, area))

    assert covered == wanted.sum()  # single blocks can always be cut out


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["####", "####", "####", "####"], [Box(0, 0, 4, 4)]),
        (["....", "....", "..#.", "...."], [Box(2, 2, 1, 1)]),
        (["#...", "#...", "#...", "####"], [Box(0, 0, 4, 1), Box(3, 1, 1, 3)]),
        (["....", "....", "....", "...."], []),
    ],
)
def test_shapes_are_cut_where_that_saves_pixels(rows: list[str], expected: list[Box]) -> None:
    wanted = np.array([[letter == "#" for letter in row] for row in rows])

    found = cover(wanted, lambda height, width: (height + 0.2) * (width + 0.2))

    assert len(found) == len(expected)
    assert sum(box.height * box.width for box in found) == sum(box.height * box.width for box in expected)


def test_the_order_is_from_top_to_bottom() -> None:
    found = cover(np.eye(4, dtype=bool), area)

    assert [(box.y, box.x) for box in found] == [(n, n) for n in range(4)]
    assert all(one.y <= other.y for one, other in itertools.pairwise(found))


def test_rows_are_cut_at_multiples_and_rectangles_are_as_small_as_what_they_hold() -> None:
    wanted = np.zeros((8, 8), bool)
    wanted[1:3, 1] = wanted[6, 6:] = True

    found = cover(wanted, lambda rows, columns: rows * columns, every=4)

    assert found == (Box(1, 1, 2, 1), Box(6, 6, 1, 2))


def test_what_lies_between_two_cuts_stays_together() -> None:
    wanted = np.zeros((8, 8), bool)
    wanted[0, 0] = wanted[3, 0] = True

    assert cover(wanted, lambda rows, columns: rows * columns, every=4) == (Box(0, 0, 4, 1),)
