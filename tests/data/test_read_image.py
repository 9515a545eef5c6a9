"""Images of every kind are read as they are stored, and damaged files are told by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from src_model.data.image_io import read_image
from src_model.errors import DataError

Save = Callable[[str, NDArray[Any]], Path]
Colour = NDArray[np.uint8]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF", ".PNG"])
def test_colour_and_grey_pictures_keep_every_value(colour: Colour, save: Save, suffix: str) -> None:
    np.testing.assert_array_equal(read_image(save(f"colour{suffix}", colour)), colour)
    np.testing.assert_array_equal(read_image(save(f"grey{suffix}", colour[..., 0])), colour[..., 0])


def test_transparency_is_kept_as_a_fourth_channel(colour: Colour, save: Save) -> None:
    picture = np.dstack([colour, colour[..., 0]])
    np.testing.assert_array_equal(read_image(save("a.png", picture)), picture)


def test_grey_with_transparency_is_read_as_grey(colour: Colour, tmp_path: Path) -> None:
    alpha = Image.fromarray(colour[..., 1])
    Image.merge("LA", (Image.fromarray(colour[..., 0]), alpha)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), colour[..., 0])


def test_a_palette_picture_becomes_the_colours_it_shows(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 2))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putdata([0, 1, 1, 0])
    picture.save(tmp_path / "a.png")

    image = read_image(tmp_path / "a.png")

    assert image.tolist() == [[[10, 20, 30], [200, 100, 50]], [[200, 100, 50], [10, 20, 30]]]


def test_a_print_in_four_inks_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)

    image = read_image(tmp_path / "a.jpg")

    assert image.shape == (16, 16, 3)
    assert image[8, 8, 0] > 240
    assert image[8, 8, 1:].max() < 15


def test_a_photograph_is_turned_as_its_tag_says(colour: Colour, tmp_path: Path) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6  # to be shown turned by a quarter, clockwise
    Image.fromarray(colour).save(tmp_path / "a.png", exif=tag)

    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(colour, -1))


def test_a_picture_of_one_bit_is_read_as_true_and_false(colour: Colour, save: Save) -> None:
    bright = colour[..., 0] > 127
    image = read_image(save("a.png", bright))
    assert image.dtype == np.bool_
    np.testing.assert_array_equal(image, bright)


@pytest.mark.parametrize(
    ("name", "dtype"), [("a.png", "uint16"), ("a.tif", "uint16"), ("a.tif", "float32"), ("a.tif", "int16")]
)
def test_more_than_eight_bits_are_kept(save: Save, name: str, dtype: str) -> None:
    values = (np.arange(480).reshape(20, 24) * 100).astype(dtype)
    image = read_image(save(name, values))
    assert image.dtype == dtype
    np.testing.assert_array_equal(image, values)


def test_colours_stored_one_after_the_other_come_last(colour: Colour, tmp_path: Path) -> None:
    planes = np.moveaxis(colour, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), colour)


def test_of_a_pyramid_the_full_resolution_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    full = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    options: dict[str, Any] = {"photometric": "rgb", "tile": (16, 16)}
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(full, subifds=2, **options)
        file.write(full[::2, ::2], subfiletype=1, **options)
        file.write(full[::4, ::4], subfiletype=1, **options)

    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), full)


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_planes_come_first(tmp_path: Path, rng: np.random.Generator, name: str) -> None:
    planes = rng.integers(0, 999, (5, 20, 24), dtype=np.uint16)
    tifffile.imwrite(tmp_path / name, planes, metadata={"axes": "ZYX"}, compression="zlib")
    np.testing.assert_array_equal(read_image(tmp_path / name), planes)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no file .*away\.png; check the path"):
        read_image(tmp_path / "away.png")


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(DataError, match=r"There is no file .*a\.png"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["notes.docx", "noending"])
def test_an_unknown_ending_is_told_with_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(DataError, match=rf"{name} is of a kind .* convert it to one of: .*\.png"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_an_empty_file_is_told(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").touch()
    with pytest.raises(DataError, match=rf"a\{suffix} is empty \(0 bytes\)"):
        read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".webp", ".tif"])
def test_a_text_under_a_picture_s_name_is_told(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_text("This is a letter, not a picture.")
    with pytest.raises(DataError, match=rf"a\{suffix} cannot be read, it is truncated or damaged"):
        read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".webp"])
def test_a_truncated_picture_is_told(colour: Colour, save: Save, suffix: str, part: float) -> None:
    path = _cut(save(f"a{suffix}", colour), part)
    with pytest.raises(DataError, match=rf"a\{suffix} cannot be read, it is truncated or damaged"):
        read_image(path)


@pytest.mark.parametrize("part", [0.4, 0.7, 0.99])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "jpeg"])
def test_a_truncated_tiff_is_told(
    tmp_path: Path,
    rng: np.random.Generator,
    compression: str | None,
    tile: tuple[int, int] | None,
    part: float,
) -> None:
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, compression=compression, tile=tile, photometric="rgb")
    _cut(tmp_path / "a.tif", part)

    with pytest.raises(DataError, match=r"a\.tif cannot be read, it is truncated or damaged"):
        read_image(tmp_path / "a.tif")


def test_a_stack_that_misses_its_last_planes_is_told(tmp_path: Path, rng: np.random.Generator) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for plane in rng.integers(0, 256, (5, 32, 32), dtype=np.uint8):
            file.write(plane, compression="zlib", contiguous=False)
    _cut(tmp_path / "a.tif", 0.98)

    with pytest.raises(DataError, match=r"a\.tif cannot be read, it is truncated or damaged"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied"), "may not be read; change the permissions"),
        (MemoryError(), "does not fit into memory; cut it"),
        (Image.DecompressionBombError("too many"), "has too many pixels .* save it as TIFF"),
    ],
)
def test_a_good_file_is_not_called_damaged(
    colour: Colour, save: Save, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    path = save("a.png", colour)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(DataError, match=rf"a\.png {sentence}"):
        read_image(path)


def _cut(path: Path, part: float) -> Path:
    """Keep only the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path
