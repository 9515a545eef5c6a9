"""Slides in TIFF and its kin: what each vendor writes is found, and the pixels are those written."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
from made_slides import (
    pyramid,
    tissue,
    write_ndpi,
    write_ome_tiff,
    write_pyramid,
    write_qptiff,
    write_scn,
    write_svs,
)

from src_model.data.slide import open_slide
from src_model.errors import DataError

SLIDES = Path(os.environ.get("UTANET_SHARED", "/work/shared")) / "data" / "slides"


def shared(name: str) -> Path:
    """A real slide, where it is at hand."""
    path = SLIDES / name
    if not path.is_file():
        pytest.skip(f"The slide is not here: {path}.")
    return path


def test_a_tiled_pyramid_gives_its_levels_and_no_pixel_size(tmp_path: Path) -> None:
    levels = pyramid(tissue(300, 420), 3)

    slide = open_slide(write_pyramid(tmp_path / "a.tif", levels))

    assert (slide.format, slide.axes, slide.is_rgb, slide.dtype) == ("TIFF", "YXC", True, np.uint8)
    assert slide.pixel_size_um is None
    assert slide.warnings == ()
    np.testing.assert_allclose(slide.downsamples, [1, 2, 4])
    for level, expected in zip(slide.levels, levels, strict=True):
        np.testing.assert_array_equal(np.asarray(level), expected)


def test_the_resolution_of_a_tiff_is_its_pixel_size_but_not_that_of_a_screen(tmp_path: Path) -> None:
    image = [tissue(64, 64)]
    options = {"resolution": (40_000, 20_000), "resolutionunit": 3}  # x, y
    slide = open_slide(write_pyramid(tmp_path / "a.tif", image, **options))
    screen = open_slide(write_pyramid(tmp_path / "b.tif", image, resolution=(72, 72), resolutionunit=2))

    assert slide.pixel_size_um == (0.5, 0.25)
    assert screen.pixel_size_um is None


@pytest.mark.parametrize(
    "options",
    [
        {"compression": None},
        {"compression": "lzw", "predictor": True},
        {"compression": "zstd"},
        {"byteorder": ">", "compression": None},
        {"tile": None, "rowsperstrip": 50},
        {"tile": None, "compression": None},
        {"tile": None, "compression": None, "byteorder": ">"},
        {"tile": None, "rowsperstrip": 300, "compression": "zlib"},
        {"bigtiff": True},
    ],
    ids=lambda options: " ".join(f"{key}={value}" for key, value in options.items()),
)
def test_every_way_to_store_sixteen_bits_gives_the_same_pixels(tmp_path: Path, options: dict) -> None:
    image = np.random.default_rng(0).integers(0, 65535, (300, 210), dtype=np.uint16)
    writer = {key: options.pop(key) for key in ("byteorder", "bigtiff") if key in options}
    settings = {"tile": (64, 64), "compression": "zlib"} | options
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", **settings, **writer)

    slide = open_slide(tmp_path / "a.tif")

    assert (slide.axes, slide.is_rgb) == ("YX", False)
    np.testing.assert_array_equal(slide.levels[0][40:290, 60:], image[40:290, 60:])


def test_colours_that_are_kept_apart_are_put_together(tmp_path: Path) -> None:
    image = tissue(100, 130)
    tifffile.imwrite(
        tmp_path / "a.tif", np.moveaxis(image, -1, 0), photometric="rgb", planarconfig="separate",
        tile=(64, 64), compression="zlib",
    )  # fmt: skip

    slide = open_slide(tmp_path / "a.tif")

    assert slide.axes == "YXC"
    np.testing.assert_array_equal(slide.levels[0][10:90, 50:], image[10:90, 50:])


def test_an_image_in_one_uncompressed_block_is_read_row_by_row(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, 900, 700), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "b.tif", image, photometric="minisblack")

    apart, pages = open_slide(tmp_path / "a.tif").levels[0], open_slide(tmp_path / "b.tif").levels[0]

    assert apart.tile == pages.tile == (900, 700)
    large = open_slide(
        write_pyramid(tmp_path / "c.tif", [np.repeat(image[0], 3, 1)], tile=None, compression=None)
    )
    assert large.levels[0].tile == ((1 << 20) // 2100, 2100)
    np.testing.assert_array_equal(apart[450:, 7:99], np.moveaxis(image, 0, -1)[450:, 7:99])
    np.testing.assert_array_equal(pages[1:, 450:, 7:99], image[1:, 450:, 7:99])
    np.testing.assert_array_equal(large.levels[0][480:520, 9:], np.repeat(image[0], 3, 1)[480:520, 9:])


def test_samples_that_are_no_colours_become_channels(tmp_path: Path) -> None:
    image = tissue(100, 130, channels=5)

    slide = open_slide(write_pyramid(tmp_path / "a.tif", [image], photometric="minisblack"))

    assert (slide.axes, slide.shape, slide.is_rgb) == ("CYX", (5, 100, 130), False)
    np.testing.assert_array_equal(slide.levels[0][1:3, 60:70], np.moveaxis(image, -1, 0)[1:3, 60:70])


def test_a_tile_that_was_left_out_is_glass_in_colour_and_dark_in_grey(tmp_path: Path) -> None:
    def tiles():
        yield np.full((64, 64, 3), 7, np.uint8)
        yield None

    tifffile.imwrite(tmp_path / "a.tif", tiles(), shape=(64, 128, 3), dtype=np.uint8, tile=(64, 64),
                     photometric="rgb", compression="zlib")  # fmt: skip

    level = open_slide(tmp_path / "a.tif").levels[0]

    assert (level[:, :64] == 7).all()
    assert (level[:, 64:] == 255).all()


def test_an_aperio_slide_tells_size_levels_notes_and_its_other_pictures(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", pyramid(tissue(300, 420), 3))

    slide = open_slide(path)

    assert slide.format == "Aperio SVS"
    assert slide.pixel_size_um == (0.499, 0.499)
    assert [level.shape for level in slide.levels] == [(300, 420, 3), (150, 210, 3), (75, 105, 3)]
    assert set(slide.associated) == {"thumbnail", "label", "macro"}
    assert slide.metadata["AppMag"] == "20"
    np.testing.assert_array_equal(slide.associated["label"][...], tissue(32, 40))
    for number, level in enumerate(slide.levels):
        np.testing.assert_array_equal(np.asarray(level), tifffile.imread(path, level=number))


def test_a_hamamatsu_slide_is_read_by_the_restarts_of_its_jpeg(tmp_path: Path) -> None:
    levels = [tissue(256, 384), tissue(128, 192)]

    slide = open_slide(write_ndpi(tmp_path / "a.ndpi", levels))

    assert slide.format == "Hamamatsu NDPI"
    assert slide.pixel_size_um == (0.5, 0.5)
    assert slide.levels[0].tile == (8, 64)
    assert set(slide.associated) == {"macro"}
    for level, expected in zip(slide.levels, levels, strict=True):
        assert np.abs(np.asarray(level).astype(int) - expected).max() < 8


def test_a_leica_slide_is_found_beside_its_macro_image(tmp_path: Path) -> None:
    levels = pyramid(tissue(300, 420), 2)

    slide = open_slide(write_scn(tmp_path / "a.scn", levels))

    assert slide.format == "Leica SCN"
    assert slide.pixel_size_um == (0.5, 0.5)
    assert slide.associated["macro"].shape == (30, 20, 3)
    np.testing.assert_array_equal(np.asarray(slide.levels[1]), levels[1])


def test_a_qptiff_gives_named_channels_and_its_other_pictures(tmp_path: Path) -> None:
    levels = pyramid(tissue(300, 420, channels=4).astype(np.uint16) * 9, 3)

    slide = open_slide(write_qptiff(tmp_path / "a.qptiff", levels, ["DAPI", "CD8", "PanCK", "AF"]))

    assert slide.format == "QPTIFF"
    assert (slide.axes, slide.dtype, slide.is_rgb) == ("CYX", np.uint16, False)
    assert slide.channel_names == ("DAPI", "CD8", "PanCK", "AF")
    assert slide.pixel_size_um == (0.5, 0.5)
    assert set(slide.associated) == {"thumbnail", "macro", "label"}
    np.testing.assert_array_equal(slide.levels[2][1:3, :, 40], np.moveaxis(levels[2], -1, 0)[1:3, :, 40])


def test_an_ome_tiff_tells_pixel_size_channels_and_levels(tmp_path: Path) -> None:
    levels = [np.moveaxis(level, -1, 0) for level in pyramid(tissue(300, 420), 3)]
    metadata = {
        "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5,
        "Channel": {"Name": ["nuclei", "membrane", "other"]},
    }  # fmt: skip

    slide = open_slide(write_ome_tiff(tmp_path / "a.ome.tif", levels, "CYX", **metadata))

    assert slide.format == "OME-TIFF"
    assert slide.pixel_size_um == (0.5, 0.25)
    assert slide.channel_names == ("nuclei", "membrane", "other")
    for level, expected in zip(slide.levels, levels, strict=True):
        np.testing.assert_array_equal(np.asarray(level), expected)


def test_of_a_stack_the_middle_plane_is_read_and_said(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (5, 2, 80, 70), dtype=np.uint8)

    slide = open_slide(write_ome_tiff(tmp_path / "a.ome.tif", [stack], "ZCYX"))

    assert slide.is_stack
    assert slide.warnings == (f"Of {tmp_path / 'a.ome.tif'} the middle one of 5 planes in depth is read.",)
    np.testing.assert_array_equal(np.asarray(slide.levels[0]), stack[2])


def test_a_level_that_does_not_fit_is_dropped_with_a_warning(tmp_path: Path) -> None:
    image = tissue(256, 256)
    odd = tissue(128, 60)
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, [image, odd, image[::4, ::4]], "YXS")

    slide = open_slide(path)

    assert [level.size_yx for level in slide.levels] == [(256, 256), (64, 64)]
    assert len(slide.warnings) == 1
    assert "level 1 is left out: its size 128x60 does not fit the finest level, 256x256" in slide.warnings[0]


def test_a_slide_is_opened_anew_in_another_process_and_shared_by_copies(tmp_path: Path) -> None:
    slide = open_slide(write_pyramid(tmp_path / "a.tif", pyramid(tissue(300, 420), 2)))

    sent = pickle.loads(pickle.dumps(slide))

    np.testing.assert_array_equal(sent.levels[1][...], slide.levels[1][...])
    assert copy.deepcopy(slide.levels[0]) is slide.levels[0]


def test_a_slide_stays_readable_from_several_threads_and_keeps_no_file_open(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    image = tissue(300, 420)
    path = write_pyramid(tmp_path / "a.tif", pyramid(image, 2))
    slide = open_slide(path)

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda row: slide.levels[0][row : row + 50], range(0, 300, 50)))

    np.testing.assert_array_equal(np.concatenate(parts), image)
    path.rename(tmp_path / "moved.tif")
    with pytest.raises(DataError, match=r"a\.tif, level 1 cannot be read in rows 0 to 150"):
        slide.levels[1][...]


def test_a_real_aperio_slide_is_read_as_tifffile_reads_it() -> None:
    path = shared("CMU-1-Small-Region.svs")

    slide = open_slide(path)

    assert slide.size_yx == (2967, 2220)
    assert slide.pixel_size_um == (0.499, 0.499)
    assert slide.associated["label"].shape == (463, 387, 3)
    np.testing.assert_array_equal(np.asarray(slide.levels[0]), tifffile.imread(path))


def test_a_real_pyramid_and_a_real_qptiff_are_recognised() -> None:
    tissue_slide = open_slide(shared("small_HE_levels.tiff"))
    channels = open_slide(shared("small_vectra.qptiff"))

    assert [level.size_yx for level in tissue_slide.levels] == [(250, 300), (125, 150), (62, 75), (31, 37)]
    assert tissue_slide.pixel_size_um is None  # it claims 72 pixels an inch
    assert channels.channel_names == ("DAPI", "FITC", "Cy3")
    assert channels.pixel_size_um == pytest.approx((0.4965, 0.4965), abs=1e-4)
    assert set(channels.associated) == {"thumbnail", "macro", "label"}
