"""OME-Zarr of both versions in use: axes, sizes, channels and colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from made_slides import pyramid, tissue, write_ome_zarr

from src_model.data.slide import open_slide
from src_model.errors import DataError

COLOURS = [{"color": "FF0000"}, {"color": "00FF00"}, {"color": "0000FF"}]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_both_versions_give_levels_pixel_size_and_names(tmp_path: Path, version: str) -> None:
    levels = [np.moveaxis(level, -1, 0) for level in pyramid(tissue(200, 150), 2)]
    channels = [{"label": name, "color": "FFFFFF"} for name in ("nuclei", "membrane", "other")]
    path = write_ome_zarr(tmp_path / "a.zarr", levels, "cyx", version=version, channels=channels)

    slide = open_slide(path)

    assert slide.format == f"OME-Zarr {version}"
    assert slide.pixel_size_um == (0.5, 0.5)
    assert slide.channel_names == ("nuclei", "membrane", "other")
    assert (slide.axes, slide.is_rgb, slide.stored_levels) == ("CYX", False, 2)
    for level, expected in zip(slide.levels, levels, strict=True):
        np.testing.assert_array_equal(np.asarray(level), expected)
    np.testing.assert_array_equal(slide.levels[0][2, 10:20, ::-3], levels[0][2, 10:20, ::-3])


def test_three_channels_in_red_green_and_blue_are_one_picture(tmp_path: Path) -> None:
    picture = tissue(200, 150)
    path = write_ome_zarr(tmp_path / "a.zarr", [np.moveaxis(picture, -1, 0)], "cyx", channels=COLOURS)

    slide = open_slide(path)

    assert (slide.axes, slide.is_rgb) == ("YXC", True)
    np.testing.assert_array_equal(slide.levels[0][30:90, 100:, 1:], picture[30:90, 100:, 1:])


def test_axes_of_length_one_are_left_out(tmp_path: Path) -> None:
    plane = tissue(200, 150)[..., 0]

    slide = open_slide(write_ome_zarr(tmp_path / "a.zarr", [plane[None, None, None]], "tczyx"))

    assert (slide.axes, slide.is_stack) == ("YX", False)
    np.testing.assert_array_equal(slide.levels[0][5:, :9], plane[5:, :9])


def test_of_a_stack_the_middle_plane_of_the_first_time_is_read_and_said(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 9, (2, 5, 30, 40), dtype=np.uint16)

    slide = open_slide(write_ome_zarr(tmp_path / "a.zarr", [stack], "tzyx"))

    assert slide.is_stack
    assert [warning.split(".zarr ")[1] for warning in slide.warnings] == [
        "the middle one of 5 planes in depth is read.",
        "the first one of 2 time points is read.",
    ]
    np.testing.assert_array_equal(np.asarray(slide.levels[0]), stack[0, 2])


def test_without_a_unit_there_is_no_pixel_size(tmp_path: Path) -> None:
    slide = open_slide(write_ome_zarr(tmp_path / "a.zarr", [tissue(64, 64)[..., 0]], "yx", pixel_um=None))

    assert slide.pixel_size_um is None


def test_the_first_image_of_a_converted_file_is_found(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    plane = tissue(64, 64)[..., 0]
    write_ome_zarr(tmp_path / "a.zarr" / "0", [plane], "yx", version="0.4")

    np.testing.assert_array_equal(np.asarray(open_slide(tmp_path / "a.zarr").levels[0]), plane)


def test_other_axes_than_those_of_an_image_are_refused(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", [tissue(64, 64)], "yxq")

    with pytest.raises(DataError, match=r"a\.zarr has axes 'yxq'; a slide has y, x and channels"):
        open_slide(path)


@pytest.mark.parametrize(
    "multiscales",
    [[], [{}], ["text"], [{"datasets": []}], [{"datasets": [{"path": 3}], "axes": [{}]}]],
    ids=str,
)
def test_a_description_that_is_none_is_named(tmp_path: Path, multiscales: list) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}

    with pytest.raises(
        DataError, match=r"a\.zarr describes its image otherwise than OME-Zarr does .*write it anew"
    ):
        open_slide(tmp_path / "a.zarr")
