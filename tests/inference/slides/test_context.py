"""How much context the tiles of a slide get: as much as the network needs on that slide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src_model.inference.network import MemoryRanOut, Network
from src_model.inference.slides.context import Context
from src_model.models.checkpoint import Checkpoint
from tests.inference.conftest import Brightness
from tests.made_slides import pyramid, tissue, write_pyramid
from tests.made_work import Done, run

REACH = 50
"""How far the network looks, pixels."""


class Wide(Brightness):
    """Looks ``REACH`` pixels far; its architecture is said to need less."""

    halo = 8
    halo_varies = True


class Constant(Wide):
    """The same of an architecture whose need is known."""

    halo_varies = False


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    picture = np.random.default_rng(0).integers(0, 256, (1100, 1300, 3), dtype=np.uint8)
    picture = (picture // 4 + tissue(1100, 1300) * 0.75).astype(np.uint8)
    return write_pyramid(tmp_path_factory.mktemp("large") / "case.tif", pyramid(picture, 3))


@pytest.fixture
def done(wrapped: Callable[..., Checkpoint], tmp_path: Path) -> Callable[..., Done]:
    """Segment a slide in tiles of 512 pixels with a network."""

    def segment(slide: Path, network: type[Brightness], **options: Any) -> Done:
        checkpoint = wrapped(network(3, 1, window=2 * REACH + 1, multiple=4))
        settings = {"tile": 512, "halo": None, "out": tmp_path / f"{network.__name__}{options}"}
        return run(slide, checkpoint, **settings | options)

    return segment


def halo(done: Done) -> int:
    return int(done.mask.provenance["plan"]["halo"])


def test_a_mask_in_tiles_is_that_of_the_whole_slide_however_far_the_network_looks(
    large: Path, done: Callable[..., Done]
) -> None:
    whole = done(large, Wide, tile=2048, halo=0).mask.levels[0][...]

    measured, constant = done(large, Wide), done(large, Constant)

    assert REACH <= halo(measured) <= REACH + 64
    assert (measured.mask.levels[0][...] != whole).mean() <= 0.001
    assert halo(constant) == 8
    assert (constant.mask.levels[0][...] != whole).mean() > 0.001


def test_the_callers_context_counts(large: Path, done: Callable[..., Done]) -> None:
    assert halo(done(large, Wide, halo=24)) == 24


def test_on_a_blank_or_small_slide_it_is_that_of_the_architecture(
    tmp_path: Path, done: Callable[..., Done]
) -> None:
    blank = write_pyramid(tmp_path / "blank.tif", [np.full((1100, 1300, 3), 240, np.uint8)])
    small = write_pyramid(tmp_path / "small.tif", [tissue(600, 1300)])

    assert [halo(done(slide, Wide)) for slide in (blank, small)] == [8, 8]


def test_where_memory_does_not_suffice_to_measure_it_is_that_of_the_architecture(
    large: Path, done: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = Network.logits

    def limited(self: Network, images: Any, **options: Any) -> Any:
        if getattr(images, "batch", images).shape[-1] == 1024:
            raise MemoryRanOut
        return logits(self, images, **options)

    monkeypatch.setattr(Network, "logits", limited)

    assert halo(done(large, Wide)) == 8


def test_larger_tiles_need_less_of_it_as_less_of_them_lies_near_a_border() -> None:
    context = Context(np.linspace(0.01, 0, 256), windows=5)

    halos = [context.halo_of(tile, least=0, multiple=32) for tile in (256, 1024, 4096)]

    assert halos == sorted(halos, reverse=True)
    assert halos[0] > halos[-1]
    assert all(each % 32 == 0 for each in halos)


def test_the_fewer_windows_show_nothing_the_more_context_is_left_for_what_nobody_saw() -> None:
    halos = [Context(np.zeros(256), windows).halo_of(512, least=0, multiple=16) for windows in (1, 2, 4, 99)]

    assert halos == sorted(set(halos), reverse=True)
    assert halos[-1] == 0


def test_it_is_never_less_than_the_network_must_see() -> None:
    assert Context(np.zeros(256), windows=99).halo_of(512, least=32, multiple=16) == 32


def test_no_tile_needs_more_than_256_pixels() -> None:
    assert Context(np.ones(256), windows=5).halo_of(512, least=0, multiple=16) == 256
