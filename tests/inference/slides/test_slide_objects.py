"""Objects of a mask too large for memory: as those of the whole mask, complete or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_objects import Chunked, discs, reader, same_objects, stream
from scipy import ndimage

from src_model.data.label_pyramid import LabelPyramid
from src_model.errors import OutputError, Stopped
from src_model.events import Control
from src_model.inference.objects import to_objects
from src_model.inference.slides.objects import number_objects
from src_model.inference.slides.table import read_table
from src_model.tiling.plan import Box

Store = Callable[[np.ndarray], LabelPyramid]


@pytest.fixture
def stored(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Writes a mask as the pyramid of a slide, with chunks of 16 pixels."""

    def store(values: np.ndarray) -> LabelPyramid:
        pyramid = LabelPyramid.create(
            tmp_path_factory.mktemp("mask") / "mask.zarr",
            values.shape,
            chunk=16,
            scale=(2.0, 2.0),
            pixel_size_um=0.5,
            provenance={"model": "a network"},
        )
        pyramid.write(Box(0, 0, *values.shape), values)
        pyramid.finish()
        return pyramid

    return store


def blobs(seed: int, shape: tuple[int, int], size: float, share: float, classes: int) -> np.ndarray:
    """Smooth noise above a threshold: pieces of every shape, some across many blocks and at the edges."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), size)
    kind = ndimage.gaussian_filter(rng.normal(size=(classes, *shape)), (0, 3, 3)).argmax(axis=0) + 1
    return np.where(noise > np.quantile(noise, 1 - share), kind, 0).astype(np.uint8)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    size=st.floats(0, 6),
    share=st.floats(0, 1),
    classes=st.integers(1, 3),
    min_size=st.integers(0, 12),
    split=st.booleans(),
    block=st.sampled_from([16, 24, 33, 64]),
)
def test_windows_give_the_objects_of_the_whole_mask(
    seed: int,
    shape: tuple[int, int],
    size: float,
    share: float,
    classes: int,
    min_size: int,
    split: bool,
    block: int,
) -> None:
    mask = blobs(seed, shape, size, share, classes)

    labels, numbered, _ = stream(mask, block=block, min_size=min_size, split=split, largest=1000)

    expected = to_objects(mask, min_size=min_size, split=split)
    assert same_objects(labels, expected)
    assert numbered.count == expected.max(initial=0)
    assert set(np.unique(labels)) | {0} == set(range(numbered.count + 1))
    assert numbered.warnings == ()


def test_equal_discs_side_by_side_are_split_as_in_the_whole_mask() -> None:
    """Their seeds are equally high, so only the order in which they lie decides who floods first."""
    places = [(20 + 17 * row, 20 + 17 * column, 10) for row in range(8) for column in range(8)]
    mask = discs((160, 160), *places)

    labels, numbered, _ = stream(mask, block=40)

    assert numbered.count == 64
    assert same_objects(labels, to_objects(mask))


def test_what_lies_near_an_object_is_seen_beyond_its_block() -> None:
    """A bar along the border of a block; its neighbour decides where it is cut, by its far side too."""
    large = [(40, 200, 20), (200, 40, 20), (200, 100, 20), (200, 160, 20), (200, 220, 20)]
    mask = discs((256, 256), *large)
    mask[8:119, 116:127] = 1
    for row in range(8, 119):
        mask[row, 130 : 151 + row // 12] = 1

    labels, _, _ = stream(mask, block=128, min_size=1)

    assert same_objects(labels, to_objects(mask, min_size=1))


@pytest.mark.parametrize("limit", [0, 5000])
def test_little_memory_for_what_waits_changes_nothing(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr("src_model.inference.slides.label_buffer.LIMIT", limit)
    mask = blobs(5, (100, 140), 3, 0.4, 2)

    labels, _, _ = stream(mask, block=32, largest=1000)

    assert same_objects(labels, to_objects(mask))


def test_every_chunk_is_written_once_when_it_is_complete() -> None:
    labels = Chunked(np.zeros((150, 140), np.uint32))

    stream(blobs(6, (150, 140), 4, 0.5, 2), block=32, largest=1000, labels=labels)

    assert len(labels.written) > 50
    assert len(set(labels.written)) == len(labels.written)


def test_an_object_at_the_corner_of_four_blocks_is_one() -> None:
    labels, numbered, _ = stream(discs((64, 64), (32, 32, 9)), block=32)

    assert numbered.count == 1
    np.testing.assert_array_equal(labels, discs((64, 64), (32, 32, 9)))


def test_a_piece_that_winds_through_all_blocks_is_one() -> None:
    mask = np.zeros((90, 90), np.uint8)
    for row in range(4, 90, 8):
        mask[row : row + 4, 4:86] = 1
        edge = 4 if row % 16 == 4 else 82
        mask[row : row + 12, edge : edge + 4] = 1

    labels, numbered, _ = stream(mask, block=16, split=False, largest=1000)

    assert numbered.count == 1
    np.testing.assert_array_equal(labels > 0, mask > 0)


def test_neighbours_of_two_classes_across_a_border_stay_apart() -> None:
    mask = np.zeros((32, 64), np.uint8)
    mask[8:24, 16:32], mask[8:24, 32:48] = 1, 2

    labels, numbered, _ = stream(mask, block=32)

    assert numbered.count == 2
    assert labels[10, 31] != labels[10, 32]


def test_the_size_of_an_object_counts_its_parts_in_all_blocks() -> None:
    mask = np.zeros((32, 64), np.uint8)
    mask[10:12, 29:35] = 1  # 6 + 6 pixels
    mask[20:22, 30:34] = 1  # 4 + 4 pixels

    labels, numbered, _ = stream(mask, block=32, split=False)

    assert numbered.count == 1
    np.testing.assert_array_equal(np.unique(labels[10:12, 29:35]), [1])


def test_an_area_larger_than_memory_allows_stays_whole_and_is_told() -> None:
    chain = [(48, 20 + 17 * column, 10) for column in range(9)]
    small = discs((96, 192), (12, 20, 8), (12, 34, 8), (80, 96, 8))
    mask = discs((96, 192), *chain) | small

    labels, numbered, steps = stream(mask, block=32, largest=100)

    assert numbered.count == 1 + 3
    np.testing.assert_array_equal(labels == 1, discs((96, 192), *chain) > 0)
    assert len(numbered.warnings) == 1
    assert "1 connected area is larger than 100 pixels" in numbered.warnings[0]
    assert [done for done, _ in steps] == list(range(1, steps[-1][1] + 1))


def test_only_chunks_with_an_object_are_written(tmp_path: Path, stored: Store) -> None:
    mask = discs((128, 128), (18, 18, 9))

    steps = list(number_objects(stored(mask), tmp_path / "o.zarr", tmp_path / "t.csv", block=32))

    finest = tmp_path / "o.zarr" / "0" / "c"
    written = {str(p.relative_to(finest)) for p in finest.rglob("*") if p.is_file()}
    assert written == {"0/0", "0/1", "1/0", "1/1"}
    assert steps == [(done, 32) for done in range(1, 33)]


def test_an_empty_mask_gives_an_empty_table(tmp_path: Path, stored: Store) -> None:
    list(number_objects(stored(np.zeros((40, 40), np.uint8)), tmp_path / "o.zarr", tmp_path / "t.csv"))

    table = read_table(tmp_path / "t.csv")
    assert len(table["label"]) == 0
    assert "area_um2" in table


def test_pyramid_and_table_agree(tmp_path: Path, stored: Store) -> None:
    mask = blobs(3, (120, 130), 3, 0.3, 2)
    image = np.random.default_rng(0).integers(0, 255, (*mask.shape, 3), np.uint8)

    list(
        number_objects(
            stored(mask),
            tmp_path / "slide_objects.ome.zarr",
            tmp_path / "slide_objects.csv",
            classes=("nucleus", "gland, benign"),
            intensity=reader(image),
            block=32,
        )
    )

    made = LabelPyramid.open(tmp_path / "slide_objects.ome.zarr")
    table, values = read_table(tmp_path / "slide_objects.csv"), made.levels[0][...]
    assert made.complete
    assert made.provenance["model"] == "a network"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["slide_objects.csv", "slide_objects.ome.zarr"]
    np.testing.assert_array_equal(table["label"], np.arange(1, values.max() + 1))
    np.testing.assert_allclose(table["area_um2"], np.bincount(values.ravel())[1:] * 0.25)
    first = [mask[values == label][0] for label in table["label"]]
    np.testing.assert_array_equal(table["class"], first)
    assert set(table["class_name"]) == {"nucleus", "gland, benign"}
    assert {"mean_intensity_1", "mean_intensity_2", "mean_intensity_3"} <= table.keys()


@pytest.mark.parametrize("steps", [0, 3, 20, 31])
def test_a_stop_leaves_nothing_and_keeps_what_was_there(tmp_path: Path, stored: Store, steps: int) -> None:
    objects, table = tmp_path / "o.ome.zarr", tmp_path / "o.csv"
    objects.mkdir()
    (objects / "old").write_text("old")
    table.write_text("old")
    control = Control()
    work = number_objects(stored(blobs(1, (120, 120), 2, 0.3, 1)), objects, table, block=32, control=control)
    for _ in range(steps):
        next(work)

    control.stop()
    with pytest.raises(Stopped):
        list(work)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.csv", "o.ome.zarr"]
    assert [p.name for p in objects.iterdir()] == ["old"]
    assert table.read_text() == "old"


def test_an_abandoned_iterator_leaves_nothing(tmp_path: Path, stored: Store) -> None:
    work = number_objects(stored(discs((64, 64), (30, 30, 9))), tmp_path / "o.zarr", tmp_path / "o.csv")
    next(work)

    work.close()

    assert list(tmp_path.iterdir()) == []


def test_earlier_results_and_leftovers_are_replaced(tmp_path: Path, stored: Store) -> None:
    objects, table = tmp_path / "a_objects.ome.zarr", tmp_path / "a_objects.csv"
    for folder in (
        objects,
        tmp_path / ".a_objects.ome.0123abcd.part.zarr",
        tmp_path / ".b.0123abcd.part.zarr",
    ):
        folder.mkdir()
        (folder / "old").write_text("old")

    list(number_objects(stored(discs((64, 64), (30, 30, 9))), objects, table))

    names = {p.name for p in tmp_path.iterdir()}
    assert names == {objects.name, table.name, ".b.0123abcd.part.zarr"}
    assert LabelPyramid.open(objects).complete


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, stored: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = stored(discs((64, 64), (30, 30, 9)))

    def full(self: LabelPyramid, box: Box, values: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LabelPyramid, "write", full)
    with pytest.raises(OutputError, match="No space left"):
        list(number_objects(mask, tmp_path / "o.zarr", tmp_path / "o.csv"))

    assert list(tmp_path.iterdir()) == []
