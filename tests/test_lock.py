"""A file can be locked by one process at a time, and says which one that is."""

from __future__ import annotations

import errno
import os
from io import FileIO
from pathlib import Path

import pytest

from src_model.lock import lock_file


def test_a_locked_file_names_the_process_that_holds_it(tmp_path: Path) -> None:
    with (
        lock_file(tmp_path / "new" / "file.lock") as first,
        lock_file(tmp_path / "new" / "file.lock") as second,
    ):
        assert first is None
        assert second == str(os.getpid())


def test_a_lock_is_free_again_when_its_block_ends_however_it_ends(tmp_path: Path) -> None:
    for _ in range(2):
        try:
            with lock_file(tmp_path / "file.lock") as owner:
                assert owner is None
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass


def test_a_full_disk_does_not_keep_a_lock_from_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(FileIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode, buffering: Full(self, "a+"))
        with lock_file(tmp_path / "file.lock") as first:
            patch.undo()
            with lock_file(tmp_path / "file.lock") as second:
                pass
    assert (first, second) == (None, "unknown")


def test_a_file_that_a_dead_process_left_behind_does_not_lock(tmp_path: Path) -> None:
    (tmp_path / "file.lock").write_text("1\n")

    with lock_file(tmp_path / "file.lock") as owner:
        assert owner is None
