"""Chunks of an array are the files that zarr would write, without its detours."""

import shutil

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec

from src_model.data.label_chunks import Chunks
from src_model.errors import DataError
from src_model.tiling.plan import Box

SHAPE, SIDE = (70, 100), 32


def array_at(path, dtype=np.uint8, **options):
    packed = {"compressors": BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")} | options
    return zarr.create_array(path, shape=SHAPE, chunks=(SIDE, SIDE), dtype=dtype, **packed)


def labels(dtype):
    values = np.random.default_rng(0).integers(0, 200, SHAPE).astype(dtype)
    values[32:64, :32] = 0
    return values


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32])
def test_zarr_reads_what_was_written_and_writes_the_same_files(tmp_path, dtype):
    values = labels(dtype)
    ours, theirs = array_at(tmp_path / "ours", dtype), array_at(tmp_path / "theirs", dtype)
    chunks = Chunks(tmp_path / "ours", ours)
    chunks.write_box(Box(0, 0, *SHAPE), values)
    theirs[...] = values

    np.testing.assert_array_equal(ours[...], values)
    np.testing.assert_array_equal(chunks.read_box(Box(0, 0, *SHAPE)), values)
    np.testing.assert_array_equal(chunks.read(2, 3), values[64:, 96:])
    written, expected = (
        {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("c/*/*")}
        for folder in (tmp_path / "ours", tmp_path / "theirs")
    )
    assert written.keys() == expected.keys()
    assert dtype != np.uint8 or written == expected  # older versions pack numbers in another way
    assert "c/1/0" not in written


def test_a_chunk_that_becomes_empty_is_no_longer_stored(tmp_path):
    chunks = Chunks(tmp_path / "a", array_at(tmp_path / "a"))
    chunks.write(0, 0, np.ones((SIDE, SIDE), np.uint8))
    chunks.write(0, 0, np.zeros((SIDE, SIDE), np.uint8))

    assert not list((tmp_path / "a").rglob("c/*/*"))
    assert not chunks.read(0, 0).any()


def test_an_array_that_is_packed_in_another_way_is_left_to_zarr(tmp_path):
    array = array_at(tmp_path / "a", compressors="auto")
    chunks = Chunks(tmp_path / "a", array)
    chunks.write_box(Box(0, 0, *SHAPE), labels(np.uint8))

    np.testing.assert_array_equal(array[...], labels(np.uint8))
    np.testing.assert_array_equal(chunks.read_box(Box(0, 0, *SHAPE)), labels(np.uint8))


def test_a_folder_that_was_removed_is_not_made_again(tmp_path):
    chunks = Chunks(tmp_path / "a", array_at(tmp_path / "a"))
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        chunks.write(0, 0, np.ones((SIDE, SIDE), np.uint8))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("left", [0, 10, 100])
def test_a_chunk_that_was_cut_short_is_named(tmp_path, left):
    chunks = Chunks(tmp_path / "a", array_at(tmp_path / "a"))
    chunks.write_box(Box(0, 0, *SHAPE), labels(np.uint8))
    file = tmp_path / "a" / "c" / "0" / "1"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(DataError, match=f"c/0/1 cannot be read .it has {left} bytes, not all"):
        chunks.read(0, 1)


def test_chunks_of_a_folder_that_was_removed_are_not_empty_ones(tmp_path):
    chunks = Chunks(tmp_path / "a", array_at(tmp_path / "a"))
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(DataError, match="is gone"):
        chunks.read(0, 0)
