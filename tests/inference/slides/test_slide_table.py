"""The table of a slide's objects: measures as scikit-image gives them, read as they were written."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from made_objects import discs, stream
from scipy import ndimage
from skimage.measure import regionprops_table

from src_model.errors import DataError
from src_model.inference.slides.object_measures import measure
from src_model.inference.slides.table import ObjectTable, read_table
from src_model.tiling.plan import Box


def touching_blobs(seed: int, shape: tuple[int, int] = (70, 90)) -> tuple[np.ndarray, int]:
    """Objects that touch each other and the edge, also of one pixel and with holes."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    labels, count = ndimage.label(noise > 0.05)
    other, more = ndimage.label(noise < -0.05)
    return np.where(other > 0, other + count, labels), count + more


@pytest.mark.parametrize("seed", range(5))
def test_measures_are_those_of_scikit_image(seed: int) -> None:
    labels, count = touching_blobs(seed)
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 20, (*labels.shape, 2))
    probability = rng.integers(0, 256, labels.shape, np.uint8)

    sums = measure(labels, count, (1000, 2000), intensity=image, confidence=probability)

    names = ("area", "perimeter", "eccentricity", "centroid", "bbox", "intensity_mean")
    theirs = regionprops_table(labels, image, properties=names)
    np.testing.assert_array_equal(sums.area, theirs["area"])
    np.testing.assert_allclose(sums.perimeter, theirs["perimeter"])
    np.testing.assert_allclose(sums.eccentricity, theirs["eccentricity"], atol=1e-6)
    for axis, start in enumerate((1000, 2000)):
        np.testing.assert_allclose(sums.centroid[:, axis], theirs[f"centroid-{axis}"] + start)
        np.testing.assert_array_equal(sums.low[:, axis], theirs[f"bbox-{axis}"] + start)
        np.testing.assert_array_equal(sums.high[:, axis], theirs[f"bbox-{axis + 2}"] + start)
        np.testing.assert_allclose(sums.intensity[:, axis] / sums.area, theirs[f"intensity_mean-{axis}"])
    foreground = ndimage.mean(probability, labels, np.arange(1, count + 1)) / 255
    np.testing.assert_allclose(sums.confidence / sums.area, foreground)


def test_parts_of_objects_add_up() -> None:
    labels, count = touching_blobs(7)
    whole = measure(labels, count, (0, 0), intensity=labels)

    parts = None
    for y in range(0, 70, 23):
        for x in range(0, 90, 31):
            top, left = max(0, y - 2), max(0, x - 2)
            part = labels[top : y + 25, left : x + 33]
            core = Box(y - top, x - left, min(23, 70 - y), min(31, 90 - x))
            values = part[core.slices]
            sums = measure(part, count, (top, left), core=core, origin=(0, 0), intensity=values)
            if parts is None:
                parts = sums
            else:
                parts.add(sums)

    assert parts is not None
    for name in ("area", "perimeter", "eccentricity", "centroid", "low", "high", "intensity"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), err_msg=name)


def test_an_object_kept_whole_is_measured_as_any_other(tmp_path: Path) -> None:
    mask = discs((96, 192), *[(48, 20 + 17 * column, 10) for column in range(9)])
    image = np.random.default_rng(0).integers(0, 255, mask.shape, np.uint8)
    tables = []
    for largest in (100, 1000):
        text = io.StringIO()
        stream(mask, block=32, largest=largest, split=False, intensity=image, confidence=image, text=text)
        tables.append(text.getvalue())

    assert tables[0] == tables[1]
    assert len(tables[0].splitlines()) == 2


def test_units_are_in_the_names_of_the_columns(tmp_path: Path) -> None:
    sums = measure(discs((40, 60), (10, 30, 5)), 1, (100, 200))
    for size, names in (
        (0.5, ("area_um2", "perimeter_um", "centroid_y_um")),
        (None, ("area_px", "centroid_x_px")),
    ):
        with (tmp_path / "t.csv").open("w", newline="") as stream:
            ObjectTable(stream, pixel_size_um=size).add(1, [1], sums)

        table = read_table(tmp_path / "t.csv")

        assert set(names) <= table.keys()
        middle = (110, 230) if size is None else (110.5 * 0.5, 230.5 * 0.5)
        unit = "px" if size is None else "um"
        assert (table[f"centroid_y_{unit}"][0], table[f"centroid_x_{unit}"][0]) == middle
        assert table["bbox_top_px"].dtype == np.int64
        assert [int(table[f"bbox_{side}_px"][0]) for side in ("top", "left", "bottom", "right")] == [
            105, 225, 116, 236,
        ]  # fmt: skip


def test_names_of_classes_are_kept_whatever_is_in_them(tmp_path: Path) -> None:
    labels, count = touching_blobs(1)
    names = ['a, "quoted" # name', "dünn"]
    classes = np.arange(count) % 3 + 1
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        ObjectTable(stream, classes=names).add(5, classes.tolist(), measure(labels, count, (0, 0)))

    table = read_table(tmp_path / "t.csv")

    assert list(table["class_name"][:3]) == [*names, "3"]
    np.testing.assert_array_equal(table["class"], classes)
    np.testing.assert_array_equal(table["label"], np.arange(5, 5 + count))


def test_channels_other_than_those_of_the_head_are_refused() -> None:
    table = ObjectTable(io.StringIO(), channels=("red",))

    with pytest.raises(ValueError, match="Expected 1 channels"):
        table.add(1, [1], measure(np.ones((3, 3), int), 1, (0, 0)))


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "label,class,area_px\n1,2\n", "label,class\n1,x\n"])
def test_a_file_that_is_no_table_of_objects_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.csv").write_text(text)

    with pytest.raises(DataError, match=r"other\.csv"):
        read_table(tmp_path / "other.csv")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.csv"):
        read_table(tmp_path / "missing.csv")
