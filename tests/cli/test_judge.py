"""The commands evaluate and compare: tables for people, JSON lines for programs, exit codes for scripts."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
from scipy import stats

from src_model.cli import main
from src_model.models.checkpoint import save_checkpoint
from src_model.models.registry import create_model

HEADER = "case,group,label,dice,iou,precision,recall,hd95,hd95_unit,object_f1,object_dice,fold"


class Done(NamedTuple):
    """How a command ended."""

    code: object
    out: str
    err: str


def utanet(*arguments: object) -> Done:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["utanet", *map(str, arguments)])
        patch.setenv("COLUMNS", "80")
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learned nothing."""
    model = create_model("utanet", base_channels=4, mixture_width=8)
    folder = tmp_path_factory.mktemp("model")
    return save_checkpoint(folder / "model.safetensors", model, training={"sampling": "crop"})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three pairs."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for number in range(3):
        image = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
        tifffile.imwrite(tmp_path / "data" / "images" / f"{number}.tif", image, photometric="rgb")
        tifffile.imwrite(tmp_path / "data" / "masks" / f"{number}.tif", image[..., 0] // 128 * np.uint8(255))
    return tmp_path / "data"


def write_run(folder: Path, scores: dict[str, float], label: str = "gland") -> Path:
    lines = [f"{c},{c},{label},{d!r},{d!r},{d!r},{d!r},4.5,px,,," for c, d in scores.items()]
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return folder


def test_evaluate_prints_a_table_and_writes_its_files(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    done = utanet(
        "evaluate", "--data", data, "--checkpoint", checkpoint, "--out", tmp_path / "out", "--flips"
    )

    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert next(row for row in rows if row[:1] == ["Dice"])[2] == "+-"
    assert any(row[:2] == ["HD95", "(px)"] for row in rows)
    assert "over 3 cases" in " ".join(done.out.split())
    assert str(tmp_path / "out" / "metrics.csv") in done.out
    assert (tmp_path / "out" / "report.html").is_file()
    assert "Scoring utanet on cpu: 3 cases" in done.err
    assert done.err.count(": Dice ") == 3


def test_evaluate_prints_json_lines_and_nothing_else(data: Path, checkpoint: Path) -> None:
    done = utanet("evaluate", "--data", data, "--checkpoint", checkpoint, "--top-k", 1, "--json")

    assert done.code == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    assert events[0]["event"] == "evaluation_started"
    assert [event["case"] for event in events if event["event"] == "case_scored"] == ["0", "1", "2"]
    assert events[-1]["event"] == "evaluation_finished"
    assert events[-1]["summary"][0]["metric"] == "dice"
    assert events[-1]["metrics"] is None


def test_evaluate_ends_with_1_where_a_case_was_left_out(data: Path, checkpoint: Path) -> None:
    (data / "images" / "1.tif").write_bytes(b"")

    done = utanet("evaluate", "--data", data, "--checkpoint", checkpoint)

    assert done.code == 1
    assert "1 was left out" in done.err
    assert "over 2 cases" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--data", "/nowhere"), 1, "/nowhere"),
        (("--data", "{data}", "--split", "test"), 1, "no split 'test'"),
        (("--data", "{data}", "--resolution", "training"), 1, "no training resolution"),
        (("--data", "{data}", "--resolution", "half"), 2, "half"),
        (("--data", "{data}", "--threshold", "3"), 2, "threshold"),
        (("--data", "{data}", "--top-k", "9"), 1, "from 1 to 4"),
    ],
)
def test_evaluate_says_what_was_wrong(
    options: tuple[str, ...], code: int, words: str, data: Path, checkpoint: Path
) -> None:
    done = utanet("evaluate", "--checkpoint", checkpoint, *(option.format(data=data) for option in options))

    assert done.code == code
    assert words in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_compare_prints_both_means_and_both_tests_within_80_columns(tmp_path: Path) -> None:
    scores = (0.80, 0.82, 0.79, 0.85), (0.78, 0.81, 0.77, 0.82)
    a, b = (
        write_run(tmp_path / name, dict(zip("pqrs", own, strict=True)))
        for name, own in zip("ab", scores, strict=True)
    )

    done = utanet("compare", a, b)

    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    row = next(line.split() for line in lines if line.split()[:1] == ["Dice"])
    paired, independent = (test(*scores).pvalue for test in (stats.ttest_rel, stats.ttest_ind))
    assert row[-6:] == ["0.8150", "0.7950", "+0.0200", f"{paired:.4f}", "*", f"{independent:.4f}"]
    assert f"A = {a}" in lines
    assert "…" not in done.out


def test_compare_names_classes_where_there_are_several(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, {"p": 0.8, "q": 0.7}) for name in "ab"]
    for run in runs:
        text = (run / "metrics.csv").read_text()
        (run / "metrics.csv").write_text(text + "p,p,lumen,0.5,0.5,0.5,0.5,1.0,px,,,\n")

    done = utanet("compare", *runs)

    assert done.code == 0, done.err
    assert [line.strip() for line in done.out.splitlines() if line.strip() in ("gland", "lumen")] == [
        "gland",
        "lumen",
    ]


def test_compare_prints_json_lines_without_infinity(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", {"p": 0.5, "q": 0.75})
    b = write_run(tmp_path / "b", {"p": 0.25, "q": 0.5})

    done = utanet("compare", a, b, "--json")

    rows = [json.loads(line, parse_constant=pytest.fail) for line in done.out.splitlines()]
    assert rows[0]["metric"] == "dice"
    assert rows[0]["paired"] == {"p_value": 0.0, "effect_size": None, "significant": True}
    assert rows[0]["difference"] == 0.25


def test_compare_takes_cross_validations(tmp_path: Path) -> None:
    for run, better in (("a", 0.1), ("b", 0.0)):
        for fold in (1, 2):
            scores = {f"case{fold}{n}": 0.5 + better + 0.01 * n * fold for n in range(3)}
            write_run(tmp_path / run / f"fold-{fold}", scores)

    done = utanet("compare", tmp_path / "a", tmp_path / "b", "--json")

    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["over"], row["count_a"]) for row in rows if row["metric"] == "dice"] == [
        ("cases", 6),
        ("folds", 2),
    ]


def test_compare_says_which_run_has_no_scores(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", {"p": 0.5})
    (tmp_path / "b").mkdir()

    done = utanet("compare", a, tmp_path / "b")

    assert done.code == 1
    assert "holds no metrics.csv" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_segment_takes_flips(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    done = utanet("segment", data / "images", "--checkpoint", checkpoint, "--out", tmp_path / "m", "--flips")

    assert done.code == 0, done.err
    assert len(list((tmp_path / "m").iterdir())) == 3
