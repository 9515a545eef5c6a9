"""The demo: the included model first, then a model of one's own, side by side."""

from pathlib import Path
from typing import Any

import pytest

from napari_utanet import demo
from src_model.errors import CheckpointError


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    """Replace what takes long; the list tells what was done, in order."""
    done: list[tuple[Any, ...]] = []

    def measure(checkpoint: Path, out: Path) -> float:
        done.append(("measure", checkpoint.name, out.name))
        return 0.8765 if out.name == "included" else 0.8123

    def train(run: Path) -> Path:
        done.append(("train", run.name))
        return run / "model.safetensors"

    def take_picture(checkpoint: Path, folder: Path) -> Path:
        done.append(("picture", checkpoint.name))
        return folder / "napari.png"

    monkeypatch.setattr(demo, "measure", measure)
    monkeypatch.setattr(demo, "train", train)
    monkeypatch.setattr(demo, "show", lambda checkpoint: done.append(("show", checkpoint.name)))
    monkeypatch.setattr(demo, "take_picture", take_picture)
    monkeypatch.setattr("sys.argv", ["demo", str(tmp_path / "demo")])
    return done


@pytest.mark.parametrize(("screen", "seen"), [(True, "show"), (False, "picture")])
def test_the_included_model_is_seen_before_a_model_is_trained_and_both_are_compared(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: Any, screen: bool, seen: str
) -> None:
    monkeypatch.setattr(demo, "has_screen", lambda: screen)

    demo.main()

    assert steps == [
        ("measure", "nuclei.safetensors", "included"),
        (seen, "nuclei.safetensors"),
        ("train", "nuclei"),
        ("measure", "model.safetensors", "own"),
    ]
    said = capsys.readouterr().err
    assert ("close its window to go on with the training" in said) == screen
    end = said.split("Mean foreground Dice on 12 unseen images")[1]
    assert "included model   0.8765" in end
    assert "your own model   0.8123" in end


def test_the_included_model_segments_the_unseen_images_and_an_outline_can_be_drawn(tmp_path: Path) -> None:
    score = demo.measure(demo.included_model(), tmp_path / "included")
    picture = demo.draw_outline(tmp_path)

    assert 0.75 < score < 1
    assert len(list((tmp_path / "included").glob("*_mask.tif"))) == 12
    assert picture.stat().st_size > 10_000


def test_without_an_included_model_the_demo_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "included_models", list)

    with pytest.raises(CheckpointError, match="missing or damaged; install the package again"):
        demo.included_model()
