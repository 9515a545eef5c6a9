"""Fetching files from a server: progress, resuming, refusing, and being offline."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from src_model.download import cache_folder, fetch, fetching
from src_model.errors import DownloadError

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(server: Any) -> Any:
    server.publish(CONTENT)
    return server


def test_a_file_is_fetched_once_with_progress(server: Any, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    path = fetch(server.address, SHA256, folder=tmp_path / "new", progress=lambda *there: seen.append(there))
    again = fetch(server.address, SHA256[:8], folder=tmp_path / "new")

    assert path == again
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == [f"weights-{SHA256[:8]}.pth"]
    assert len(server.requests) == 1
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [so_far for so_far, _ in seen] == sorted(so_far for so_far, _ in seen)


def test_a_broken_connection_goes_on_where_it_ended(server: Any, tmp_path: Path) -> None:
    server.breaks = [1000, 2000]

    path = fetch(server.address, SHA256, folder=tmp_path)

    assert path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=1000-", "bytes=3000-"]


def test_the_next_call_goes_on_where_the_last_one_gave_up(server: Any, tmp_path: Path) -> None:
    server.breaks = [1000]

    with pytest.raises(DownloadError, match=r"what arrived is kept"):
        fetch(server.address, SHA256, folder=tmp_path, attempts=1)
    assert [p.stat().st_size for p in tmp_path.iterdir()] == [1000]

    assert fetch(server.address, SHA256, folder=tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=1000-"]


def test_a_download_that_nobody_asks_to_go_on_keeps_what_arrived(server: Any, tmp_path: Path) -> None:
    steps = fetching(server.address, SHA256, folder=tmp_path)
    before = next(steps)
    there, total = next(steps)

    steps.close()

    assert before == (0, 0)
    assert 0 < there < total == len(CONTENT)
    assert [p.stat().st_size for p in tmp_path.iterdir()] == [there]
    assert fetch(server.address, SHA256, folder=tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={there}-"]


def test_a_server_that_cannot_go_on_starts_again(server: Any, tmp_path: Path) -> None:
    server.breaks, server.ranges = [1000], False

    assert fetch(server.address, SHA256, folder=tmp_path).read_bytes() == CONTENT


def test_a_silent_server_is_given_up_after_the_timeout(server: Any, tmp_path: Path) -> None:
    server.breaks, server.stalls = [1000], True

    with pytest.raises(DownloadError, match="timed out"):
        fetch(server.address, SHA256, folder=tmp_path, timeout=0.2, attempts=1)


def test_tampered_content_is_refused_and_not_kept(server: Any, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"x"

    with pytest.raises(DownloadError, match=r"damaged or not the original .* it was not kept"):
        fetch(server.address, SHA256, folder=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_half_file_in_the_cache_is_refused(server: Any, tmp_path: Path) -> None:
    path = fetch(server.address, SHA256, folder=tmp_path)
    path.write_bytes(CONTENT[: len(CONTENT) // 2])

    with pytest.raises(DownloadError, match=r"weights-.*\.pth is damaged .* delete it and try again"):
        fetch(server.address, SHA256, folder=tmp_path)


def test_a_leftover_that_is_too_long_is_thrown_away(server: Any, tmp_path: Path) -> None:
    (tmp_path / f"weights-{SHA256[:8]}.pth.part").write_bytes(CONTENT + b"more")

    assert fetch(server.address, SHA256, folder=tmp_path).read_bytes() == CONTENT


def test_an_absent_file_is_said_so(server: Any, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="the server answered 404"):
        fetch(server.address.replace("weights", "absent"), SHA256, folder=tmp_path)


def test_offline_the_sentence_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        DownloadError, match=r"Connect to 127\.0\.0\.1:9 and try again .* put the file a\.pth"
    ):
        fetch("http://127.0.0.1:9/a.pth", SHA256, folder=tmp_path, timeout=1)


def test_other_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="Expected an address"):
        fetch("file:///etc/passwd", SHA256, folder=tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that cannot be written")
def test_a_folder_that_cannot_be_written_is_named(server: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(DownloadError, match="Could not keep"):
        fetch(server.address, SHA256, folder=tmp_path / "new")


def test_the_cache_is_the_users() -> None:
    assert cache_folder().is_absolute()
    assert "napari-utanet" in cache_folder().parts
