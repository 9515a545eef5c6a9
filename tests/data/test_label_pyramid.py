"""Masks of whole slides on disk: they grow chunk by chunk, and can be read at any time."""

import errno
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from src_model.config import CLASS_COLORS, ClassInfo
from src_model.data import label_levels
from src_model.data.label_chunks import Chunks
from src_model.data.label_journal import Journal
from src_model.data.label_levels import most_frequent
from src_model.data.label_pyramid import LabelPyramid
from src_model.data.slide import open_slide
from src_model.errors import DataError, OutputError
from src_model.tiling.plan import Box, plan_tiles

SHAPE = (205, 330)
CHUNK = 32


@pytest.fixture(autouse=True)
def small_overview(monkeypatch):
    """Levels above 64 pixels lie on disk only, as those above 4,096 do in earnest."""
    monkeypatch.setattr(label_levels, "OVERVIEW", 64)


@pytest.fixture
def mask():
    rng = np.random.default_rng(0)
    values = np.zeros(SHAPE, np.uint8)
    for _ in range(30):
        y, x = rng.integers(0, SHAPE[0]), rng.integers(0, SHAPE[1])
        values[y : y + 25, x : x + 20] = rng.integers(1, 4)
    values[:64, :96] = 0
    return values


def make(path, **options):
    return LabelPyramid.create(path, SHAPE, chunk=CHUNK, **options)


def boxes():
    return [tile.write for tile in plan_tiles(*SHAPE, tile=CHUNK * 2, halo=0)]


def fill(pyramid, mask, some=None):
    for box in boxes()[slice(some)]:
        pyramid.write(box, mask[box.slices])


def expected(mask, levels):
    found = [mask]
    while len(found) < levels:
        found.append(most_frequent(found[-1]))
    return found


def assert_shows(pyramid, mask):
    for level, values in zip(pyramid.levels, expected(mask, len(pyramid.levels)), strict=True):
        np.testing.assert_array_equal(level[...], values)


def files(path):
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_what_was_written_is_read_at_every_level(tmp_path, mask):
    pyramid = make(tmp_path / "mask.zarr")
    fill(pyramid, mask)
    assert pyramid.overview == 3
    assert [level.shape for level in pyramid.levels] == [(205, 330), (103, 165), (52, 83), (26, 42), (13, 21)]
    assert_shows(pyramid, mask)


def test_coarser_levels_are_made_of_what_was_just_written_and_nothing_is_read_again(
    tmp_path, mask, monkeypatch
):
    pyramid = make(tmp_path / "m")
    with monkeypatch.context() as patch:
        patch.setattr(Chunks, "read", lambda *_: pytest.fail("A chunk was read from the disk."))
        fill(pyramid, mask)
        pyramid.finish()

    assert_shows(LabelPyramid.open(tmp_path / "m"), mask)


def test_half_of_it_is_read_while_the_rest_is_missing(tmp_path, mask):
    pyramid = make(tmp_path / "mask.zarr")
    fill(pyramid, mask, 9)
    seen = np.zeros_like(mask)
    for box in boxes()[:9]:
        seen[box.slices] = mask[box.slices]
    assert_shows(pyramid, seen)
    assert [pyramid.is_done(box) for box in boxes()] == [True] * 9 + [False] * (len(boxes()) - 9)


def test_another_object_follows_the_growth_by_what_the_writer_tells(tmp_path, mask):
    writer = make(tmp_path / "mask.zarr")
    reader = LabelPyramid.open(writer.path)
    for box in boxes():
        reader.grow((box.y, box.x, box.height, box.width), writer.write(box, mask[box.slices]))
    assert_shows(reader, mask)


def test_reopened_in_the_middle_it_shows_the_same_and_goes_on(tmp_path, mask):
    fill(make(tmp_path / "mask.zarr"), mask, 7)
    again = LabelPyramid.open(tmp_path / "mask.zarr")
    assert not again.complete
    for box in boxes():
        assert again.is_done(box) == (box in boxes()[:7])
        if not again.is_done(box):
            again.write(box, mask[box.slices])
    again.finish()
    whole = make(tmp_path / "whole.zarr")
    fill(whole, mask)
    whole.finish()
    ours, theirs = files(again.path), files(whole.path)
    assert {k: v for k, v in ours.items() if k.parts[0].isdecimal()} == {
        k: v for k, v in theirs.items() if k.parts[0].isdecimal()
    }


