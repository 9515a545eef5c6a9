"""MONAI's side of the comparison: it sees the same input, and borders of its windows are known."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from src_model import create_model, save_checkpoint
from src_model.data.slide import open_slide
from src_model.inference.network import Network

ROOT = Path(__file__).parents[2]


@pytest.fixture
def monai_side(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import monai_side

    return monai_side


@pytest.fixture
def network(tmp_path: Path) -> Network:
    torch.manual_seed(0)
    model = create_model("utanet", base_channels=4, mixture_width=4)
    return Network(save_checkpoint(tmp_path / "m.safetensors", model), device="cpu", precision="float32")


def test_one_window_gives_what_the_network_gives(
    monai_side: ModuleType, network: Network, tmp_path: Path
) -> None:
    import large_slides
    import slide_pictures

    slide = open_slide(large_slides.write_slide(tmp_path / "s.tif", slide_pictures.Tissue(128, 1.0)))
    image = monai_side.prepared(slide.levels[0], network)
    expected = network.logits(image.numpy())[0, 0].sigmoid() > 0.5

    result = monai_side.run_monai(slide.levels[0], network, monai_side.Window(128, 1))

    np.testing.assert_array_equal(result.mask, expected.numpy())
    assert result.seconds == result.read + result.infer > 0


def test_pixels_next_to_a_border_of_a_window_are_not_compared(monai_side: ModuleType) -> None:
    far = monai_side.away_from_borders((100, 40), 40, 5)

    assert far.shape == (100, 40)
    near = np.flatnonzero(~far.any(1))
    # windows at 0, 30 and 60 rows: borders at 30, 40, 60 and 70
    assert near.tolist() == [*range(25, 45), *range(55, 75)]
    assert far[:25].all()
