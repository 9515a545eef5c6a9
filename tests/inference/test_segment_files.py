"""Segmenting files into a folder: names, failures among several, and nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from src_model import create_model, save_checkpoint, segment
from src_model.errors import CheckpointError, ConfigError, DataError, OutputError
from src_model.events import Control, Event, SegmentationFinished, Warned
from src_model.models.checkpoint import Checkpoint

MakeCheckpoint = Callable[..., Checkpoint]


def run(*arguments: Any, **options: Any) -> list[Event]:
    return list(segment(*arguments, device="cpu", **options))


def paths_of(events: list[Event]) -> list[Path | None]:
    finished = events[-1]
    assert isinstance(finished, SegmentationFinished)
    return [result.path for result in finished.results]


@pytest.fixture
def picture(tmp_path: Path, noise: np.ndarray) -> Path:
    path = tmp_path / "in" / "cells.png"
    path.parent.mkdir()
    Image.fromarray(noise).save(path)
    return path


def test_the_mask_lies_under_the_name_of_its_image(
    bright: MakeCheckpoint, picture: Path, noise: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"

    events = run(picture, bright(1), out=out)

    assert paths_of(events) == [out / "cells_mask.tif"]
    assert [path.name for path in out.iterdir()] == ["cells_mask.tif"]
    mask = tifffile.imread(out / "cells_mask.tif")
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, noise > 127)


def test_objects_and_probabilities_are_written_too(
    bright: MakeCheckpoint, picture: Path, tmp_path: Path
) -> None:
    events = run(str(picture), bright(1), out=tmp_path, instances=True, probability=True)

    result = events[-1].results[0]  # type: ignore[attr-defined]
    probability = tifffile.imread(tmp_path / "cells_probability.tif")
    assert result.mask is None
    assert result.probability is None
    assert tifffile.imread(tmp_path / "cells_mask.tif").dtype == np.uint32
    assert probability.dtype == np.float32
    assert np.squeeze(probability).shape == (70, 90)
    assert (probability > 0.5).mean() == pytest.approx(result.foreground)


def test_a_stack_on_disk_keeps_its_planes(bright: MakeCheckpoint, noise: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([noise] * 5), photometric="minisblack")

    run(tmp_path / "stack.tif", bright(1), out=tmp_path / "out")

    assert tifffile.imread(tmp_path / "out" / "stack_mask.tif").shape == (5, 70, 90)


def test_images_of_one_name_do_not_overwrite_each_other(
    bright: MakeCheckpoint, picture: Path, noise: np.ndarray, tmp_path: Path
) -> None:
    other, third = tmp_path / "other" / "cells.png", tmp_path / "other" / "cells_2.png"
    other.parent.mkdir()
    Image.fromarray(255 - noise).save(other)
    Image.fromarray(noise // 2).save(third)

    paths = paths_of(run([picture, other, third], bright(1), out=tmp_path / "out"))

    assert [path.name for path in paths if path] == [
        "cells_mask.tif",
        "cells_2_mask.tif",
        "cells_2_2_mask.tif",
    ]
    assert (tifffile.imread(paths[0]) != tifffile.imread(paths[1])).all()


def test_a_mask_never_replaces_one_of_the_images(
    bright: MakeCheckpoint, noise: np.ndarray, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.tif", tmp_path / "a_mask.tif"
    tifffile.imwrite(first, noise)
    tifffile.imwrite(second, noise // 2)

    paths = paths_of(run([first, second], bright(1), out=tmp_path))

    assert [path.name for path in paths if path] == ["a_2_mask.tif", "a_mask_mask.tif"]
    np.testing.assert_array_equal(tifffile.imread(second), noise // 2)


def test_a_broken_file_among_several_is_named_and_left_out(
    bright: MakeCheckpoint, picture: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")

    events = run([broken, picture], bright(1), out=tmp_path / "out")

    warning = next(event for event in events if isinstance(event, Warned))
    assert str(broken) in warning.message
    assert paths_of(events) == [tmp_path / "out" / "cells_mask.tif"]


def test_broken_files_alone_are_an_error(bright: MakeCheckpoint, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")

    with pytest.raises(DataError, match=r"a\.png"):
        run([tmp_path / "a.png", tmp_path / "b.png"], bright(1))
    with pytest.raises(DataError, match=r"b\.png"):
        run(tmp_path / "b.png", bright(1), out=tmp_path / "out")


@pytest.mark.parametrize("how", ["stop", "close"])
def test_work_cut_short_leaves_no_file(
    bright: MakeCheckpoint, picture: Path, tmp_path: Path, how: str
) -> None:
    control, out = Control(), tmp_path / "out"
    events = segment(picture, bright(1), out=out, control=control, tile=64, device="cpu")

    for event in events:
        if event.kind == "tile_finished":
            control.stop() if how == "stop" else events.close()  # type: ignore[attr-defined]

    assert list(out.iterdir()) == []


def test_an_output_folder_that_cannot_be_made_is_named(
    bright: MakeCheckpoint, picture: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("I am a file")

    with pytest.raises(OutputError, match=r"Cannot write to the output folder .*blocked.*choose a folder"):
        run(picture, bright(1), out=blocked)


def test_a_checkpoint_is_opened_from_its_path(picture: Path, tmp_path: Path) -> None:
    model = create_model("utanet", base_channels=4, mixture_width=4)
    path = save_checkpoint(tmp_path / "model.safetensors", model)

    events = run(picture, path, out=tmp_path / "out")

    assert paths_of(events) == [tmp_path / "out" / "cells_mask.tif"]


def test_a_missing_checkpoint_is_named(picture: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors"):
        run(picture, tmp_path / "nowhere.safetensors")


def test_an_empty_list_of_images_is_refused(bright: MakeCheckpoint) -> None:
    with pytest.raises(ConfigError, match="No image was given"):
        run([], bright(1))
