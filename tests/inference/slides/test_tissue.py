"""Tissue is found on slides of every kind, its holes closed and specks removed; a blank slide is told so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_slides import pyramid, write_ome_zarr, write_pyramid
from numpy.typing import NDArray

from src_model.data.slide import Slide, open_slide
from src_model.data.slide_formats.level import Box as Spans
from src_model.data.slide_formats.level import Level
from src_model.errors import DataError, ImageError
from src_model.inference.slides import thumbnail
from src_model.inference.slides.thumbnail import choose_level, read_thumbnail
from src_model.inference.slides.tissue import Tissue, find_tissue

RNG = np.random.default_rng(0)


def disc(height: int, width: int, centre: tuple[int, int], radius: float) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[:height, :width]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def stained(where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Purple where there is tissue, on glass that is not quite white; with noise."""
    colours = np.where(where[..., np.newaxis], (150, 90, 160), (238, 236, 240))
    return (colours + RNG.integers(-5, 6, colours.shape)).clip(0, 255).astype(np.uint8)


def slide_of(*levels: NDArray[Any], axes: str = "YXC", um: float | None = None) -> Slide:
    """A slide that lies in memory."""

    def level_of(image: NDArray[Any]) -> Level:
        def read(box: Spans) -> NDArray[Any]:
            return image[tuple(slice(*span) for span in box)]

        return Level(image.shape, image.dtype, axes, read, name="made")

    return Slide(
        path=Path("made"), format="made", levels=tuple(map(level_of, levels)), stored_levels=len(levels),
        is_rgb=axes == "YXC", pixel_size_um=None if um is None else (um, um), channel_names=(),
        associated={}, metadata={}, warnings=(), is_stack=False,
    )  # fmt: skip


def agreement(tissue: Tissue, truth: NDArray[np.bool_]) -> float:
    """Share of the slide's pixels on which the tissue agrees with the truth."""
    return float((tissue.at(0, 0, *truth.shape, (1.0, 1.0)) == truth).mean())


def test_stained_tissue_is_found_on_a_tiff(tmp_path: Path) -> None:
    truth = disc(700, 900, (300, 500), 180)
    path = write_pyramid(tmp_path / "slide.tif", pyramid(stained(truth), 2))

    found = find_tissue(open_slide(path))

    assert agreement(found, truth) > 0.995
    assert found.share == pytest.approx(truth.mean(), rel=0.02)


def test_a_single_small_piece_on_a_large_slide_is_found() -> None:
    truth = disc(1500, 1500, (200, 1200), 60)

    found = find_tissue(slide_of(stained(truth)))

    assert truth.mean() < 0.01
    assert found.share == pytest.approx(truth.mean(), rel=0.05)


def test_black_that_the_scanner_did_not_look_at_is_no_tissue() -> None:
    truth = disc(800, 800, (500, 500), 150)
    image = stained(truth)
    image[:200], image[:, :150] = RNG.integers(0, 6, (200, 800, 3)), 0

    assert agreement(find_tissue(slide_of(image)), truth) > 0.99


def test_colours_that_shine_on_black_are_tissue() -> None:
    truth = disc(600, 600, (300, 250), 120)
    image = np.where(truth[..., np.newaxis], (10, 20, 140), (2, 1, 3)).astype(np.uint8)

    assert agreement(find_tissue(slide_of(image)), truth) > 0.99


def test_a_caller_may_say_what_the_background_is() -> None:
    truth = disc(600, 600, (300, 250), 120)
    grey = np.where(truth, 90, 200).astype(np.uint8) + RNG.integers(0, 4, truth.shape, dtype=np.uint8)

    assert agreement(find_tissue(slide_of(grey, axes="YX")), ~truth) > 0.99
    assert agreement(find_tissue(slide_of(grey, axes="YX"), against_white=True), truth) > 0.99


def test_channels_of_sixteen_bits_are_searched_by_intensity(tmp_path: Path) -> None:
    truth = disc(640, 512, (250, 250), 140)
    image = RNG.integers(90, 110, (3, 640, 512)).astype(np.uint16)
    image[1][truth] += 400
    image[2][truth] += 150
    path = write_ome_zarr(tmp_path / "slide.zarr", [image, image[:, ::2, ::2]], "cyx")

    found = find_tissue(open_slide(path))

    assert agreement(found, truth) > 0.99


