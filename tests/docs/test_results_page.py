"""The page of results says what the runs' own files say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = DOCS / "make_results.py"


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The command as a module that writes elsewhere."""
    monkeypatch.syspath_prepend(str(DOCS))
    import make_results

    monkeypatch.setattr(make_results, "RUNS", tmp_path / "results")
    return make_results


def test_the_tables_follow_from_the_files_of_the_runs() -> None:
    done = subprocess.run([sys.executable, COMMAND, "--check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_tables_are_taken_over_from_finished_runs_alone(results: Any, tmp_path: Path) -> None:
    done, begun, other = (
        tmp_path / "runs" / part for part in ("glas/unet/fold-1", "glas/unet/fold-2", "else/unet/fold-1")
    )
    for folder in (done, begun, other):
        folder.mkdir(parents=True)
        (folder / "history.csv").write_text("stage\n")
        (folder / "model.safetensors").write_text("weights")
    for folder in (done, other):
        (folder / "metrics.csv").write_text("case\n")

    results.take_over(tmp_path / "runs")

    taken = sorted(str(f.relative_to(tmp_path / "results")) for f in (tmp_path / "results").rglob("*.csv"))
    assert taken == ["glas/unet/fold-1/history.csv", "glas/unet/fold-1/metrics.csv"]
    assert not list((tmp_path / "results").rglob("*.safetensors"))


def test_an_arm_is_compared_over_the_images_that_the_other_scored_too(results: Any, tmp_path: Path) -> None:
    header = "case,group,label,dice,iou,precision,recall,hd95,hd95_unit,object_f1,object_dice,fold\n"

    def write(arm: str, scores: dict[str, float]) -> None:
        folder = tmp_path / "results" / "study" / arm / "fold-1"
        folder.mkdir(parents=True)
        rows = [f"{case},{case},gland,{dice},0.5,0.5,0.5,1.0,px,,,\n" for case, dice in scores.items()]
        (folder / "metrics.csv").write_text(header + "".join(rows))

    write("with", {"a": 0.9, "b": 0.8, "c": 0.1})
    write("without", {"a": 0.8, "b": 0.6})

    points, _, _, images = results._difference("study", "with", "without")

    assert (points, images) == ("+15.00", "2")
