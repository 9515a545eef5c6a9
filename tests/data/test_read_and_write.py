"""Images and masks are read as they are meant, and bad files are named with a remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from src_model.data.image_io import check_image, read_image, read_mask, write_mask
from src_model.errors import DataError, ImageError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIF"])
@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 3)])
def test_an_image_comes_back_as_it_was_written(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    image = RNG.integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    if suffix.lower() == ".tif":
        tifffile.imwrite(path, image)
    else:
        Image.fromarray(image).save(path)

    np.testing.assert_array_equal(read_image(path), image)


@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_a_tiff_keeps_its_type_and_its_planes(tmp_path: Path, kind: str) -> None:
    stack = RNG.integers(0, 500, (5, 9, 11)).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", stack)

    read = read_image(tmp_path / "a.tif")

    assert read.dtype == kind
    np.testing.assert_array_equal(read, stack)


def test_the_colours_of_an_ome_tiff_stored_plane_by_plane_come_last(tmp_path: Path) -> None:
    image = RNG.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    planar = np.moveaxis(image, -1, 0)
    tifffile.imwrite(tmp_path / "a.ome.tif", planar, photometric="rgb", planarconfig="separate")

    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif"), image)


def test_a_palette_picture_is_read_as_colours_but_a_palette_mask_as_its_indices(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 3))
    picture.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10])
    picture.putpixel((1, 2), 2)
    picture.save(tmp_path / "a.png")

    assert read_image(tmp_path / "a.png")[2, 1].tolist() == [10, 200, 10]
    assert read_mask(tmp_path / "a.png")[2, 1] == 2


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 255], [255, 0]], np.uint8),
        np.array([[0, 1], [1, 0]], np.uint8),
        np.array([[0, 700], [65535, 0]], np.uint16),
    ],
    ids=["0/255", "0/1", "instances"],
)
def test_the_numbers_of_a_mask_are_kept(tmp_path: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(tmp_path / "m.png")

    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), values)


@pytest.mark.parametrize("kind", ["bool", "int32", "float64"])
def test_a_mask_of_another_type_becomes_whole_numbers(tmp_path: Path, kind: str) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.array([[0, 1], [1, 0]]).astype(kind))

    mask = read_mask(tmp_path / "m.tif")

    assert mask.dtype.kind == "u"
    assert mask.tolist() == [[0, 1], [1, 0]]


def test_a_grey_mask_that_was_stored_as_rgb_is_reduced(tmp_path: Path) -> None:
    grey = np.array([[0, 255], [255, 0]], np.uint8)
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "m.png")

    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), grey)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_noise_of_a_jpeg_mask_is_removed(tmp_path: Path, mode: str) -> None:
    wanted = np.zeros((32, 32), np.uint8)
    wanted[8:24, 8:24] = 1
    Image.fromarray(wanted * 255).convert(mode).save(tmp_path / "m.jpg", quality=60)

    np.testing.assert_array_equal(read_mask(tmp_path / "m.jpg"), wanted)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_colour_picture_is_refused_as_a_mask(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (8, 8), (250, 0, 30)).save(tmp_path / f"m{suffix}")

    with pytest.raises(DataError, match=rf"m\{suffix} is a colour picture; save it with one number"):
        read_mask(tmp_path / f"m{suffix}")


@pytest.mark.parametrize("value", [-1.0, 0.5, np.nan, np.inf])
def test_a_mask_of_anything_but_whole_numbers_is_refused(tmp_path: Path, value: float) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.array([[0, value], [1, 0]], np.float32))

    with pytest.raises(DataError, match=r"m\.tif \(float32\) must hold whole numbers"):
        read_mask(tmp_path / "m.tif")


def test_a_stack_is_refused_as_a_mask(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((5, 8, 9), np.uint8))

    with pytest.raises(DataError, match=r"m\.tif has 3 axes \(5x8x9\) but two"):
        read_mask(tmp_path / "m.tif")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, read: object) -> None:
    image = RNG.integers(0, 256, (64, 64), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, image)
    else:
        Image.fromarray(image).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(DataError, match=rf"cut\{suffix} cannot be read, it is truncated or damaged"):
        read(path)  # type: ignore[operator]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"text{suffix}"
    path.write_text("this is no image")

    with pytest.raises(DataError, match=rf"text\{suffix} cannot be read"):
        read_image(path)


def test_an_empty_file_a_missing_file_and_another_kind_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "zero.png").touch()
    (tmp_path / "notes.txt").write_text("hello")

    with pytest.raises(DataError, match=r"zero\.png is empty \(0 bytes\)"):
        read_image(tmp_path / "zero.png")
    with pytest.raises(DataError, match=r"There is no file .*gone\.png"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"notes\.txt is of a kind .* convert it"):
        read_image(tmp_path / "notes.txt")


@pytest.mark.parametrize("kind", ["uint8", "uint32"])
@pytest.mark.parametrize("shape", [(9, 11), (4, 9, 11)])
def test_a_written_mask_is_read_back_with_its_pixel_size(
    tmp_path: Path, kind: str, shape: tuple[int, ...]
) -> None:
    mask = RNG.integers(0, 200, shape).astype(kind)

    path = write_mask(tmp_path / "new" / "m.tif", mask, pixel_size_um=0.25)

    with tifffile.TiffFile(path) as file:
        np.testing.assert_array_equal(file.asarray(), mask)
        assert file.asarray().dtype == kind
        pixels, unit = file.pages[0].tags["XResolution"].value, file.pages[0].tags["ResolutionUnit"].value
    assert pixels[0] / pixels[1] == pytest.approx(40_000)
    assert unit == 3  # centimetre
    assert [entry.name for entry in path.parent.iterdir()] == ["m.tif"]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.ones((8, 8), complex), "complex"),
        (np.full((8, 8), "a"), "numbers are expected"),
        (np.arange(8), "1 axes"),
        (np.zeros((0, 8)), r"empty \(0x8\)"),
        (np.zeros((1, 1)), "single pixel"),
        (np.zeros((1, 1, 3)), "single pixel"),
        (np.full((8, 8), np.nan), "only NaN"),
        (np.full((8, 8), 7, np.uint8), "value 7 everywhere"),
        (np.where(np.eye(8) > 0, np.nan, 7.0), "value 7 everywhere"),
    ],
    ids=["complex", "text", "line", "empty", "pixel", "rgb pixel", "nan", "constant", "constant and nan"],
)
def test_an_image_that_cannot_be_segmented_is_refused(image: np.ndarray, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        check_image(image)


@pytest.mark.parametrize("kind", ["bool", "uint8", "uint16", "int32", "float16", "float64"])
def test_an_image_of_any_real_type_is_taken(kind: str) -> None:
    check_image(np.eye(8).astype(kind))
