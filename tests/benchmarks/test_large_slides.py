"""The slides that are made to measure with open as slides, and have the promised properties."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from src_model.data.slide import open_slide
from src_model.data.slide_formats.pyramid import block_mean

ROOT = Path(__file__).parents[2]


@pytest.fixture
def slides(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import large_slides

    return large_slides


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import slide_pictures

    return slide_pictures


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_a_tissue_slide_is_a_pyramid_of_what_the_picture_shows(
    slides: ModuleType, pictures: ModuleType, tmp_path: Path
) -> None:
    picture = pictures.Tissue(2100)

    slide = open_slide(slides.write_slide(tmp_path / "tissue.tif", picture))

    assert [level.size_yx for level in slide.levels] == [(2100, 2100), (1050, 1050), (525, 525)]
    assert (slide.is_rgb, slide.pixel_size_um, slide.warnings) == (True, (0.5, 0.5), ())
    assert list(tmp_path.iterdir()) == [slide.path]
    finest = slide.levels[0][900:1156, 700:956]
    assert difference(finest, picture.square(900, 700, 256)) < 8
    assert difference(block_mean(slide.levels[0][...], (4, 4, 1)), slide.levels[2][...]) < 3


@pytest.mark.parametrize("share", [0.4, 0.01, 1.0])
def test_as_much_of_the_area_is_tissue_as_was_asked_for(pictures: ModuleType, share: float) -> None:
    picture = pictures.Tissue(1600, share)
    pixels = np.arange(0, 1600, 4)

    inside = picture.inside(pixels, pixels)

    assert inside.mean() == pytest.approx(share, rel=0.03)
    assert share == 1 or not inside[[0, -1]].any()
    assert share == 1 or not inside[:, [0, -1]].any()


def test_glass_is_blank_without_noise(slides: ModuleType, pictures: ModuleType, tmp_path: Path) -> None:
    slide = open_slide(slides.write_slide(tmp_path / "tissue.tif", pictures.Tissue(2100)))

    assert pictures.Tissue(2100).square(0, 0, 64) is None
    assert np.unique(slide.levels[0][:64, :64]).tolist() == [pictures.BLANK]


def test_the_same_seed_gives_the_same_file(slides: ModuleType, pictures: ModuleType, tmp_path: Path) -> None:
    first, second, other = (
        slides.write_slide(tmp_path / f"{n}.tif", pictures.Tissue(600, seed=seed)).read_bytes()
        for n, seed in enumerate((1, 1, 2))
    )

    assert first == second != other


def test_blank_tiles_of_an_empty_slide_are_one_piece_of_the_file_at_every_level(
    slides: ModuleType, pictures: ModuleType, tmp_path: Path
) -> None:
    picture = pictures.Tissue(4000, 0.01)

    shared = slides.write_slide(tmp_path / "shared.tif", picture, tile=64, shared=True)
    apart = slides.write_slide(tmp_path / "apart.tif", picture, tile=64)

    with tifffile.TiffFile(shared) as file:
        pages = [(np.array(page.dataoffsets), np.array(page.databytecounts)) for page in file.pages]
    places = {offset for offsets, _ in pages for offset in offsets if (offsets == offset).sum() > 1}
    assert len(places) == 1
    assert all(counts.min() > 0 for _, counts in pages)
    assert (pages[0][0] == places.pop()).mean() > 0.95
    assert shared.stat().st_size < apart.stat().st_size / 3
    for one, other in zip(open_slide(shared).levels, open_slide(apart).levels, strict=True):
        np.testing.assert_array_equal(one[...], other[...])


def test_openslide_reads_the_slide_too(slides: ModuleType, pictures: ModuleType, tmp_path: Path) -> None:
    openslide = pytest.importorskip("openslide")
    path = slides.write_slide(tmp_path / "empty.tif", pictures.Tissue(3000, 0.02), tile=128, shared=True)

    with openslide.OpenSlide(path) as theirs:
        picture = np.asarray(theirs.read_region((0, 0), 1, (1500, 1500)))[..., :3]

    assert difference(picture, open_slide(path).levels[1][...]) < 1


def test_images_of_a_folder_lie_side_by_side_with_their_objects(
    slides: ModuleType, pictures: ModuleType, tmp_path: Path
) -> None:
    images, labels = pictures.read_folder(ROOT / "sample_data" / "nuclei" / "test", 5)
    mosaic = pictures.Mosaic(images)

    slide = open_slide(slides.write_slide(tmp_path / "folder.tif", mosaic))
    stitched = pictures.stitch_labels(labels, mosaic)

    assert slide.size_yx == mosaic.size == stitched.shape
    assert stitched.max() == len(np.unique(stitched)) - 1 == sum(len(np.unique(one)) - 1 for one in labels)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        top, left = mosaic.corner(number)
        where = (slice(top, top + len(image)), slice(left, left + image.shape[1]))
        assert difference(slide.levels[0][where], image) < 6
        np.testing.assert_array_equal(stitched[where] > 0, label > 0)
