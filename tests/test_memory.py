"""Memory is kept while anyone works, and given back when the last one is done."""

from __future__ import annotations

import platform
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from src_model import memory
from src_model.memory import MemoryLimit, kept_memory

MMAP_MAX = -4


class Library:
    """Notes what glibc would be told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []
        self.trimmed = 0
        self.free = self.at_the_end = 512 << 20
        self.asked: list[int] = []

    def malloc(self, size: int) -> None:
        """There is none, so that nothing is written to it."""
        self.asked.append(size)

    def mallinfo2(self) -> SimpleNamespace:
        return SimpleNamespace(fordblks=self.free, keepcost=self.at_the_end)

    def mallopt(self, name: int, value: int) -> int:
        self.told.append((name, value))
        return 1

    def malloc_trim(self, _pad: int) -> int:
        self.trimmed += 1
        return 1

    def keeps(self) -> bool:
        return dict(self.told).get(MMAP_MAX) == 0


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library()
    monkeypatch.setattr(memory, "_glibc", lambda: made)
    return made


def test_freed_memory_is_kept_inside_and_given_back_after_it(library: Library) -> None:
    with kept_memory():
        assert library.keeps()
        assert not library.trimmed

    assert not library.keeps()
    assert library.trimmed == 1


def test_the_last_of_several_gives_it_back(library: Library) -> None:
    with kept_memory():
        with kept_memory():
            pass
        assert library.keeps()

    assert not library.keeps()
    assert library.trimmed == 1


def test_an_error_gives_it_back_too(library: Library) -> None:
    with pytest.raises(ValueError, match="broken"), kept_memory():
        raise ValueError("broken")

    assert not library.keeps()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        return None

    monkeypatch.setattr(memory, "_glibc", none)

    with kept_memory():
        pass


def test_what_is_free_goes_back_once_the_process_has_grown_too_far(library: Library) -> None:
    limit = MemoryLimit()
    limit.keep()  # whatever it takes, as long as nobody says how much that may be
    limit.take(0, beside=1 << 40)
    limit.keep()
    assert library.trimmed == 0

    limit.take(0, beside=-(1 << 30))
    limit.keep()
    assert library.trimmed == 1


def test_what_lies_free_in_gaps_is_not_taken_again(library: Library) -> None:
    library.free, library.at_the_end = 100 << 20, 40 << 20

    MemoryLimit().take(150 << 20, beside=0)

    assert library.asked == [90 << 20]


@pytest.mark.parametrize(("at_the_end", "trimmed"), [(512 << 20, 0), (1 << 20, 1)])
def test_what_is_free_goes_back_before_the_process_grows_as_no_gap_is_large_enough(
    library: Library, at_the_end: int, trimmed: int
) -> None:
    library.free = library.at_the_end = at_the_end
    limit = MemoryLimit()
    limit.take(0, beside=64 << 20)

    limit.keep()

    assert library.trimmed == trimmed


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept with glibc only")
def test_what_a_work_takes_at_once_is_there_until_it_ends() -> None:
    program = """
import psutil
from src_model.memory import MemoryLimit, kept_memory

taken = lambda: psutil.Process().memory_info().rss >> 20
before = taken()
with kept_memory():
    MemoryLimit().take(128 << 20, beside=0)
    inside = taken()
print(inside - before, inside - taken())
"""

    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    grown, given_back = map(int, answer.stdout.split())
    assert grown > 100
    assert given_back > 100


@pytest.mark.skipif(platform.system() != "Linux", reason="torch looks at this setting on Linux only")
def test_torch_lays_large_maps_at_whole_pages() -> None:
    program = "import src_model, torch; print(torch.empty(4 << 20).data_ptr() % 4096)"

    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert answer.stdout.strip() == "0"


def test_it_goes_back_once_in_four_steps_at_most(library: Library) -> None:
    limit = MemoryLimit()
    limit.take(0, beside=-(1 << 30))
    for _ in range(9):
        limit.keep()

    assert library.trimmed == 3  # at steps 1, 5 and 9