def test_colours_of_sixteen_bits_need_not_reach_the_end_of_their_range() -> None:
    truth = disc(600, 600, (300, 250), 120)
    image = stained(truth).astype(np.uint16) * 16

    assert agreement(find_tissue(slide_of(image)), truth) > 0.99


def test_small_holes_are_closed_and_small_specks_removed_by_their_size_on_the_glass() -> None:
    truth = disc(1000, 1000, (500, 500), 300)
    image = stained(truth & ~disc(1000, 1000, (500, 450), 40) & ~disc(1000, 1000, (560, 650), 4))
    image[900:908, 900:908] = (120, 60, 130)

    coarse, fine = (find_tissue(slide_of(image, um=um)) for um in (10.0, 1.0))

    for tissue in (coarse, fine):
        assert tissue.mask[560, 650], "a hole of 8 pixels is small at either size"
    assert not coarse.mask[500, 450], "a hole of 800 micrometres stays"
    assert fine.mask[500, 450], "a hole of 80 micrometres is closed"
    assert coarse.mask[904, 904], "a speck of 80 micrometres stays"
    assert not fine.mask[904, 904], "a speck of 8 micrometres is removed"


@pytest.mark.parametrize(
    "blank",
    [
        np.full((300, 400, 3), 255, np.uint8),
        RNG.integers(225, 245, (300, 400, 3)).astype(np.uint8),
        np.zeros((300, 400, 3), np.uint8),
    ],
    ids=["white", "glass", "never scanned"],
)
def test_a_blank_slide_has_no_tissue(blank: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match="looks blank"):
        find_tissue(slide_of(blank))


@pytest.mark.parametrize(
    "blank",
    [np.full((2, 300, 400), 100, np.uint16), RNG.normal(100, 5, (2, 300, 400)).astype(np.uint16)],
    ids=["flat", "noise"],
)
def test_blank_channels_have_no_tissue(blank: NDArray[np.uint16]) -> None:
    with pytest.raises(ImageError, match="looks blank"):
        find_tissue(slide_of(blank, axes="CYX"))


def test_a_threshold_can_be_changed_without_reading_the_slide_again() -> None:
    image = stained(disc(500, 500, (250, 250), 100))
    image[20:120, 20:120] = (205, 200, 210)
    reads = []
    slide = slide_of(image)
    read = slide.levels[0].read
    slide.levels[0].read = lambda box: reads.append(box) or read(box)  # type: ignore[method-assign]

    by_otsu = find_tissue(slide)
    count = len(reads)
    low = by_otsu.with_threshold(0.12)

    assert not by_otsu.mask[60, 60]
    assert low.mask[60, 60]
    assert low.threshold == 0.12
    assert low.with_threshold(None).threshold == by_otsu.threshold
    assert len(reads) == count > 0


def test_a_threshold_above_everything_is_told_so() -> None:
    found = find_tissue(slide_of(stained(disc(300, 300, (150, 150), 80))))

    with pytest.raises(ImageError, match=r"above the threshold 0\.99; choose a lower one"):
        found.with_threshold(0.99)
    with pytest.raises(ImageError, match="from 0 to 1 but got 40"):
        found.with_threshold(40)


def test_a_field_of_a_table_has_tissue_where_any_part_of_it_does() -> None:
    mask = np.zeros((4, 6), bool)
    mask[2, 3] = True  # rows 20 to 30, columns 37.5 to 50
    tissue = Tissue(mask, scale=(10.0, 12.5))

    found = tissue.touched(np.array([0, 20, 21, 30, 99]), np.array([0, 37, 38, 49, 50, 75]))

    assert found.tolist() == [
        [False, False, False, False, False],
        [False, True, True, True, False],
        [False, True, True, True, False],
        [False, False, False, False, False],
    ]


