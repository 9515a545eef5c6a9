"""What is wanted is covered by rectangles that do not overlap and cost least."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from src_model.tiling.cover import Cost, Numbers, cover
from src_model.tiling.plan import Box

wanted_blocks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=4))


def area(rows: Numbers, columns: Numbers) -> NDArray[np.float64]:
    return np.asarray(rows * columns, float)


def framed(rows: Numbers, columns: Numbers) -> NDArray[np.float64]:
    """With a border of one all around, which makes many small rectangles dear."""
    return np.asarray((rows + 2) * (columns + 2), float)


def framed_cost(rows: int, columns: int) -> float:
    """The same for one."""
    return float(framed(np.array(rows), np.array(columns)))


def covered(wanted: NDArray[np.bool_], cost: Cost, every: int = 1) -> tuple[Box, ...]:
    """Of one area alone."""
    [boxes] = cover(wanted[np.newaxis], cost, every=every)
    return boxes


@given(wanted_blocks, st.sampled_from([area, framed]))
def test_each_wanted_block_lies_in_one_rectangle_and_no_two_overlap(wanted: NDArray[np.bool_], cost) -> None:  # type: ignore[no-untyped-def]
    times = np.zeros(wanted.shape, int)

    for box in covered(wanted, cost):
        times[box.slices] += 1
        assert wanted[box.slices].any()

    assert (times[wanted] == 1).all()
    assert times.max(initial=0) <= 1


@given(wanted_blocks)
def test_the_rectangles_cost_no_more_than_one_around_all(wanted: NDArray[np.bool_]) -> None:
    rows, columns = np.nonzero(wanted)
    cost = sum(framed_cost(box.height, box.width) for box in covered(wanted, framed))

    if rows.size:
        assert cost <= framed_cost(int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)
    else:
        assert cost == 0


@given(wanted_blocks)
def test_where_only_the_area_counts_each_rectangle_is_full_or_cannot_be_cut_better(
    wanted: NDArray[np.bool_],
) -> None:
    total = sum(box.height * box.width for box in covered(wanted, area))

    assert total == wanted.sum()  # single blocks can always be cut out


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

    found = covered(wanted, lambda height, width: (height + 0.2) * (width + 0.2))

    assert len(found) == len(expected)
    assert sum(box.height * box.width for box in found) == sum(box.height * box.width for box in expected)


def test_the_order_is_from_top_to_bottom() -> None:
    found = covered(np.eye(4, dtype=bool), area)

    assert [(box.y, box.x) for box in found] == [(n, n) for n in range(4)]
    assert all(one.y <= other.y for one, other in itertools.pairwise(found))


def test_rows_are_cut_at_multiples_and_rectangles_are_as_small_as_what_they_hold() -> None:
    wanted = np.zeros((8, 8), bool)
    wanted[1:3, 1] = wanted[6, 6:] = True

    found = covered(wanted, area, every=4)

    assert found == (Box(1, 1, 2, 1), Box(6, 6, 1, 2))


def test_what_lies_between_two_cuts_stays_together() -> None:
    wanted = np.zeros((8, 8), bool)
    wanted[0, 0] = wanted[3, 0] = True

    assert covered(wanted, area, every=4) == (Box(0, 0, 4, 1),)


def test_a_rectangle_whose_cost_is_infinite_is_cut() -> None:
    def cost(rows: Numbers, columns: Numbers) -> NDArray[np.float64]:
        return np.where(rows * columns > 4, np.inf, framed(rows, columns))

    found = covered(np.ones((4, 4), bool), cost)

    assert found == (Box(0, 0, 2, 2), Box(0, 2, 2, 2), Box(2, 0, 2, 2), Box(2, 2, 2, 2))


@given(arrays(bool, (3, 5, 4)))
def test_several_areas_are_covered_as_each_is_alone(wanted: NDArray[np.bool_]) -> None:
    together = cover(wanted, framed, every=2)

    assert together == [covered(one, framed, every=2) for one in wanted]


def best_by_trying(wanted: NDArray[np.bool_]) -> float:
    rows, columns = np.nonzero(wanted)
    if not rows.size:
        return 0.0
    whole = framed_cost(int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)
    across = [best_by_trying(wanted[:n]) + best_by_trying(wanted[n:]) for n in range(1, len(wanted))]
    down = [best_by_trying(wanted[:, :n]) + best_by_trying(wanted[:, n:]) for n in range(1, wanted.shape[1])]
    return min([whole, *across, *down])


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=3)))
def test_no_other_cuts_cost_less(wanted: NDArray[np.bool_]) -> None:
    cost = sum(framed_cost(box.height, box.width) for box in covered(wanted, framed))

    assert cost == best_by_trying(wanted)
