"""What OpenSlide reads, and what is said where it is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from made_slides import pyramid, tissue, write_pyramid, write_svs

from src_model.data.slide import OPENSLIDE_SUFFIXES, open_slide
from src_model.data.slide_formats.open_slide_library import open_with_openslide
from src_model.errors import DataError

pytest.importorskip("openslide")


def test_its_levels_are_those_that_tifffile_reads(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", pyramid(tissue(320, 384), 3))

    contents, slide = open_with_openslide(path), open_slide(path)

    assert contents.format == "aperio (OpenSlide)"
    assert contents.pixel_size_um == (0.499, 0.499)
    assert set(contents.associated) == {"thumbnail", "label", "macro"}
    np.testing.assert_array_equal(contents.associated["label"][2:9], tissue(32, 40)[2:9])
    for found, expected in zip(contents.levels, slide.levels, strict=True):
        assert found.shape == expected.shape
        assert np.abs(found[20:60, 10:].astype(int) - expected[20:60, 10:]).max() <= 2


def test_a_file_is_known_by_what_it_holds_whatever_its_ending(tmp_path: Path) -> None:
    levels = pyramid(tissue(256, 256), 2)
    path = write_pyramid(tmp_path / "a.slide", levels, compression="lzw")

    slide = open_slide(path)

    assert slide.format == "generic-tiff (OpenSlide)"
    np.testing.assert_array_equal(slide.levels[0][3:77, 5:], levels[0][3:77, 5:])


@pytest.mark.parametrize("suffix", sorted(OPENSLIDE_SUFFIXES))
def test_a_file_that_it_does_not_know_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"notes{suffix}"
    path.write_text("These are notes and no slide.")

    with pytest.raises(DataError, match=rf"notes{suffix} is no slide that OpenSlide knows"):
        open_slide(path)


def test_an_error_is_named_and_the_next_region_is_read_all_the_same(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.slide", [tissue(256, 256)], compression="zlib")
    content = path.read_bytes()
    slide = open_slide(path)
    expected = slide.levels[0][:10, :10]
    path.write_bytes(content[:8] + bytes(len(content) - 8))

    with pytest.raises(
        DataError, match=r"a\.slide, level 0 cannot be read in rows 190 to 250, columns 0 to 99"
    ):
        slide.levels[0][190:250, :99]

    path.write_bytes(content)
    np.testing.assert_array_equal(slide.levels[0][:10, :10], expected)


def test_where_it_is_not_installed_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mrxs"
    path.write_bytes(b"slide")
    monkeypatch.setitem(sys.modules, "openslide", None)

    with pytest.raises(
        DataError, match=r"a\.mrxs is read by OpenSlide.*pip install 'napari-utanet\[slides\]'"
    ):
        open_slide(path)
