"""What a tile reads comes some rows at a time, and is what one reading gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_slides import pyramid, tissue, write_svs

from src_model.data.slide import open_slide
from src_model.inference.slides.grid import GridReader, choose_grid
from src_model.tiling.plan import Box


def reader_of(folder: Path, wanted_um: float) -> GridReader:
    slide = open_slide(write_svs(folder / "a.svs", pyramid(tissue(1536, 640), 2)))
    assert slide.pixel_size_um is not None
    return GridReader(slide, choose_grid(slide, wanted_um, slide.pixel_size_um[0]))


@pytest.mark.parametrize("box", [Box(0, 0, 1536, 640), Box(100, 64, 1300, 300), Box(500, 0, 8, 16)], ids=str)
def test_pieces_are_what_one_reading_gives_and_end_where_tiles_of_the_slide_do(
    box: Box, tmp_path: Path
) -> None:
    reader = reader_of(tmp_path, 0.5)

    pieces = list(reader.pieces(box))

    assert np.array_equal(np.concatenate([piece for _, piece in pieces]), reader.read(box))
    assert [row for row, _ in pieces] == [0, *(end - box.y for end in (512, 1024) if box.y < end < box.y_end)]


def test_resampled_pixels_come_at_once_as_they_depend_on_their_neighbours(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, 0.7)
    box = Box(32, 32, 800, 320)

    [(row, piece)] = reader.pieces(box)

    assert row == 0
    assert np.array_equal(piece, reader.read(box))