@pytest.mark.parametrize("scale", [(1.0, 1.0), (2.0, 2.0), (3.7, 2.5)])
def test_part_of_another_grid_is_looked_up_by_the_nearest_pixel(scale: tuple[float, float]) -> None:
    mask = RNG.random((9, 11)) < 0.5
    tissue = Tissue(mask, scale=(8.0, 7.0))

    part = tissue.at(3, 5, 13, 17, scale)

    for i in range(13):
        for j in range(17):
            row = min(int((3 + i + 0.5) * scale[0] / 8), 8)
            column = min(int((5 + j + 0.5) * scale[1] / 7), 10)
            assert part[i, j] == mask[row, column]


def test_a_drawn_mask_is_tissue_at_any_size() -> None:
    slide = slide_of(stained(disc(300, 400, (150, 150), 80)))
    drawn = np.zeros((30, 80), np.uint8)
    drawn[10:, 40:] = 3

    tissue = Tissue.from_mask(drawn, slide)

    assert tissue.scale == (10.0, 5.0)
    assert tissue.share == pytest.approx(1 / 3)
    assert tissue.threshold is None
    for wrong in (drawn * 0, drawn[0]):
        with pytest.raises(ImageError, match="tissue mask"):
            Tissue.from_mask(wrong, slide)
    with pytest.raises(ImageError, match="was drawn"):
        tissue.with_threshold(0.3)


def test_found_tissue_can_be_corrected_by_hand() -> None:
    found = find_tissue(slide_of(stained(disc(300, 300, (150, 150), 80))))
    corrected = found.mask.copy()
    corrected[:150] = False

    assert found.edited(corrected).share == pytest.approx(found.share / 2, rel=0.05)
    assert found.edited(corrected).scale == found.scale
    for wrong in (corrected[:-1], corrected & False):
        with pytest.raises(ImageError, match="tissue mask"):
            found.edited(wrong)


def test_the_coarsest_level_that_shows_enough_is_looked_at() -> None:
    def sized(*sides: int) -> int:
        slide = slide_of(*(np.zeros((side // 2, side, 3), np.uint8) for side in sides))
        return max(choose_level(slide).size_yx)

    assert sized(4800, 1200, 300) == 1200
    assert sized(4800, 600) == 4800
    assert sized(400, 200) == 400


def test_a_thumbnail_has_means_and_the_place_of_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnail, "MOST_SIDE", 60)
    monkeypatch.setattr(thumbnail, "BLOCK_BYTES", 40_000)
    monkeypatch.setattr(thumbnail, "_LEAST_BLOCK", 16)
    monkeypatch.setattr(thumbnail, "_SMOOTHING", 1e-3)
    image = RNG.integers(40, 256, (131, 235, 3), dtype=np.uint8)

    small = read_thumbnail(slide_of(image, um=0.5))

    assert small.values.shape == (33, 59)
    assert small.scale == (4.0, 4.0)
    assert small.pixel_size_um == (2.0, 2.0)
    assert small.values[5, 7] == pytest.approx(1 - image[20:24, 28:32].mean((0, 1)).min() / 255, abs=1e-6)
    last = image[128:, 232:].mean((0, 1)).min() / 255
    assert small.values[-1, -1] == pytest.approx(1 - last, abs=1e-6)


def test_what_cannot_be_decoded_counts_as_tissue_and_the_rest_is_searched() -> None:
    truth = disc(900, 900, (300, 600), 150)
    slide = slide_of(stained(truth))
    read = slide.levels[0].read

    def damaged(box: Spans) -> NDArray[Any]:
        if box[0][1] > 700 and box[1][0] < 100:
            raise DataError("damaged")
        return read(box)

    slide.levels[0].read = damaged  # type: ignore[method-assign]

    found = find_tissue(slide)

    assert found.mask[800, 50]
    assert not found.mask[300, 50]
    assert agreement(found, truth) > 0.9


def test_a_slide_of_which_nothing_can_be_decoded_is_an_error() -> None:
    slide = slide_of(np.zeros((300, 300, 3), np.uint8))

    def damaged(_box: Spans) -> NDArray[Any]:
        raise DataError("made cannot be read")

    slide.levels[0].read = damaged  # type: ignore[method-assign]
    with pytest.raises(DataError, match="made cannot be read"):
        find_tissue(slide)
