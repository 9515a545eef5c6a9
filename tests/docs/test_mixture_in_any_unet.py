"""The page on the mixture in any U-Net runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "mixture_in_any_unet.md"


@pytest.fixture
def names_of_the_page() -> dict[str, Any]:
    """Run the page from top to bottom and return what it defined."""
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_the_page_runs_in_two_and_three_dimensions(names_of_the_page: dict[str, Any]) -> None:
    assert names_of_the_page["dims"] == 3
    assert names_of_the_page["logits"].ndim == 5


def test_the_second_stage_of_the_page_trains_the_mixture_alone(names_of_the_page: dict[str, Any]) -> None:
    network = names_of_the_page["network"]

    trained = {name.partition(".")[0] for name, p in network.named_parameters() if p.requires_grad}

    assert trained == {"mixture"}
    assert network.mixture.dims == 3
    assert all(torch.isfinite(p.grad).all() for p in network.mixture.parameters())