def test_a_record_cut_off_by_a_kill_is_no_record(tmp_path, mask):
    pyramid = make(tmp_path / "mask.zarr")
    fill(pyramid, mask, 2)
    journal = pyramid.path / "written.bin"
    with journal.open("ab") as stream:
        stream.write(b"\x01\x00\x00")
    (pyramid.path / "0" / "x.partial").write_bytes(b"torn")
    again = LabelPyramid.open(pyramid.path)
    again.mend()
    assert not again.is_done(boxes()[2])
    again.write(boxes()[2], mask[boxes()[2].slices])
    assert LabelPyramid.open(pyramid.path).is_done(boxes()[2])
    assert not list(pyramid.path.rglob("*.partial"))


def test_empty_chunks_are_not_stored(tmp_path, mask):
    pyramid = make(tmp_path / "mask.zarr")
    fill(pyramid, mask)
    pyramid.finish()
    stored = [p for p in (pyramid.path / "0" / "c").rglob("*") if p.is_file()]
    full = sum(mask[y : y + CHUNK, x : x + CHUNK].any() for y in range(0, 205, 32) for x in range(0, 330, 32))
    assert len(stored) == full < 7 * 11


def test_chunks_that_are_not_wanted_do_not_keep_their_parents_from_being_stored(tmp_path):
    wanted = np.zeros((7, 11), bool)
    wanted[0, 0] = True
    pyramid = make(tmp_path / "mask.zarr", wanted=wanted)
    pyramid.write(Box(0, 0, 32, 32), np.ones((32, 32), np.uint8))
    assert (pyramid.path / "1" / "c" / "0" / "0").is_file()
    assert (pyramid.path / "2" / "c" / "0" / "0").is_file()
    assert LabelPyramid.open(pyramid.path).is_done(Box(0, 0, *SHAPE))


def test_a_finished_one_is_an_ome_zarr_that_opens_as_a_slide(tmp_path, mask):
    pyramid = make(
        tmp_path / "mask.zarr", pixel_size_um=0.5, scale=(2.0, 2.0), classes=(ClassInfo(name="gland"),)
    )
    fill(pyramid, mask)
    pyramid.finish()
    slide = open_slide(pyramid.path)
    assert slide.pixel_size_um == (0.5, 0.5)
    np.testing.assert_array_equal(slide.levels[-1][...], expected(mask, 5)[-1])
    again = LabelPyramid.open(pyramid.path)
    assert (again.complete, again.pixel_size_um, again.scale) == (True, 0.5, (2.0, 2.0))
    assert_shows(again, mask)


def test_the_classes_stand_there_with_name_and_colour_as_ome_zarr_says(tmp_path):
    classes = (ClassInfo(name="gland", color="#abcdef"), ClassInfo(name="tumour", color="#102030"))
    pyramid = make(tmp_path / "mask.zarr", classes=classes)
    described = json.loads((pyramid.path / "zarr.json").read_text())["attributes"]["ome"]
    assert described["image-label"] == {
        "version": "0.5",
        "colors": [
            {"label-value": 1, "rgba": [0xAB, 0xCD, 0xEF, 255]},
            {"label-value": 2, "rgba": [0x10, 0x20, 0x30, 255]},
        ],
        "properties": [{"label-value": 1, "class": "gland"}, {"label-value": 2, "class": "tumour"}],
    }
    assert LabelPyramid.open(pyramid.path).classes == classes


def test_a_mask_of_an_older_version_has_classes_without_colours(tmp_path):
    pyramid = make(tmp_path / "mask.zarr", classes=[ClassInfo(name="gland"), ClassInfo(name="tumour")])
    file = pyramid.path / "zarr.json"
    described = json.loads(file.read_text())
    del described["attributes"]["ome"]["image-label"]["colors"]
    file.write_text(json.dumps(described))
    found = LabelPyramid.open(pyramid.path).classes
    assert [(info.name, info.color) for info in found] == [
        ("gland", CLASS_COLORS[0]),
        ("tumour", CLASS_COLORS[1]),
    ]


def is_full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/0.1234.partial")


def test_a_full_disk_while_it_is_made_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Journal, "begin", is_full)
    with pytest.raises(OutputError, match=r"mask\.zarr: No space left on device\. Free some space"):
        make(tmp_path / "mask.zarr")
    assert not list(tmp_path.iterdir())


def test_one_that_lies_there_already_is_never_replaced(tmp_path):
    first = make(tmp_path / "mask.zarr", provenance={"job": 1})
    with pytest.raises(OutputError, match=r"mask\.zarr"):
        make(tmp_path / "mask.zarr", provenance={"job": 2})
    assert LabelPyramid.open(first.path).provenance == {"job": 1}
    assert list(tmp_path.iterdir()) == [first.path]


