"""A slide that cannot be read says so in one sentence, and no damaged tile passes for a good one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from made_slides import (
    pyramid,
    spoil,
    tissue,
    write_ndpi,
    write_ome_tiff,
    write_ome_zarr,
    write_pyramid,
    write_qptiff,
    write_scn,
    write_svs,
)

from src_model.data.slide import open_slide
from src_model.data.slide_formats.jpeg_damage import check_jpeg
from src_model.errors import DataError

REAL = Path(os.environ.get("UTANET_SHARED", "/work/shared")) / "data" / "slides" / "CMU-1-Small-Region.svs"


def cut(path: Path, share: float) -> Path:
    """Keep the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("share", [0.0005, 0.02, 0.3, 0.6, 0.9])
def test_a_truncated_aperio_slide_is_refused_when_it_is_opened(tmp_path: Path, share: float) -> None:
    path = cut(write_svs(tmp_path / "a.svs", pyramid(tissue(300, 420), 3)), share)

    with pytest.raises(DataError, match=r"a\.svs.*truncated.*use another copy") as caught:
        open_slide(path)

    assert "\n" not in str(caught.value)


def test_a_slide_of_which_only_the_macro_image_is_cut_opens_and_says_so(tmp_path: Path) -> None:
    slide = open_slide(cut(write_svs(tmp_path / "a.svs", pyramid(tissue(300, 420), 3)), 0.99))

    assert slide.stored_levels == 3
    assert set(slide.associated) == {"thumbnail", "label"}
    assert "a.svs, macro is truncated" in slide.warnings[0]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.95])
def test_a_truncated_real_slide_is_refused_when_it_is_opened(tmp_path: Path, share: float) -> None:
    if not REAL.is_file():
        pytest.skip(f"The slide is not here: {REAL}.")
    path = tmp_path / "real.svs"
    path.write_bytes(REAL.read_bytes())

    with pytest.raises(DataError, match=r"real\.svs.*truncated"):
        open_slide(cut(path, share))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["pyramid", "ome", "qptiff", "scn", "ndpi", "one block"])
def test_other_truncated_slides_are_refused_too(tmp_path: Path, kind: str, share: float) -> None:
    levels = pyramid(np.random.default_rng(0).integers(0, 255, (300, 420, 3), dtype=np.uint8), 3)
    path = {
        "pyramid": lambda: write_pyramid(tmp_path / "a.tif", levels),
        "ome": lambda: write_ome_tiff(tmp_path / "a.ome.tif", levels, "YXS"),
        "scn": lambda: write_scn(tmp_path / "a.scn", levels),
        "ndpi": lambda: write_ndpi(tmp_path / "a.ndpi", [levels[0][:256, :384]]),
        "one block": lambda: write_pyramid(tmp_path / "a.tif", levels[:1], tile=None, compression=None),
        "qptiff": lambda: write_qptiff(tmp_path / "a.qptiff", levels, ["a", "b", "c"]),
    }[kind]()

    with pytest.raises(DataError, match=r"a\..*(truncated|corrupted)"):
        open_slide(cut(path, share))


@pytest.mark.parametrize("name", ["notes.svs", "notes.tif", "notes.ndpi", "notes.qptiff"])
def test_a_file_that_is_no_slide_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("These are notes and no slide.")

    with pytest.raises(DataError, match=rf"{name} is no slide or is truncated: .*use another copy"):
        open_slide(path)


def test_a_missing_and_an_empty_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.svs").touch()

    with pytest.raises(DataError, match=r"There is no file .*absent\.svs; check the path"):
        open_slide(tmp_path / "absent.svs")
    with pytest.raises(DataError, match=r"empty\.svs is empty \(0 bytes\)"):
        open_slide(tmp_path / "empty.svs")


def test_a_missing_codec_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tif", [tissue(100, 100)])
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags["Compression"].overwrite(34676)

    with pytest.raises(
        DataError, match=r"compressed by SGILOG, for which no codec.*pip install -U imagecodecs"
    ):
        open_slide(path)


def test_a_palette_is_refused_because_its_numbers_are_no_brightness(tmp_path: Path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", tissue(64, 64)[..., 0], photometric="palette", colormap=colours, tile=(64, 64)
    )

    with pytest.raises(DataError, match=r"a\.tif, level 0 has colours in a palette; save it as RGB"):
        open_slide(tmp_path / "a.tif")


