"""The tool behind the included model, and whether the model card speaks of the file beside it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from skimage.io import imsave

from src_model import create_model, load_checkpoint, save_checkpoint
from src_model.errors import OutputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import bundled_model

    return bundled_model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A checkpoint as a training leaves it, eight epochs old."""
    return save_checkpoint(
        tmp_path / "run" / "model.safetensors",
        create_model("utanet", base_channels=4, mixture_width=4),
        history=[{"epoch": epoch} for epoch in range(1, 9)],
        training={"sampling": "crop", "image_size": 128, "intensity_range": "image"},
    )


def test_the_bundled_file_is_half_as_large_and_keeps_what_segmenting_needs(
    tool: ModuleType, run: Path, tmp_path: Path
) -> None:
    path = tool.bundle(run, tmp_path / "models" / "nuclei.safetensors")

    whole, bundled = load_checkpoint(run), load_checkpoint(path)
    assert path.stat().st_size < 0.7 * run.stat().st_size
    assert [info.name for info in bundled.classes] == ["nucleus"]
    assert [entry["epoch"] for entry in bundled.history] == [6, 7, 8]
    assert (bundled.training, bundled.normalisation) == (whole.training, whole.normalisation)


def test_a_model_above_the_limit_is_refused_and_the_old_file_stays(
    tool: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "LARGEST", 10_000)
    out = tmp_path / "models" / "nuclei.safetensors"
    out.parent.mkdir()
    out.write_bytes(b"the old one")

    with pytest.raises(OutputError, match="but at most 10,000 may be bundled"):
        tool.bundle(run, out)

    assert [file.read_bytes() for file in out.parent.iterdir()] == [b"the old one"]


def test_the_model_card_speaks_of_the_file_beside_it(tool: ModuleType) -> None:
    folder = ROOT / "sample_data" / "models"
    card = (folder / "nuclei.md").read_text(encoding="utf-8")

    assert "\n".join(tool.fact_table(folder / "nuclei.safetensors")) in card
    assert (folder / "nuclei.safetensors").stat().st_size <= tool.LARGEST


def test_the_table_has_each_stain_and_its_worst_image(tool: ModuleType) -> None:
    scores = [
        tool.Score("a.png", "fluorescence", 0.9, 0.8),
        tool.Score("b.png", "fluorescence", 0.7, 0.9),
        tool.Score("c.png", "H&E-like", 0.5, 0.1),
    ]

    assert list(tool.score_table(scores))[2:] == [
        "| H&E-like | 1 | 0.500 | 0.100 | `c.png`: Dice 0.500, F1 0.100 |",
        "| fluorescence | 2 | 0.800 | 0.850 | `b.png`: Dice 0.700, F1 0.900 |",
        "| all | 3 | 0.700 | 0.600 | `c.png`: Dice 0.500, F1 0.100 |",
    ]


def test_pairs_are_scored_by_the_stain_that_their_channels_show(
    tool: ModuleType, run: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name, image in (
        ("colour", rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)),
        ("grey", np.repeat(rng.integers(0, 255, (32, 32, 1), dtype=np.uint8), 3, axis=-1)),
    ):
        for folder in ("images", "labels"):
            (tmp_path / "test" / folder).mkdir(parents=True, exist_ok=True)
        imsave(tmp_path / "test" / "images" / f"{name}.png", image, check_contrast=False)
        truth = np.pad(np.full((8, 8), 7, np.uint16), ((0, image.shape[0] - 8), (0, image.shape[1] - 8)))
        imsave(tmp_path / "test" / "labels" / f"{name}.png", truth, check_contrast=False)

    scores = tool.measure(run, tmp_path / "test")

    assert [(score.image, score.stain) for score in scores] == [
        ("colour.png", "H&E-like"),
        ("grey.png", "fluorescence"),
    ]
    assert all(0 <= score.dice <= 1 and 0 <= score.f1 <= 1 for score in scores)
