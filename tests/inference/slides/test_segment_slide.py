"""Whole slides: the mask grows on the disk, the same wherever the work is cut, stopped or killed."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from src_model import create_model, load_checkpoint, save_checkpoint, segment
from src_model.config import ClassInfo
from src_model.data.label_pyramid import LabelPyramid
from src_model.data.slide import Slide, open_slide
from src_model.errors import ConfigError, DataError, DeviceError, ImageError, OutputError
from src_model.events import (
    Control,
    SlideFinished,
    SlideStarted,
    SlideStopped,
    SlideTileFinished,
)
from src_model.inference.slides import job, needs
from src_model.inference.slides.area import Area
from src_model.inference.slides.grid import choose_grid
from src_model.inference.slides.plan import Plan, Sizes
from src_model.inference.slides.table import ObjectTable
from src_model.inference.slides.tissue import Tissue, find_tissue
from src_model.models.checkpoint import Checkpoint
from src_model.tiling.plan import Box
from tests.made_slides import pyramid, write_pyramid
from tests.made_work import HEIGHT, TILES, WIDTH, run, work


def run_some(count: int, *arguments: Any, **options: Any) -> None:
    """Begin a work and abandon it after so many tiles."""
    events = work(*arguments, **options)
    left = count
    for event in events:
        left -= isinstance(event, SlideTileFinished)
        if not left:
            break
    events.close()


def chunks(mask: LabelPyramid) -> dict[Path, bytes]:
    return {
        p.relative_to(mask.path): p.read_bytes()
        for p in mask.path.rglob("*")
        if p.is_file() and "c" in p.relative_to(mask.path).parts
    }


def untiled(pixels: np.ndarray, model: Checkpoint) -> np.ndarray:
    *_, last = segment(pixels, model, device="cpu", tile=1024)
    return last.results[0].mask


def test_the_mask_is_that_of_the_whole_image(slide: Path, pixels: np.ndarray, model: Checkpoint) -> None:
    done = run(slide, model)

    assert done.mask.path == slide.with_name("case_mask.ome.zarr")
    np.testing.assert_array_equal(done.mask.levels[0][...], untiled(pixels, model))
    assert isinstance(done.last, SlideFinished)
    assert done.last.foreground == pytest.approx(untiled(pixels, model).mean(), abs=1e-9)
    assert done.mask.complete
    assert done.mask.pixel_size_um == pytest.approx(0.5)
    assert not list(slide.parent.rglob(".lock"))


def test_the_mask_tells_the_classes_of_the_model_and_their_colours(
    slide: Path, bright: Callable[..., Checkpoint]
) -> None:
    gland = ClassInfo(name="gland", color="#abcdef")
    three = dataclasses.replace(bright(3, 4, window=9, multiple=4), classes=(gland,))
    known = run(slide, three, objects=True).mask
    assert [info.name for info in known.classes] == ["gland", "class 2", "class 3"]
    assert known.classes[0] == gland
    assert LabelPyramid.open(slide.with_name("case_objects.ome.zarr")).classes == ()


def test_what_is_told_while_it_grows_is_what_lies_there(slide: Path, model: Checkpoint) -> None:
    events = work(slide, model)
    start = next(events)
    assert isinstance(start, SlideStarted)
    assert (start.tiles, start.done, start.shape, start.scale) == (TILES, 0, (HEIGHT, WIDTH), (1.0, 1.0))
    assert start.memory_bytes > 0 < start.disk_bytes
    seen = LabelPyramid.open(start.mask)
    numbers = []
    for event in events:
        if isinstance(event, SlideTileFinished):
            seen.grow(event.box, event.overview)
            numbers.append(event.done)
    assert numbers == list(range(1, TILES + 1))
    np.testing.assert_array_equal(seen.levels[0][...], LabelPyramid.open(start.mask).levels[0][...])


def test_the_middle_of_the_view_comes_first(slide: Path, model: Checkpoint) -> None:
    corner = run(slide, model, focus=(599.0, 0.0)).tiles[0].box
    assert corner == (512, 0, 88, 256)


def test_a_stopped_work_is_gone_on_with_and_gives_the_same(
    slide: Path, tmp_path: Path, model: Checkpoint
) -> None:
    whole = run(slide, model, out=tmp_path / "whole", batch_size=2)
    control, events = Control(), []
    for event in work(slide, model, out=tmp_path / "parts", batch_size=2, control=control):
        events.append(event)
        if isinstance(event, SlideTileFinished):
            control.stop()
    stopped = events[-1]
    assert isinstance(stopped, SlideStopped)
    assert 0 < stopped.done < TILES

    resumed = run(slide, model, out=tmp_path / "parts", batch_size=2, focus=(0.0, 0.0))

    assert resumed.events[0].done == stopped.done
    assert len(resumed.tiles) == TILES - stopped.done
    assert resumed.mask.path == stopped.mask
    assert chunks(resumed.mask) == chunks(whole.mask)


def test_an_abandoned_work_is_gone_on_with_too(slide: Path, tmp_path: Path, model: Checkpoint) -> None:
    run_some(3, slide, model, out=tmp_path / "parts")
    resumed = run(slide, model, out=tmp_path / "parts")
    assert 3 <= resumed.events[0].done < TILES
    assert chunks(resumed.mask) == chunks(run(slide, model, out=tmp_path / "whole").mask)


def test_a_finished_job_is_not_repeated_and_another_one_leaves_it(slide: Path, model: Checkpoint) -> None:
    first = run(slide, model)
    again = run(slide, model)
    assert again.tiles == []
    assert again.mask.path == first.mask.path
    before = chunks(first.mask)

    other = run(slide, model, threshold=0.7)

    assert other.mask.path == slide.with_name("case_2_mask.ome.zarr")
    assert chunks(LabelPyramid.open(first.mask.path)) == before


def test_only_the_region_is_segmented(slide: Path, pixels: np.ndarray, model: Checkpoint) -> None:
    box = np.array([[100, 300], [100, 500], [200, 500], [200, 300]])
    done = run(slide, model, region=[box])
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[100:200, 300:500] = untiled(pixels, model)[100:200, 300:500]
    np.testing.assert_array_equal(done.mask.levels[0][...], expected)
    assert len(done.tiles) == 1


def test_only_the_tissue_is_segmented(slide: Path, pixels: np.ndarray, model: Checkpoint) -> None:
    map_of_tissue = np.zeros((6, 10), bool)
    map_of_tissue[:2, :3] = True
    found = Tissue(map_of_tissue, (100.0, 85.0))
    done = run(slide, model, tissue=found)
    expected = untiled(pixels, model)
    expected[200:] = expected[:, 255:] = 0
    np.testing.assert_array_equal(done.mask.levels[0][...], expected)
    assert len(done.tiles) == 1


def test_the_network_sees_the_tissue_and_its_context_only(
    slide: Path, pixels: np.ndarray, model: Checkpoint
) -> None:
    map_of_tissue = np.zeros((60, 85), bool)
    map_of_tissue[30:34, 40:45] = True  # pixels 300 to 340, 400 to 450
    opened = open_slide(slide)
    grid = choose_grid(opened, None, 0.5)
    area = Area(grid, None, Tissue(map_of_tissue, (10.0, 10.0)))
    [[tile]] = Plan(grid, area, Sizes(tile=512, halo=8, batch=1), required=4).groups
    assert tile.write == Box(0, 0, 512, 512)
    assert tile.kept == Box(256, 384, 128, 128)
    assert tile.read == Box(248, 376, 144, 144)

    done = run(slide, model, tissue=Tissue(map_of_tissue, (10.0, 10.0)), objects=True, tile=512)

    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[300:340, 400:450] = untiled(pixels, model)[300:340, 400:450]
    np.testing.assert_array_equal(done.mask.levels[0][...], expected)
    sure = done.mask.read_confidence(Box(0, 0, HEIGHT, WIDTH))
    assert (sure[expected > 0] > 127).all()
    assert not sure[expected == 0].any()


def test_a_region_outside_or_without_tissue_is_refused(slide: Path, model: Checkpoint) -> None:
    far = np.array([[5000.0, 0], [5000, 50], [5050, 50]])
    with pytest.raises(ImageError, match="outside of the slide"):
        run(slide, model, region=[far])
    corner = Tissue(np.eye(6, 10, dtype=bool), (100.0, 85.0))
    with pytest.raises(ImageError, match=r"Nothing of case\.tif is to be segmented"):
        run(slide, model, tissue=corner, region=[np.array([[500.0, 10], [500, 50], [550, 50]])])
    assert not list(slide.parent.glob("*.zarr"))


def test_a_coarser_pixel_size_reads_the_level_that_has_it(
    slide: Path, pixels: np.ndarray, model: Checkpoint
) -> None:
    done = run(slide, model, pixel_size_um=1.0)
    assert done.mask.levels[0].shape == (300, 425)
    assert done.mask.scale == (2.0, 2.0)
    np.testing.assert_array_equal(done.mask.levels[0][...], untiled(pixels[::2, ::2], model))


def test_a_size_between_the_levels_is_resampled_alike_in_all_tiles(
    slide: Path, pixels: np.ndarray, model: Checkpoint
) -> None:
    done = run(slide, model, pixel_size_um=0.75, halo=32)
    whole = run(slide, model, pixel_size_um=0.75, tile=1024)
    assert done.mask.levels[0].shape == (400, 567)
    assert done.mask.pixel_size_um == pytest.approx(0.75)
    assert done.mask.scale == pytest.approx((1.5, 1.5), rel=0.01)
    np.testing.assert_array_equal(done.mask.levels[0][...], whole.mask.levels[0][...])


def test_the_model_knows_at_which_size_it_sees(slide: Path, model: Checkpoint) -> None:
    done = run(slide, dataclasses.replace(model, pixel_size_um=1.0))
    assert done.mask.scale == (2.0, 2.0)


def test_a_slide_without_a_pixel_size_is_segmented_and_the_user_is_told(
    tmp_path: Path, pixels: np.ndarray, model: Checkpoint
) -> None:
    path = write_pyramid(tmp_path / "plain.tif", pyramid(pixels, 2))
    knowing = dataclasses.replace(model, pixel_size_um=1.0)
    done = run(path, knowing)
    assert "does not tell its pixel size" in done.warnings
    assert done.mask.scale == (1.0, 1.0)
    assert run(path, knowing, slide_pixel_size_um=0.5).mask.scale == (2.0, 2.0)


def test_a_blank_slide_gives_an_empty_mask_without_asking_the_network(
    tmp_path: Path, model: Checkpoint
) -> None:
    blank = Slide.of_arrays([np.full((HEIGHT, WIDTH, 3), 255, np.uint8)], axes="YXC", name="blank")
    done = run(blank, model, out=tmp_path)
    assert done.last.foreground == 0
    assert chunks(done.mask) == {}


class Broken:
    """An array of which one tile cannot be decoded, or several in a row."""

    def __init__(self, pixels: np.ndarray, left: int = 512, right: int = 768) -> None:
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype
        self.left, self.right = left, right

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, columns = key[:2]
        if rows.start < 512 and rows.stop > 256 and columns.start < self.right and columns.stop > self.left:
            raise ValueError("not a JPEG")
        return self.pixels[key]


def test_a_piece_that_cannot_be_decoded_is_marked_and_costs_no_other(
    tmp_path: Path, pixels: np.ndarray, model: Checkpoint
) -> None:
    slide = Slide.of_arrays([Broken(pixels)], axes="YXC", name="torn")
    done = run(slide, model, out=tmp_path)
    assert done.last.damaged == ((256, 512, 256, 256),)
    assert "1 piece of torn could not be decoded" in done.warnings
    repaired = pixels.copy()
    repaired[256:512, 512:768] = 255
    np.testing.assert_array_equal(done.mask.levels[0][...], untiled(repaired, model))
    assert LabelPyramid.open(done.mask.path).provenance["damaged"] == [[256, 512, 256, 256]]
    assert run(slide, model, out=tmp_path).last.damaged == ((256, 512, 256, 256),)


def test_several_pieces_are_counted_and_the_first_one_is_named(
    tmp_path: Path, pixels: np.ndarray, model: Checkpoint
) -> None:
    torn = run(Slide.of_arrays([Broken(pixels, 256, 768)], axes="YXC", name="torn"), model, out=tmp_path)
    assert len(torn.last.damaged) == 2
    assert "2 pieces of torn could not be decoded and count as blank; the first one: torn" in torn.warnings


class Unreadable:
    """An array of which nothing can be decoded."""

    shape, dtype = (HEIGHT, WIDTH, 3), np.dtype(np.uint8)

    def __getitem__(self, key: Any) -> np.ndarray:
        raise ValueError("not a JPEG")


def test_a_slide_of_which_nothing_can_be_decoded_is_no_success(tmp_path: Path, model: Checkpoint) -> None:
    slide = Slide.of_arrays([Unreadable()], axes="YXC", name="gone")
    for _ in ("first", "again"):
        with pytest.raises(DataError, match=r"Nothing of gone could be decoded: gone, level 0 .* not a JPEG"):
            list(work(slide, model, out=tmp_path))


def test_three_stains_are_not_taken_for_colours_without_a_word(
    tmp_path: Path, pixels: np.ndarray, model: Checkpoint
) -> None:
    names = ("DAPI", "CD8", "PD1")
    slide = Slide.of_arrays([np.moveaxis(pixels, -1, 0)], axes="CYX", name="stains", channel_names=names)
    told = "takes the channels 0 (DAPI), 1 (CD8), 2 (PD1) of stains for red, green and blue"
    assert told in run(slide, model, out=tmp_path / "a").warnings
    assert told not in run(slide, model, out=tmp_path / "b", channels=(0, 1, 2)).warnings


def test_tissue_that_was_found_around_damage_is_told(
    tmp_path: Path, pixels: np.ndarray, model: Checkpoint
) -> None:
    slide = Slide.of_arrays([Broken(pixels)], axes="YXC", name="torn")
    warnings = run(slide, model, out=tmp_path, tissue=find_tissue(slide)).warnings
    assert "Parts of the overview of torn could not be decoded and count as tissue" in warnings


def test_a_network_for_volumes_is_refused(slide: Path, tmp_path: Path) -> None:
    deep = create_model("u2net3d", in_channels=1, num_classes=2, base_channels=4, poolings=(1, 1, 1))
    checkpoint = load_checkpoint(save_checkpoint(tmp_path / "deep.safetensors", deep))
    with pytest.raises(ImageError, match=r"case\.tif is a slide, but 'u2net3d' is a network for volumes"):
        list(work(slide, checkpoint))


def test_what_is_left_out_of_a_slide_is_told(tmp_path: Path, pixels: np.ndarray, model: Checkpoint) -> None:
    levels = [pixels, pixels[::2, ::2][:200], pixels[::4, ::4]]
    done = run(write_pyramid(tmp_path / "odd.tif", levels), model)
    assert "image 1 is left out: its size 200x425 does not fit the finest level, 600x850" in done.warnings
    assert done.mask.complete


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (None, r"has 3 channels but the model expects 1; choose 1 of 0 \(DAPI\), 1 \(CD8\), 2 as 'channels'"),
        ((3,), r"has the channels 0 \(DAPI\), 1 \(CD8\), 2 but got \[3\]; choose among them"),
        ((-1,), r"but got \[-1\]"),
        ((), r"but got \[\]"),
    ],
)
def test_channels_that_do_not_fit_are_named(
    tmp_path: Path, bright: Callable[..., Checkpoint], channels: tuple[int, ...] | None, message: str
) -> None:
    counts = np.zeros((3, HEIGHT, WIDTH), np.uint16)
    slide = Slide.of_arrays([counts], axes="CYX", name="stains", channel_names=("DAPI", "CD8", ""))
    with pytest.raises(ImageError, match=rf"^stains .*{message}"):
        run(slide, bright(1), channels=channels, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_picture_in_colour_has_no_channels_to_choose(slide: Path, model: Checkpoint) -> None:
    with pytest.raises(ImageError, match=r"case\.tif has no channels to choose from.* but got \[1\]"):
        run(slide, model, channels=(1,))


def test_channels_are_chosen_and_fluorescence_is_scaled_by_its_own_range(
    tmp_path: Path, pixels: np.ndarray, bright: Callable[..., Checkpoint]
) -> None:
    counts = np.moveaxis(pixels, -1, 0).astype(np.uint16) * 100
    slide = Slide.of_arrays([counts], axes="CYX", name="channels")
    one = bright(1, window=9, multiple=4)
    done = run(slide, one, channels=(1,), out=tmp_path)
    assert 0.1 < done.last.foreground < 0.9
    agreement = done.mask.levels[0][...] == untiled(counts[1], one)
    assert agreement.mean() > 0.99
    with pytest.raises(ImageError, match="2 channels were chosen but the model expects 1; choose 1"):
        run(slide, one, channels=(0, 2), out=tmp_path)


def test_a_slide_that_is_replaced_while_it_runs_ends_the_work(
    slide: Path, tmp_path: Path, model: Checkpoint
) -> None:
    events = work(slide, model, out=tmp_path / "out")
    next(events)
    next(event for event in events if isinstance(event, SlideTileFinished))
    os.utime(slide, (1, 1))
    with pytest.raises(DataError, match=r"case\.tif was replaced while it was segmented"):
        list(events)
    assert run(slide, model, out=tmp_path / "out").mask.path.name == "case_2_mask.ome.zarr"


def test_a_slide_that_is_gone_leaves_what_is_done(slide: Path, tmp_path: Path, model: Checkpoint) -> None:
    events = work(slide, model, out=tmp_path / "out")
    next(event for event in events if isinstance(event, SlideTileFinished))
    slide.rename(tmp_path / "away")
    with pytest.raises(DataError, match=r"can no longer be read .* what is done is kept"):
        list(events)
    (tmp_path / "away").rename(slide)
    assert run(slide, model, out=tmp_path / "out").events[0].done > 0


def test_two_works_do_not_write_the_same_mask(slide: Path, model: Checkpoint) -> None:
    first = work(slide, model)
    next(first)
    with pytest.raises(OutputError, match=r"case_mask\.ome\.zarr is being written by process \d+"):
        list(work(slide, model))
    first.close()
    assert run(slide, model).mask.complete


def test_a_disk_that_becomes_full_ends_the_work_and_space_lets_it_go_on(
    slide: Path, model: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = LabelPyramid.write
    written = []

    def full(self: LabelPyramid, box: Box, values: np.ndarray) -> np.ndarray:
        if len(written) == 4:
            raise OutputError("Could not write: no space left on device; make space there.")
        written.append(box)
        return whole(self, box, values)

    monkeypatch.setattr(LabelPyramid, "write", full)
    with pytest.raises(OutputError, match="make space"):
        list(work(slide, model))
    monkeypatch.setattr(LabelPyramid, "write", whole)
    assert run(slide, model).events[0].done == 4


def test_what_a_killed_work_left_half_written_is_mended_before_it_goes_on(
    slide: Path, tmp_path: Path, model: Checkpoint
) -> None:
    run_some(3, slide, model, out=tmp_path / "parts")
    (mask,) = (tmp_path / "parts").iterdir()
    (mask / "0" / "c" / "0.1234.partial").touch()
    with (mask / "written.bin").open("ab") as journal:
        journal.write(b"abc")
    (tmp_path / "parts" / ".case_mask.ome.1234.part.zarr").mkdir()
    resumed = run(slide, model, out=tmp_path / "parts")
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["case_mask.ome.zarr"]
    assert resumed.events[0].done >= 3
    assert chunks(resumed.mask) == chunks(run(slide, model, out=tmp_path / "whole").mask)


def test_a_disk_that_is_full_when_the_objects_are_written_leaves_the_mask_and_nothing_else(
    slide: Path, tmp_path: Path, model: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(ObjectTable, "add", is_full)
        with pytest.raises(
            OutputError,
            match=r"case_objects\.ome\.zarr: No space left on device; the mask is kept: make space",
        ) as caught:
            list(work(slide, model, out=out, objects=True))
    assert ".part" not in str(caught.value)
    assert [path.name for path in out.iterdir()] == ["case_mask.ome.zarr"]
    resumed = run(slide, model, out=out, objects=True)
    assert resumed.tiles == []
    assert resumed.last.count > 0


def test_a_folder_that_takes_no_lock_is_named(
    slide: Path, model: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def refused(file: Path) -> Iterator[None]:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        yield

    monkeypatch.setattr(job, "lock_file", refused)
    with pytest.raises(OutputError, match=r"case_mask\.ome\.zarr: Read-only file system; what is written"):
        list(work(slide, model))


def test_a_file_in_the_place_of_the_folder_is_named(slide: Path, model: Checkpoint) -> None:
    with pytest.raises(OutputError, match=r"output folder .*case\.tif: it is a file; choose a folder"):
        list(work(slide, model, out=slide))


def test_a_disk_without_room_is_named_before_anything_is_written(
    slide: Path, model: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1))
    with pytest.raises(OutputError, match="only 1 bytes are free"):
        list(work(slide, model))
    assert not list(slide.parent.glob("*.zarr"))


def test_memory_that_does_not_suffice_is_named_before_anything_is_written(
    slide: Path, model: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "fits", lambda needed: False)
    with pytest.raises(DeviceError, match=r"of memory but .* are free"):
        list(work(slide, model))
    assert not list(slide.parent.glob("*.zarr"))


def test_arrays_need_a_folder(pixels: np.ndarray, model: Checkpoint) -> None:
    slide = Slide.of_arrays([pixels], axes="YXC", name="layer")
    with pytest.raises(ConfigError, match="give one as 'out'"):
        list(work(slide, model))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"tile": 300}, "tile must be a multiple of 256 but got 300"),
        ({"tile": 10**9}, "tile must be a whole number from 256 to 32768 but got 1000000000"),
        ({"halo": -1}, "halo must be a whole number from 0 to 4096 but got -1"),
        ({"batch_size": True}, "batch_size must be a whole number from 1 to 1024 but got True"),
        ({"pixel_size_um": 0.0}, "must be a number of micrometres above 0, at most 10,000, but got 0"),
        ({"slide_pixel_size_um": 1e9}, r"slide's pixel size must be .* at most 10,000, but got 1e\+09"),
        ({"pixel_size_um": 0.01}, "much finer than that of the slide, 0.5"),
        (
            {"pixel_size_um": 4000.0},
            "nothing is left of the slide, whose pixels are 0.5; choose a smaller",
        ),
        ({"focus": (float("nan"), 0.0)}, "focus must be two numbers"),
        ({"routing": "level"}, "must be 'slide' or 'tile' but got 'level'"),
        ({"threshold": 2.0}, "from 0 to 1 but got 2.0"),
        ({"region": [np.zeros((2, 2))]}, "at least 3 points"),
        ({"region": [np.full((4, 2), np.nan)]}, r"of finite numbers but got array\(\[\[nan"),
        ({"region": "abc"}, "of finite numbers but got 'a'"),
        ({"region": []}, "lies outside of the slide, or nothing is within it"),
        ({"region": [np.zeros((4, 2))]}, "nothing is within it"),
        ({"region": [np.array([(0, -5), (0, 0), (10, 0), (10, -5)])]}, "lies outside of the slide"),
    ],
)
def test_settings_that_cannot_be_are_named(
    slide: Path, model: Checkpoint, setting: dict[str, Any], message: str
) -> None:
    with pytest.raises((ConfigError, ImageError), match=message):
        list(work(slide, model, **setting))
    assert not list(slide.parent.glob("*.zarr"))


def test_a_stop_before_the_start_leaves_nothing(slide: Path, model: Checkpoint) -> None:
    control = Control()
    control.stop()
    (only,) = work(slide, model, control=control)
    assert isinstance(only, SlideStopped)
    assert only.mask is None
    assert not list(slide.parent.glob("*.zarr"))
