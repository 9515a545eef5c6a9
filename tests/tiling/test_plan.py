"""The plan of tiles, in whole numbers and without a network."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src_model.tiling.plan import Box, Tile, each, plan_tiles, round_up, tile_around
from src_model.tiling.stitch import cut, place

sizes = st.integers(1, 90)
plans = st.fixed_dictionaries(
    {
        "height": sizes,
        "width": sizes,
        "tile": st.integers(1, 40),
        "halo": st.integers(0, 20),
        "multiple": st.sampled_from([1, 2, 3, 8, 16]),
    }
)


@st.composite
def regions(draw: st.DrawFn, height: int, width: int) -> Box:
    y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return Box(y, x, draw(st.integers(1, height - y)), draw(st.integers(1, width - x)))


@given(plan=plans)
def test_every_pixel_is_written_exactly_once(plan: dict[str, int]) -> None:
    written = np.zeros((plan["height"], plan["width"]), int)

    for tile in plan_tiles(**plan):
        written[tile.write.slices] += 1

    assert (written == 1).all()


@given(data=st.data(), plan=plans)
def test_every_pixel_of_a_region_comes_from_its_place_in_the_image(
    data: st.DataObject, plan: dict[str, int]
) -> None:
    region = data.draw(regions(plan["height"], plan["width"]))
    image = np.arange(plan["height"] * plan["width"]).reshape(plan["height"], plan["width"])
    output = np.full((region.height, region.width), -1)

    for tile in plan_tiles(**plan, region=region):
        place(output, tile, cut(image, tile))

    np.testing.assert_array_equal(output, image[region.slices])


@given(data=st.data(), plan=plans)
def test_the_halo_is_read_as_far_as_the_image_goes(data: st.DataObject, plan: dict[str, int]) -> None:
    region = data.draw(regions(plan["height"], plan["width"]))

    for tile in plan_tiles(**plan, region=region):
        kept = tile.keep.moved(tile.read.y, tile.read.x)
        assert Box(0, 0, plan["height"], plan["width"]).contains(tile.read)
        assert tile.read.contains(kept)
        assert kept.y - tile.read.y >= min(plan["halo"], kept.y)
        assert kept.x - tile.read.x >= min(plan["halo"], kept.x)
        assert tile.read.y_end - kept.y_end >= min(plan["halo"], plan["height"] - kept.y_end)
        assert tile.read.x_end - kept.x_end >= min(plan["halo"], plan["width"] - kept.x_end)


@given(plan=plans)
def test_reads_begin_and_end_on_the_grid_of_the_network_or_at_the_edge(plan: dict[str, int]) -> None:
    multiple = plan["multiple"]

    for tile in plan_tiles(**plan):
        assert tile.read.y % multiple == 0
        assert tile.read.x % multiple == 0
        assert tile.read.y_end % multiple == 0 or tile.read.y_end == plan["height"]
        assert tile.read.x_end % multiple == 0 or tile.read.x_end == plan["width"]


@given(plan=plans)
def test_no_read_is_larger_than_tile_and_halo_allow(plan: dict[str, int]) -> None:
    step = round_up(plan["tile"], plan["multiple"])
    side = step + 2 * round_up(plan["halo"], plan["multiple"])

    tiles = plan_tiles(**plan)

    assert max(max(tile.read.height, tile.read.width) for tile in tiles) <= side
    assert len(tiles) == -(-plan["height"] // step) * -(-plan["width"] // step)


def test_a_large_tile_reads_the_whole_image_once() -> None:
    whole = Box(0, 0, 50, 70)

    assert plan_tiles(50, 70, tile=70, halo=64, multiple=16) == (Tile(whole, whole, whole),)


@pytest.mark.parametrize(
    "wrong",
    [{"height": 0}, {"tile": 0}, {"halo": -1}, {"region": Box(0, 0, 20, 5)}, {"region": Box(0, 0, 0, 5)}],
)
def test_impossible_sizes_are_refused(wrong: dict[str, object]) -> None:
    values = {"height": 10, "width": 10, "tile": 4, "halo": 1} | wrong

    with pytest.raises(ValueError, match=r"Expected positive sizes|is not inside"):
        plan_tiles(**values)  # type: ignore[arg-type]


def test_a_result_of_the_wrong_size_is_not_placed() -> None:
    tile = plan_tiles(8, 8, tile=8, halo=0)[0]

    with pytest.raises(ValueError, match="8, 8"):
        place(np.zeros((8, 8)), tile, np.zeros((1, 1)))


def test_planning_needs_no_torch() -> None:
    code = "import sys, src_model.tiling.plan, src_model.tiling.stitch; print('torch' in sys.modules)"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "False"


@given(plans, st.data())
def test_a_tile_around_a_part_reads_it_with_its_context(plan: dict[str, int], data: st.DataObject) -> None:
    part = data.draw(regions(plan["height"], plan["width"]))
    halo, multiple = plan["halo"], plan["multiple"]
    size = {"height": plan["height"], "width": plan["width"]}

    tile = tile_around(part, halo=halo, multiple=multiple, **size)

    assert tile.write == part
    assert tile.keep.moved(tile.read.y, tile.read.x) == part
    assert Box(0, 0, **size).contains(tile.read)
    assert tile.read.y % multiple == tile.read.x % multiple == 0
    assert tile.read.y <= max(part.y - halo, 0)
    assert tile.read.x <= max(part.x - halo, 0)
    assert tile.read.y_end >= min(part.y_end + halo, plan["height"])
    assert tile.read.x_end >= min(part.x_end + halo, plan["width"])


@given(regions(60, 60), st.integers(1, 20))
def test_a_box_touches_the_squares_that_hold_a_pixel_of_it(box: Box, side: int) -> None:
    rows, columns = np.mgrid[box.slices]

    squares = set(each(box.squares(side)))

    assert squares == set(zip((rows // side).ravel(), (columns // side).ravel(), strict=True))
