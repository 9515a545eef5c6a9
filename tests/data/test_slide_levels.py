"""A level is enough of an array, reads no more than it is asked for, and belongs to one pyramid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_slides import pyramid, tissue, write_pyramid
from numpy.typing import NDArray

from src_model.data.slide import open_slide
from src_model.data.slide_formats.level import Box, Level, TileCache
from src_model.data.slide_formats.pyramid import block_mean, check_levels
from src_model.errors import DataError

IMAGE = np.random.default_rng(0).integers(0, 255, (13, 17, 3), dtype=np.uint8)


def level_of(image: NDArray[Any], axes: str = "YXC", name: str = "a.svs, level 0") -> Level:
    """A level that lies in memory."""

    def read(box: Box) -> NDArray[Any]:
        return image[tuple(slice(*span) for span in box)]

    return Level(image.shape, image.dtype, axes, read, name=name)


def sized(height: int, width: int, name: str, channels: int = 3) -> Level:
    return level_of(np.zeros((height, width, channels), np.uint8), name=name)


spans = st.one_of(
    st.integers(-13, 12),
    st.builds(
        slice,
        st.none() | st.integers(-20, 20),
        st.none() | st.integers(-20, 20),
        st.none() | st.integers(-4, 4).filter(bool),
    ),
)


@given(rows=spans, columns=spans)
def test_a_level_is_indexed_as_an_array_is(rows: Any, columns: Any) -> None:
    np.testing.assert_array_equal(level_of(IMAGE)[rows, columns], IMAGE[rows, columns])


@pytest.mark.parametrize(
    "key",
    [..., 3, -1, (..., 2), (4, ..., slice(0, 2)), (slice(2, 9), np.int64(5), np.uint8(1)), slice(5, 5)],
    ids=str,
)
def test_a_level_takes_dots_and_the_whole_numbers_of_numpy(key: Any) -> None:
    np.testing.assert_array_equal(level_of(IMAGE)[key], IMAGE[key])


@pytest.mark.parametrize("key", [13, -14, (0, 0, 0, 0), "a", 1.5, (..., ...), [1, 2]], ids=str)
def test_what_is_no_place_in_a_level_is_refused(key: Any) -> None:
    with pytest.raises(IndexError, match=r"Expected|lies outside"):
        level_of(IMAGE)[key]


def test_a_level_becomes_an_array_with_its_shape_type_and_size() -> None:
    level = level_of(IMAGE)

    assert (level.shape, level.ndim, level.size, len(level)) == (IMAGE.shape, 3, IMAGE.size, 13)
    assert (level.size_yx, level.channels, level.dtype) == ((13, 17), 3, np.uint8)
    np.testing.assert_array_equal(np.asarray(level), IMAGE)
    assert np.asarray(level, dtype=np.float32).dtype == np.float32
    assert repr(level) == "Level(a.svs, level 0: 13x17x3 YXC, uint8)"


def test_one_channel_of_a_level_is_a_level() -> None:
    channels = np.moveaxis(IMAGE, -1, 0)

    second = level_of(channels, "CYX").channel(1)

    assert second.axes == "YX"
    np.testing.assert_array_equal(second[2:5, 3], channels[1, 2:5, 3])
    with pytest.raises(IndexError, match="Expected a channel below 3"):
        level_of(channels, "CYX").channel(3)


@pytest.mark.parametrize(
    ("axes", "shape", "chunks"),
    [
        ("YX", (700, 900), (256, 256)),
        ("YXC", (700, 900, 3), (256, 256, 3)),
        ("CYX", (5, 700, 900), (5, 256, 256)),
    ],
)
def test_a_viewer_reads_squares_of_all_channels(
    axes: str, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> None:
    assert level_of(np.zeros(shape, np.uint8), axes).chunks == chunks


def test_an_error_of_a_codec_names_file_level_and_region() -> None:
    def read(box: Box) -> NDArray[Any]:
        raise RuntimeError("bad  Huffman\ncode.")

    level = Level((900, 800), np.dtype(np.uint8), "YX", read, name="a.svs, level 2")

    with pytest.raises(DataError) as caught:
        level[100:200, 50]

    assert str(caught.value) == (
        "a.svs, level 2 cannot be read in rows 100 to 200, columns 50 to 51: bad Huffman code; "
        "use another copy of the file."
    )


def test_only_the_tiles_under_a_region_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from src_model.data.slide_formats.tiff_tiles import Page

    path = write_pyramid(tmp_path / "a.tif", pyramid(tissue(300, 420), 2))
    decoded: list[int] = []
    original = Page.tile
    monkeypatch.setattr(
        Page, "tile", lambda self, file, index: decoded.append(index) or original(self, file, index)
    )

    level = open_slide(path).levels[0]
    assert decoded == []
    level[70:120, 60:70]  # tiles of 64 pixels, 7 across: the second row, first and second column

    assert decoded == [7, 8]
    level[100:120, 64:70]
    assert decoded == [7, 8]


def test_the_cache_keeps_to_its_size_and_forgets_the_oldest_first() -> None:
    cache = TileCache(max_bytes=250)
    made: list[str] = []

    def tile(key: str, size: int = 100) -> NDArray[np.uint8]:
        return cache.get(key, lambda: made.append(key) or np.zeros(size, np.uint8))

    for key in ("a", "b", "a", "c", "a", "b"):
        tile(key)
    tile("larger than the cache", 300)

    assert made == ["a", "b", "c", "b", "larger than the cache"]
    tile("larger than the cache", 300)
    assert made[-2:] == ["larger than the cache"] * 2


def test_what_is_put_into_the_cache_takes_the_place_of_what_was_there() -> None:
    cache = TileCache(max_bytes=250)
    for value in (1, 2):
        cache.put("a", np.full(100, value, np.uint8))
    cache.put("b", np.full(100, 3, np.uint8))

    assert cache.get("a", lambda: np.zeros(1, np.uint8))[0] == 2  # and both have room


def test_levels_are_put_in_order_finest_first() -> None:
    kept, warnings = check_levels([sized(25, 50, "b"), sized(100, 200, "a"), sized(50, 100, "c")])

    assert [level.name for level in kept] == ["a", "c", "b"]
    assert warnings == []


@pytest.mark.parametrize("reduction", [2, 3, 4, 7.5, 16, 32.1])
@pytest.mark.parametrize("rounding", [np.floor, np.ceil, np.rint])
def test_any_rounding_of_the_sides_is_one_ratio(reduction: float, rounding: Any) -> None:
    height, width = 30_011, 998

    small = sized(int(rounding(height / reduction)), int(rounding(width / reduction)), "b")
    kept, warnings = check_levels([sized(height, width, "a"), small])

    assert len(kept) == 2
    assert warnings == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (sized(50, 80, "bad"), "its size 50x80 does not fit the finest level, 100x200, at any one reduction"),
        (sized(50, 200, "bad"), "its size 50x200 is not below that of the level before, 100x200"),
        (sized(50, 100, "bad", channels=4), "it has 4 channels but the finest level has 3"),
        (
            level_of(np.zeros((50, 100), np.uint8), "YX", "bad"),
            "it has 1 channels but the finest level has 3",
        ),
        (level_of(np.zeros((50, 100, 3), np.uint16), name="bad"), "its pixels are uint16 but"),
    ],
    ids=["another shape", "same width", "more channels", "no colours", "another type"],
)
def test_a_level_that_contradicts_the_finest_is_left_out_with_its_reason(bad: Level, reason: str) -> None:
    kept, warnings = check_levels([sized(100, 200, "a"), bad, sized(25, 50, "c")])

    assert [level.name for level in kept] == ["a", "c"]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"bad is left out: {reason}")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (tissue(120, 210), "its size 120x210 does not fit the finest level, 300x420"),
        (tissue(150, 210).astype(np.uint16), "its pixels are uint16 but those of the finest level are uint8"),
    ],
    ids=["another shape", "another type"],
)
def test_a_tiff_whose_levels_disagree_opens_without_the_wrong_one_and_says_so(
    tmp_path: Path, bad: NDArray[Any], reason: str
) -> None:
    image = tissue(300, 420)

    slide = open_slide(write_pyramid(tmp_path / "a.tif", [image, bad, image[::4, ::4]]))

    assert [level.size_yx for level in slide.levels] == [(300, 420), (75, 105)]
    assert len(slide.warnings) == 1
    assert "a.tif, image 1 is left out: " + reason in slide.warnings[0]
    assert not slide.associated


def test_the_mean_of_blocks_is_that_of_the_pixels_they_cover_also_at_the_border() -> None:
    image = np.random.default_rng(0).integers(0, 65535, (7, 10, 2), dtype=np.uint16)

    mean = block_mean(image, (4, 4, 1))

    assert mean.shape == (2, 3, 2)
    assert mean.dtype == np.uint16
    assert mean[0, 0, 1] == round(float(image[:4, :4, 1].mean()))
    assert mean[1, 2, 0] == round(float(image[4:, 8:, 0].mean()))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.uint8]]:
    """A tiled image of one level, longer than 4,096 pixels."""
    image = np.random.default_rng(0).integers(0, 255, (4500, 130), dtype=np.uint8)
    return write_pyramid(tmp_path_factory.mktemp("large") / "large.tif", [image]), image


def test_a_large_image_of_one_level_gets_coarser_ones(large: tuple[Path, NDArray[np.uint8]]) -> None:
    path, image = large

    slide = open_slide(path)

    assert slide.stored_levels == 1
    assert [level.shape for level in slide.levels] == [(4500, 130), (2250, 65), (1125, 33), (563, 17)]
    np.testing.assert_allclose(slide.downsamples, [1, 2, 4, 8], rtol=0.03)
    np.testing.assert_array_equal(np.asarray(slide.levels[1]), block_mean(image, (2, 2)))
    np.testing.assert_array_equal(np.asarray(slide.levels[3]), block_mean(image, (8, 8)))


def test_a_computed_level_reads_only_what_lies_under_its_tiles(
    large: tuple[Path, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, image = large
    slide = open_slide(path)
    boxes: list[Box] = []
    original = slide.levels[0].read
    monkeypatch.setattr(slide.levels[0], "read", lambda box: boxes.append(box) or original(box))

    part = slide.levels[1][1030:1040, 5:9]

    np.testing.assert_array_equal(part, block_mean(image[2060:2080, 10:18], (2, 2)))
    assert boxes == [((2048, 4096), (0, 130))]
    np.testing.assert_array_equal(slide.levels[1][1030:1040, 5:9], part)
    assert len(boxes) == 1


def test_computed_levels_of_channels_and_colours_have_their_axes(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (4200, 70, 3), dtype=np.uint8)
    rgb = open_slide(write_pyramid(tmp_path / "rgb.tif", [colours]))
    channels = open_slide(
        write_pyramid(
            tmp_path / "five.tif", [np.dstack([colours, colours[..., :2]])], photometric="minisblack"
        )
    )

    assert rgb.levels[1].shape == (2100, 35, 3)
    assert channels.levels[1].shape == (5, 2100, 35)
    np.testing.assert_array_equal(channels.levels[2].channel(4)[1000:, 3:], rgb.levels[2][1000:, 3:, 1])


def test_a_small_image_of_one_level_stays_as_it_is(tmp_path: Path) -> None:
    slide = open_slide(write_pyramid(tmp_path / "a.tif", [tissue(64, 64)]))

    assert len(slide.levels) == slide.stored_levels == 1
