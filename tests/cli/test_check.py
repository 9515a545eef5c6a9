"""``utanet check`` reports a dataset in tables or JSON lines, and its exit code says whether to train."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from src_model.cli import check as command
from src_model.cli import main


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Four pairs, one of them without a mask, in a folder with a bracket in its name."""
    root = tmp_path / "data [new]"
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for name in "abcd":
        Image.fromarray(rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)).save(
            root / "images" / f"{name}.png"
        )
        mask = np.zeros((24, 30), np.uint8)
        mask[3:9, 4:12] = 1
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    (root / "masks" / "d.png").unlink()
    return root


def utanet(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["utanet", *map(str, arguments)])
        patch.setattr(command, "results", Console(file=out, width=200))
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return code, out.getvalue(), err.getvalue()


def test_a_dataset_that_can_be_trained_on_is_described_with_its_problems(pairs: Path) -> None:
    code, out, _ = utanet("check", "--data", pairs)

    assert code == 0
    assert "data [new]" in out
    assert "pairs: folder of pairs (recognised)" in out
    assert "3, of which 3 can be used" in out
    assert "_mask _masks _label" in out
    (line,) = [line for line in out.splitlines() if "it has no mask" in line]
    assert "images/d.png" in line
    assert "left out" in line
    assert "It can be trained on. Left out: 1." in out


def test_too_few_cases_for_the_folds_end_with_exit_code_1(pairs: Path) -> None:
    code, out, _ = utanet("check", "--data", pairs, "--folds", 4)

    assert code == 1
    assert "too few for 4 folds" in out
    assert "It cannot be trained on." in out


def test_json_gives_one_object_a_line_and_nothing_else(pairs: Path) -> None:
    code, out, _ = utanet("check", "--data", pairs, "--json")

    *progress, last = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(event["done"], event["total"]) for event in progress] == [(1, 3), (2, 3), (3, 3)]
    assert last["event"] == "dataset_checked"
    assert last["report"]["usable"] == 3


def test_own_endings_of_mask_names_are_taken_and_shown(pairs: Path) -> None:
    for path in (pairs / "masks").iterdir():
        path.rename(path.with_name(f"{path.stem}_truth.png"))

    code, out, _ = utanet("check", "--data", pairs, "--mask-ending", "_truth")

    assert code == 0
    assert "mask endings  _truth" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--layout", "coco"), "There is no layout 'coco'"), (("--split", "test"), "There is no split 'test'")],
)
def test_a_layout_or_split_that_does_not_exist_is_one_sentence(
    pairs: Path, arguments: tuple[str, str], words: str
) -> None:
    code, out, err = utanet("check", "--data", pairs, *arguments)

    assert (code, out) == (1, "")
    assert words in err
    assert len(err.strip().splitlines()) == 1
