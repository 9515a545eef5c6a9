"""Objects of a slide, with their table; and experts that are chosen once for all tiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from src_model import create_model, segment
from src_model.data.label_pyramid import LabelPyramid
from src_model.data.slide import Slide
from src_model.events import Control, SlidePhase, SlideStopped
from src_model.inference.slides.table import read_table
from src_model.models.checkpoint import Checkpoint
from tests.made_work import TILES, run, work


@pytest.fixture
def dots() -> np.ndarray:
    """Bright discs on dark, some of them across the borders of tiles at 256 and 512."""
    image = np.full((600, 850, 3), 20, np.uint8)
    rows, columns = np.mgrid[:600, :850]
    for y, x in ((256, 100), (100, 256), (512, 512), (300, 700), (40, 40), (256, 256)):
        image[(rows - y) ** 2 + (columns - x) ** 2 < 20**2] = 230
    return image


@pytest.fixture
def slide(dots: np.ndarray) -> Slide:
    return Slide.of_arrays([dots], axes="YXC", pixel_size_um=(0.5, 0.5), name="dots")


def test_objects_across_tiles_are_one_and_have_a_row_in_the_table(
    slide: Slide, dots: np.ndarray, tmp_path: Path, bright: Callable[..., Checkpoint]
) -> None:
    model = bright(3, window=9, multiple=4)
    done = run(slide, model, out=tmp_path, objects=True)

    *_, whole = segment(dots, model, device="cpu", tile=1024, instances=True)
    labels = LabelPyramid.open(done.last.objects).levels[0][...]
    assert done.last.count == whole.results[0].objects == 6
    np.testing.assert_array_equal(labels > 0, whole.results[0].mask > 0)
    table = read_table(done.last.table)
    np.testing.assert_array_equal(table["area_um2"] / 0.25, np.bincount(labels.ravel())[1:])
    assert (np.abs(table["mean_intensity_1"] - 230) < 15).all()
    assert (table["confidence"] > 0.9).all()
    assert {event.phase for event in done.events if isinstance(event, SlidePhase)} == {"objects"}


def test_objects_that_were_stopped_are_numbered_by_the_next_call(
    slide: Slide, tmp_path: Path, bright: Callable[..., Checkpoint]
) -> None:
    model, control, last = bright(3, window=9, multiple=4), Control(), None
    for last in work(slide, model, out=tmp_path, objects=True, control=control):
        if isinstance(last, SlidePhase):
            control.stop()
    assert isinstance(last, SlideStopped)
    assert not list(tmp_path.glob("*objects*"))
    done = run(slide, model, out=tmp_path, objects=True)
    assert done.tiles == []
    assert done.last.count == 6
    assert run(slide, model, out=tmp_path, objects=True).last.count == 6


@pytest.fixture(scope="module")
def mixture() -> torch.nn.Module:
    """A network with experts, whose routers are sure of what they choose."""
    torch.manual_seed(0)
    model = create_model("utanet", base_channels=4, mixture_width=4, top_k=1).eval()
    with torch.no_grad():
        model.mixture.routers.gates.mul_(200)
    return model


def test_one_routing_holds_for_all_tiles_and_is_the_same_after_a_stop(
    slide: Slide, tmp_path: Path, mixture: torch.nn.Module, wrapped: Callable[..., Checkpoint]
) -> None:
    model = wrapped(mixture)
    settings = {"routing": "slide", "halo": 16, "precision": "float32"}
    whole = run(slide, model, out=tmp_path / "whole", **settings)
    phases = [e for e in whole.events if isinstance(e, SlidePhase)]
    assert [e.done for e in phases] == sorted({e.done for e in phases})
    assert {e.total for e in phases} == {phases[-1].done} == {TILES}
    held = whole.mask.provenance["pools"]
    assert held
    events = work(slide, model, out=tmp_path / "parts", **settings)
    for event in events:
        if event.kind == "slide_tile_finished":
            break
    events.close()

    resumed = run(slide, model, out=tmp_path / "parts", **settings)

    assert not [e for e in resumed.events if isinstance(e, SlidePhase)]
    assert resumed.mask.provenance["pools"] == held
    np.testing.assert_array_equal(resumed.mask.levels[0][...], whole.mask.levels[0][...])


def test_a_blank_slide_holds_no_routing(
    tmp_path: Path, mixture: torch.nn.Module, wrapped: Callable[..., Checkpoint]
) -> None:
    blank = Slide.of_arrays([np.full((300, 300, 3), 240, np.uint8)], axes="YXC", name="blank")
    done = run(blank, wrapped(mixture), out=tmp_path, routing="slide")
    assert done.mask.provenance["pools"] == {}
    assert done.last.foreground == 0
