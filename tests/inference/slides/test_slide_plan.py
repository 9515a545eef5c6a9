"""Tiles hold all that is to be segmented, write each chunk once, and are no larger than memory allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from skimage.draw import polygon

from src_model.inference.slides.area import Area
from src_model.inference.slides.grid import Grid
from src_model.inference.slides.plan import Plan, Sizes
from src_model.inference.slides.tissue import Tissue
from src_model.tiling.plan import Box, Tile

HEIGHT, WIDTH = 1900, 2500
GRID = Grid(level=0, factor=1, shape=(HEIGHT, WIDTH), scale=(1.0, 1.0), pixel_size_um=0.5)
SIZES = Sizes(tile=256, halo=32, batch=1)


def tiles_of(area: Area, sizes: Sizes = SIZES, grid: Grid = GRID) -> list[Tile]:
    return [tile for group in Plan(grid, area, sizes, required=16).groups for tile in group]


def tissue_of(mask: NDArray[np.bool_]) -> Tissue:
    return Tissue(mask, (HEIGHT / mask.shape[0], WIDTH / mask.shape[1]))


@given(arrays(bool, (13, 17), elements=st.sampled_from([True, False, False])))
def test_tiles_keep_all_the_tissue_and_no_two_write_a_chunk(mask: NDArray[np.bool_]) -> None:
    area = Area(GRID, None, tissue_of(mask))
    kept, written = np.zeros((2, HEIGHT, WIDTH), np.uint8)

    for tile in tiles_of(area):
        kept[tile.kept.slices] += 1
        written[tile.write.slices] += 1
        assert tile.read.height * tile.read.width <= (256 + 2 * 32 + 15) ** 2
        assert tile.write.contains(tile.kept)

    inside = area.at(Box(0, 0, HEIGHT, WIDTH))
    assert inside is not None
    assert kept[inside].all()
    assert kept.max() <= 1
    assert written.max() <= 1


def test_a_whole_slide_is_cut_into_square_tiles() -> None:
    grid = Grid(level=0, factor=1, shape=(2048, 1024), scale=(1.0, 1.0), pixel_size_um=None)

    tiles = tiles_of(Area(grid, None, None), grid=grid)

    assert {(tile.kept.height, tile.kept.width) for tile in tiles} == {(256, 256)}
    assert len(tiles) == 32


def test_a_high_piece_of_tissue_is_one_tile_as_large_as_a_square_one() -> None:
    mask = np.zeros((HEIGHT // 4, WIDTH // 4), bool)
    mask[10:110, 100:116] = True  # rows 40 to 440, columns 400 to 464

    [tile] = tiles_of(Area(GRID, None, tissue_of(mask)))

    assert tile.kept == Box(0, 384, 448, 128)
    assert tile.write == Box(0, 256, 512, 256)


def test_no_tile_is_wider_than_a_square_one() -> None:
    mask = np.zeros((HEIGHT // 4, WIDTH // 4), bool)
    mask[100:116, 10:110] = True

    tiles = tiles_of(Area(GRID, None, tissue_of(mask)))

    assert [tile.kept.width for tile in tiles] == [256, 192]


points = st.lists(st.tuples(st.floats(-80, 500), st.floats(-80, 500)), min_size=3, max_size=6, unique=True)


@given(points)
def test_every_square_that_an_outline_reaches_into_is_found_and_none_far_from_it(
    corners: list[tuple[float, float]],
) -> None:
    outline = np.array(corners)
    low, high = outline.min(axis=0), outline.max(axis=0)
    grid = Grid(level=0, factor=1, shape=(416, 416), scale=(1.0, 1.0), pixel_size_um=None)
    width = np.linalg.svd(outline - outline.mean(axis=0), compute_uv=False)[1]
    if (high < 1e-3).any() or (low > 416 - 1e-3).any() or width < 1e-3:
        return  # outside, or a line: refused

    touched = Area(grid, [outline], None).touched(Box(32, 64, 320, 320), 32)

    filled = np.zeros((416, 416), bool)
    filled[polygon(outline[:, 0] - 0.5, outline[:, 1] - 0.5, filled.shape)] = True
    squares = filled[32:352, 64:384].reshape(10, 32, 10, 32).any(axis=(1, 3))
    assert touched[squares].all()
    rows, columns = np.nonzero(touched)
    assert (32 + 32 * rows <= high[0] + 1).all()
    assert (64 + 32 * (rows * 0 + columns) <= high[1] + 1).all()
    assert (64 + 32 * rows >= low[0] - 1).all()
    assert (96 + 32 * columns >= low[1] - 1).all()


@pytest.mark.parametrize("side", [64, 100])
def test_squares_beyond_the_end_of_a_box_are_as_small_as_what_is_left(side: int) -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[300:, 300:] = True

    touched = Area(GRID, None, tissue_of(mask)).touched(Box(0, 0, 300, 301), side)

    assert touched.sum() == 0
    assert touched.shape == (-(-300 // side), -(-301 // side))
