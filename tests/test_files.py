"""Writing by atomic rename: complete or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from src_model.errors import OutputError
from src_model.files import atomic_folder, atomic_path, atomic_write_text, remove_leftovers


def test_a_text_file_appears_with_missing_parent_folders(tmp_path: Path) -> None:
    path = atomic_write_text(tmp_path / "a" / "b" / "notes.txt", "dünn\n")

    assert path.read_bytes() == "dünn\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["notes.txt"]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = atomic_write_text(tmp_path / "value.txt", "old")

    with pytest.raises(RuntimeError, match="half way"), atomic_path(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError("half way")

    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["value.txt"]


def test_the_temporary_name_keeps_the_suffix_and_the_folder(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "mask.tif") as temporary:
        assert temporary.suffix == ".tif"
        assert temporary.parent == tmp_path
        assert not (tmp_path / "mask.tif").exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("I am a file")

    with pytest.raises(OutputError, match="blocked"):
        atomic_write_text(tmp_path / "blocked" / "x.txt", "text")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_an_output_error(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)

    with pytest.raises(OutputError, match="locked"):
        atomic_write_text(folder / "x.txt", "text")


def test_an_error_of_the_disk_while_writing_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left"), atomic_path(tmp_path / "x.bin"):
        raise OSError(28, "No space left on device")

    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".last.0011aabb.part.safetensors").write_bytes(b"half")
    (tmp_path / "last.safetensors").write_bytes(b"whole")

    removed = remove_leftovers(tmp_path)

    assert [p.name for p in removed] == [".last.0011aabb.part.safetensors"]
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_file_is_as_readable_as_any_other_new_file_whatever_its_writer_did(tmp_path: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.touch()

    with atomic_path(tmp_path / "private.bin") as temporary:
        temporary.write_bytes(b"x")
        temporary.chmod(0o600)

    assert (tmp_path / "private.bin").stat().st_mode == plain.stat().st_mode


def test_a_folder_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with atomic_folder(tmp_path / "mask.zarr") as temporary:
            assert temporary.suffix == ".zarr"
            temporary.mkdir()
            (temporary / text).write_text(text)

    assert [p.name for p in tmp_path.iterdir()] == ["mask.zarr"]
    assert [p.name for p in (tmp_path / "mask.zarr").iterdir()] == ["new"]


def test_a_folder_that_fails_keeps_the_old_one_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "mask.zarr").mkdir()
    (tmp_path / "mask.zarr" / "old").write_text("old")

    with pytest.raises(RuntimeError, match="half way"), atomic_folder(tmp_path / "mask.zarr") as temporary:
        temporary.mkdir()
        raise RuntimeError("half way")

    assert [p.name for p in tmp_path.iterdir()] == ["mask.zarr"]
    assert [p.name for p in (tmp_path / "mask.zarr").iterdir()] == ["old"]


def test_a_folder_that_was_not_made_is_an_output_error_and_keeps_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "mask.zarr").mkdir()

    with pytest.raises(OutputError, match=r"mask\.zarr"), atomic_folder(tmp_path / "mask.zarr"):
        pass

    assert [p.name for p in tmp_path.iterdir()] == ["mask.zarr"]


def test_a_folder_that_another_program_made_meanwhile_is_kept_and_told(tmp_path: Path) -> None:
    target = tmp_path / "mask.zarr"

    with (
        pytest.raises(OutputError, match=r"mask\.zarr was just made by another program; wait for"),
        atomic_folder(target, replace=False) as temporary,
    ):
        temporary.mkdir()
        target.mkdir()
        (target / "theirs").write_text("theirs")

    assert [p.name for p in tmp_path.iterdir()] == ["mask.zarr"]
    assert [p.name for p in target.iterdir()] == ["theirs"]


def test_leftovers_of_one_name_are_removed_alone(tmp_path: Path) -> None:
    for name in (".a.ome.01ab.part.zarr", ".ab.ome.01ab.part.zarr"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "chunk").write_text("values")

    assert [p.name for p in remove_leftovers(tmp_path, of="a.ome.zarr")] == [".a.ome.01ab.part.zarr"]
    assert [p.name for p in tmp_path.iterdir()] == [".ab.ome.01ab.part.zarr"]
