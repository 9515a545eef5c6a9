"""Maps lie in a reserved block as long as there is room, and their place is free again after them."""

from __future__ import annotations

import gc
import platform
import threading

import psutil
import pytest
import torch
from torch import Tensor

from src_model.inference import maps as maps_module
from src_model.inference.maps import Maps

CPU = torch.device("cpu")
MIB = 1 << 20


def map_of(maps: Maps, mib: int) -> Tensor:
    """A map of so many MiB."""
    return maps.empty((1, 4, mib * 256, 256), torch.float32, CPU)


def test_a_map_has_its_shape_its_kind_and_its_channels_last() -> None:
    maps = Maps()

    with maps.reserved(8 * MIB):
        made = maps.empty((2, 16, 128, 256), torch.bfloat16, CPU)

    assert made.shape == (2, 16, 128, 256)
    assert made.dtype == torch.bfloat16
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_maps_that_live_at_a_time_do_not_share_memory() -> None:
    maps = Maps()

    with maps.reserved(8 * MIB):
        made = [map_of(maps, 2).fill_(number) for number in range(6)]  # more than there is room for

    assert [float(one.min()) for one in made] == [float(one.max()) for one in made] == list(range(6))


def test_the_place_of_a_map_is_used_again_but_not_while_a_view_of_it_lives() -> None:
    maps = Maps()

    with maps.reserved(2 * MIB):
        first = map_of(maps, 2)
        place = first.data_ptr()
        view = first[:, :1].fill_(7.0)
        del first
        assert map_of(maps, 2).data_ptr() != place
        assert (view == 7).all()
        del view
        gc.collect()
        assert map_of(maps, 2).data_ptr() == place


def test_gaps_join_so_that_a_larger_map_fits_again() -> None:
    maps = Maps()

    with maps.reserved(4 * MIB):
        small = [map_of(maps, 1) for _ in range(4)]
        place = small[0].data_ptr()
        del small[1], small[1], small[0]
        del small
        assert map_of(maps, 4).data_ptr() == place


def test_a_map_outlives_the_block() -> None:
    maps = Maps()
    with maps.reserved(2 * MIB):
        made = map_of(maps, 2).fill_(3.0)

    assert (made == 3).all()
    assert map_of(maps, 2).shape == made.shape  # from the system


def test_small_maps_do_not_take_room() -> None:
    maps = Maps()

    with maps.reserved(2 * MIB):
        small = maps.empty((1, 4, 8, 8), torch.float32, CPU)
        large = map_of(maps, 2)
        assert abs(small.data_ptr() - large.data_ptr()) >= large.nbytes


@pytest.mark.parametrize("mib", [3, 1])
def test_threads_may_make_maps_at_a_time(mib: int) -> None:
    maps, broken = Maps(), list[int]()

    def work(number: int) -> None:
        for _ in range(50):
            made = map_of(maps, mib).fill_(number)
            if not (made == number).all():
                broken.append(number)

    with maps.reserved(8 * MIB):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert not broken


def test_a_block_within_one_that_is_as_large_is_part_of_it() -> None:
    maps = Maps()

    with maps.reserved(4 * MIB):
        place = map_of(maps, 2).data_ptr()
        with maps.reserved(4 * MIB):
            assert map_of(maps, 2).data_ptr() == place
        with maps.reserved(8 * MIB):
            assert map_of(maps, 2).data_ptr() != place
        assert map_of(maps, 2).data_ptr() == place


def test_where_the_system_reserves_no_memory_maps_lie_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object, **_named: object) -> None:
        raise OSError("Cannot allocate memory")

    maps = Maps()
    monkeypatch.setattr("src_model.inference.maps.mmap.mmap", refuse)

    with maps.reserved(4 * MIB):
        assert map_of(maps, 2).shape == (1, 4, 512, 256)


@pytest.mark.skipif(platform.system() != "Linux", reason="other systems give memory in other ways")
@pytest.mark.parametrize("at_once", [True, False])
def test_what_is_taken_of_a_block_is_there_and_what_lies_in_it_stays(
    at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:  # an older system
        monkeypatch.setattr(maps_module, "populate", lambda *_range: False)
    maps, process = Maps(), psutil.Process()

    with maps.reserved(128 * MIB):
        lies = map_of(maps, 2).fill_(7)
        before = process.memory_info().rss
        maps.take(64 * MIB)

        assert process.memory_info().rss - before > 48 * MIB
        assert float(lies.min()) == float(lies.max()) == 7


def test_more_than_the_block_is_not_taken_nor_anything_without_one() -> None:
    maps = Maps()
    maps.take(1 << 50)

    with maps.reserved(2 * MIB):
        maps.take(1 << 50)