def test_a_note_on_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    pyramid = make(tmp_path / "mask.zarr")
    monkeypatch.setattr("zarr.core.attributes.Attributes.__setitem__", is_full)
    with pytest.raises(OutputError, match=r"mask\.zarr: No space left on device; what is written is kept"):
        pyramid.note(pools=[1])


@pytest.mark.parametrize("values", [np.ones((32, 32), np.uint8), np.zeros((32, 32), np.uint8)])
def test_a_folder_that_is_gone_is_not_made_anew(tmp_path, values):
    pyramid = make(tmp_path / "mask.zarr")
    shutil.rmtree(pyramid.path)
    for work in (lambda: pyramid.write(Box(0, 0, 32, 32), values), lambda: pyramid.note(a=1), pyramid.finish):
        with pytest.raises(OutputError, match=r"mask\.zarr: No such file or directory"):
            work()
    assert not pyramid.path.exists()


def test_a_chunk_that_could_not_be_written_leaves_no_part_of_it(tmp_path, monkeypatch):
    pyramid = make(tmp_path / "mask.zarr")
    leftover = pyramid.path / "0" / "c" / "0.1234.partial"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    monkeypatch.setattr(Journal, "add", is_full)
    with pytest.raises(
        OutputError, match=r"No space left on device; what is written is kept: make space"
    ) as caught:
        pyramid.write(Box(0, 0, 32, 32), np.ones((32, 32), np.uint8))
    assert "partial" not in str(caught.value)
    assert not leftover.exists()


def test_a_record_of_the_journal_that_is_cut_short_is_an_error(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            return super().write(data[:8])

    pyramid = make(tmp_path / "mask.zarr")
    monkeypatch.setattr(Path, "open", lambda self, mode, buffering: Full(self, "a"))
    with pytest.raises(OSError, match="No space left on device"):
        Journal(pyramid.path).add([(0, 0), (0, 1)])
    assert Journal(pyramid.path).read().tolist() == [[0, 0]]


def test_numbers_of_objects_are_no_classes(tmp_path):
    assert LabelPyramid.open(make(tmp_path / "mask.zarr", dtype=np.uint32).path).classes == ()


def test_notes_are_kept(tmp_path):
    pyramid = make(tmp_path / "mask.zarr", provenance={"model": "m"})
    pyramid.note(damaged=[[0, 0, 1, 1]])
    assert LabelPyramid.open(pyramid.path).provenance == {"model": "m", "damaged": [[0, 0, 1, 1]]}


def test_changed_objects_are_read_anew(tmp_path):
    pyramid = make(tmp_path / "mask.zarr", dtype=np.uint32)
    box = Box(0, 0, 32, 32)
    pyramid.write(box, np.full((32, 32), 70_000, np.uint32))
    assert pyramid.read(box).max() == 70_000
    pyramid.write(box, np.full((32, 32), 80_000, np.uint32))
    assert pyramid.read(box).min() == 80_000


def test_the_most_frequent_of_four_wins_and_the_larger_where_two_are():
    four = np.array([[1, 1, 0, 2, 0, 0], [0, 3, 2, 0, 0, 5]], np.uint8)
    np.testing.assert_array_equal(most_frequent(four), [[1, 2, 0]])
    np.testing.assert_array_equal(most_frequent(np.array([[4, 3], [2, 1]])), [[4]])
    np.testing.assert_array_equal(most_frequent(np.array([[3, 7, 7]])), [[7, 7]])


def test_another_folder_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.zarr is no mask of a slide"):
        LabelPyramid.open(tmp_path / "nothing.zarr")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_is_not_writable_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match=r"mask\.zarr"):
        make(tmp_path / "mask.zarr")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Choose a folder that exists, is writable"):
        make(tmp_path / "file" / "mask.zarr")


def test_a_pyramid_of_which_not_all_was_written_is_complete_when_it_is_finished(tmp_path, mask):
    pyramid = make(tmp_path / "mask.zarr")
    fill(pyramid, mask, 9)
    seen = np.zeros_like(mask)
    for box in boxes()[:9]:
        seen[box.slices] = mask[box.slices]
    pyramid.finish()
    assert_shows(LabelPyramid.open(pyramid.path), seen)
    slide = open_slide(pyramid.path)
    np.testing.assert_array_equal(slide.levels[2][...], expected(seen, 3)[2])