def halve(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(len(data) - len(data) // 2)


def wipe_start(data: bytes) -> bytes:
    return bytes(40) + data[40:]


def add_marker(data: bytes) -> bytes:
    return data[:-20] + b"\xff\x77" + data[-18:]


@pytest.mark.parametrize("change", [halve, wipe_start, add_marker])
def test_a_damaged_jpeg_tile_is_named_by_level_and_region_and_the_others_are_read(
    tmp_path: Path, change: Any
) -> None:
    path = write_svs(tmp_path / "a.svs", pyramid(tissue(300, 420), 2))
    top, left = spoil(path, level=1, tile=5, change=change)
    level = open_slide(path).levels[1]

    with pytest.raises(DataError) as caught:
        level[top : top + 20, left + 3 : left + 10]

    assert str(caught.value).startswith(
        f"{path}, level 1 cannot be read in rows {top} to {top + 20}, columns {left + 3} to {left + 10}: "
    )
    assert level[:top].shape == (top, 210, 3)


@pytest.mark.parametrize("change", [halve, add_marker])
def test_a_damaged_part_of_a_hamamatsu_slide_is_named_by_level_and_region(
    tmp_path: Path, change: Any
) -> None:
    path = write_ndpi(tmp_path / "a.ndpi", [tissue(256, 384)])
    top, left = spoil(path, level=0, tile=40, change=change)
    level = open_slide(path).levels[0]

    with pytest.raises(
        DataError, match=rf"level 0 cannot be read in rows {top} to {top + 8}, .*a part of the JPEG"
    ):
        level[top : top + 8, left : left + 64]
    assert level[:top].shape == (top, 384, 3)


@pytest.mark.parametrize("compression", ["zlib", "zstd", "jpeg2000"])
def test_a_tile_that_ends_early_is_an_error_whatever_its_compression(
    tmp_path: Path, compression: str
) -> None:
    image = tissue(150, 150)
    path = write_pyramid(tmp_path / "a.tif", [image], compression=compression)
    spoil(path, level=0, tile=4, change=halve)
    level = open_slide(path).levels[0]

    with pytest.raises(DataError, match=r"a\.tif, level 0 cannot be read in rows 64 to 70, columns 64 to 70"):
        level[64:70, 64:70]
    np.testing.assert_array_equal(level[:64], image[:64])


def test_a_computed_level_names_the_damaged_region_of_the_finest(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (4500, 64), dtype=np.uint8)
    path = write_pyramid(tmp_path / "a.tif", [noise])
    spoil(path, level=0, tile=50, change=halve)

    with pytest.raises(DataError, match=r"a\.tif, level 0 cannot be read in rows 2048 to 4096"):
        open_slide(path).levels[-1][...]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\xd8\xff\xda1234\xff\xd9", "does not begin as one"),
        (b"\xff\xd8\xff\xda1234", "a tile ends before its picture does"),
        (b"\xff\xd8\xff\xda1234\xff\xd9" + bytes(100), "a tile ends before its picture does"),
        (b"\xff\xd8\xff\xda12\xff\x3034\xff\xd9", "is damaged"),
        (b"\xff\xd812341234\xff\xd9", "is damaged"),
    ],
)
def test_what_no_jpeg_may_hold_is_found(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_jpeg(data)


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff\xda12\xff\x00\xff\xd334\xff\xd9", b"\xff\xd8\xff\xda12\xff\xd9\0\0"]
)
def test_stuffed_bytes_restarts_and_padding_are_no_damage(data: bytes) -> None:
    check_jpeg(data)


def test_an_associated_picture_that_is_damaged_does_not_keep_the_slide_from_opening(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", pyramid(tissue(300, 420), 2))
    with tifffile.TiffFile(path, mode="r+") as file:
        file.series[-1].keyframe.tags["Compression"].overwrite(34676)

    slide = open_slide(path)

    assert set(slide.associated) == {"thumbnail", "label"}
    assert "a.svs, macro is compressed by SGILOG" in slide.warnings[0]


def test_a_chunk_of_zarr_that_cannot_be_decoded_is_named_by_level_and_region(tmp_path: Path) -> None:
    levels = [tissue(200, 150)[..., 0]]
    path = write_ome_zarr(tmp_path / "a.zarr", levels, "yx")
    (path / "0" / "c" / "1" / "1").write_bytes(b"no chunk")
    level = open_slide(path).levels[0]

    with pytest.raises(
        DataError, match=r"a\.zarr, level 0 cannot be read in rows 70 to 80, columns 70 to 90"
    ):
        level[70:80, 70:90]
    np.testing.assert_array_equal(level[:64], levels[0][:64])


def test_folders_that_are_no_ome_zarr_are_named(tmp_path: Path) -> None:
    import shutil

    import zarr

    (tmp_path / "plain").mkdir()
    zarr.open_group(tmp_path / "group.zarr", mode="w")
    missing = write_ome_zarr(tmp_path / "missing.zarr", pyramid(tissue(200, 150)[..., 0], 2), "yx")
    shutil.rmtree(missing / "1")

    with pytest.raises(DataError, match="plain is no OME-Zarr image"):
        open_slide(tmp_path / "plain")
    with pytest.raises(DataError, match=r"group\.zarr is no OME-Zarr image: it names no 'multiscales'"):
        open_slide(tmp_path / "group.zarr")
    with pytest.raises(DataError, match=r"missing\.zarr, level 1 is missing or damaged"):
        open_slide(missing)
