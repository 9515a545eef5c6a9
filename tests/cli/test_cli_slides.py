"""``utanet segment`` with slides: as a person would type it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from src_model import create_model, save_checkpoint
from src_model.cli import app
from src_model.data.label_pyramid import LabelPyramid
from src_model.data.slide import is_slide
from src_model.errors import ImageError
from tests.made_slides import pyramid, tissue, write_pyramid, write_svs

SIZE = (300, 400)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = create_model("unet", base_channels=2, stage=1)
    return save_checkpoint(tmp_path_factory.mktemp("model") / "unet.safetensors", model)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_svs(tmp_path / "case.svs", pyramid(tissue(*SIZE), 3))


def utanet(*arguments: object) -> tuple[int, list[dict]]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json", "--device", "cpu"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def test_a_slide_gives_a_pyramid(slide: Path, checkpoint: Path, tmp_path: Path) -> None:
    code, events = utanet("segment", slide, "--checkpoint", checkpoint, "--out", tmp_path / "out")

    assert code == 0
    assert [event["event"] for event in events] == ["slide_started", "slide_tile_finished", "slide_finished"]
    mask = LabelPyramid.open(tmp_path / "out" / "case_mask.ome.zarr")
    assert mask.complete
    assert mask.shape == SIZE
    assert events[-1]["mask"] == str(mask.path)


def test_the_same_command_again_finds_it_done(slide: Path, checkpoint: Path, tmp_path: Path) -> None:
    arguments = ("segment", slide, "--checkpoint", checkpoint, "--out", tmp_path / "out")
    utanet(*arguments)
    _, events = utanet(*arguments)
    assert [event["event"] for event in events] == ["slide_started", "slide_finished"]
    assert len(list((tmp_path / "out").glob("*.zarr"))) == 1


def test_images_and_slides_may_lie_in_one_folder(slide: Path, checkpoint: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "small.tif", tissue(64, 64), photometric="rgb")
    code, _ = utanet("segment", tmp_path, "--checkpoint", checkpoint, "--out", tmp_path / "out")
    assert code == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"small_mask.tif", "case_mask.ome.zarr"}


def test_a_region_in_pixels_of_the_finest_level_and_a_coarser_size(
    slide: Path, checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ("segment", slide, "--checkpoint", checkpoint, "--out", tmp_path / "out", "--threshold", 0)
    utanet(*arguments, "--roi", "100,50,40,30")
    found = LabelPyramid.open(tmp_path / "out" / "case_mask.ome.zarr").levels[0][...]
    expected = np.zeros(SIZE, np.uint8)
    expected[50:80, 100:140] = 1
    np.testing.assert_array_equal(found, expected)
    utanet(*arguments, "--pixel-size", 0.998)
    assert LabelPyramid.open(tmp_path / "out" / "case_2_mask.ome.zarr").shape == (150, 200)


def test_a_region_without_pixels_is_refused(slide: Path, checkpoint: Path) -> None:
    code, events = utanet("segment", slide, "--checkpoint", checkpoint, "--roi=0,0,-5,10")
    assert (code, events) == (2, [])
    assert [path.name for path in slide.parent.iterdir()] == ["case.svs"]


def test_a_blank_slide_without_tissue_is_one_sentence(checkpoint: Path, tmp_path: Path) -> None:
    blank = write_svs(tmp_path / "blank.svs", pyramid(np.full((*SIZE, 3), 245, np.uint8), 2))
    with pytest.raises(ImageError, match=r"^blank\.svs: No tissue was found.*--tissue-threshold"):
        utanet("segment", blank, "--checkpoint", checkpoint, "--out", tmp_path / "out", "--tissue")


def test_a_lower_threshold_of_the_tissue_can_be_given(slide: Path, checkpoint: Path, tmp_path: Path) -> None:
    arguments = ("segment", slide, "--checkpoint", checkpoint, "--out", tmp_path / "out")
    with pytest.raises(ImageError, match=r"No tissue was found above the threshold 0\.99"):
        utanet(*arguments, "--tissue-threshold", 0.99)
    code, _ = utanet(*arguments, "--tissue-threshold", 0.01)
    assert code == 0


def test_a_slide_that_cannot_be_used_costs_no_other(slide: Path, checkpoint: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.svs"
    cut.write_bytes(slide.read_bytes()[:8000])
    blank = write_svs(tmp_path / "blank.svs", pyramid(np.full((*SIZE, 3), 245, np.uint8), 2))
    code, events = utanet(
        "segment", cut, blank, slide, "--checkpoint", checkpoint, "--out", tmp_path / "out", "--tissue"
    )
    notes = [event["message"] for event in events if event["event"] == "warned"]
    assert code == 1
    assert "cut.svs is truncated" in notes[0]
    assert notes[1].startswith("blank.svs: No tissue was found")
    assert events[-1]["event"] == "slide_finished"
    assert LabelPyramid.open(tmp_path / "out" / "case_mask.ome.zarr").complete


def test_a_damaged_file_gives_one_sentence_and_no_notes_of_libraries(
    slide: Path, checkpoint: Path, tmp_path: Path
) -> None:
    slide.write_bytes(slide.read_bytes()[:8000])
    command = "from src_model.cli import main; main()"
    arguments = ["segment", slide, "--checkpoint", checkpoint, "--out", tmp_path / "out"]
    done = subprocess.run([sys.executable, "-c", command, *arguments], capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "case.svs is truncated" in done.stderr


def test_what_is_a_slide(slide: Path, tmp_path: Path) -> None:
    small, stack = tmp_path / "small.tif", tmp_path / "stack.tif"
    tifffile.imwrite(small, tissue(64, 64), photometric="rgb")
    tifffile.imwrite(stack, np.zeros((5, 64, 64), np.uint8), photometric="minisblack")
    levels = write_pyramid(tmp_path / "levels.tif", pyramid(tissue(256, 256), 2))
    (tmp_path / "folder").mkdir()
    found = {path.name: is_slide(path) for path in (slide, small, stack, levels, tmp_path / "folder")}
    assert found == {
        "case.svs": True,
        "small.tif": False,
        "stack.tif": False,
        "levels.tif": True,
        "folder": False,
    }
