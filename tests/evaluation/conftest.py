"""Scores and epochs of runs that never were, networks whose answer is known, and a reader of reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor

from src_model.config import ClassInfo, Normalisation
from src_model.evaluation.scores import Score
from src_model.models.base import SegmentationModel
from src_model.models.checkpoint import Checkpoint
from src_model.models.skips import Segmentation

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Elements and text of a page; every element must be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        """What a reader sees, with single spaces."""
        return " ".join(" ".join(self.words).split())

    def attributes(self, tag: str, name: str) -> list[str]:
        """The values of an attribute of all elements of a kind that have it."""
        return [value for kind, attrs in self.elements if kind == tag and (value := attrs.get(name))]


@pytest.fixture
def read_page() -> type[Page]:
    """Parses a page, strictly."""
    return Page


@pytest.fixture
def make_score() -> Any:
    """Makes a score of which only the named values matter."""

    def make(case: str, dice: float, label: str = "gland", **values: Any) -> Score:
        plain = {"group": case, "iou": dice / (2 - dice), "precision": dice, "recall": dice, "hd95": 3.0}
        return Score(case=case, label=label, dice=dice, **{**plain, "hd95_unit": "px", **values})

    return make


@pytest.fixture
def make_epochs() -> Any:
    """Makes the epochs of a stage."""

    def make(stage: str, dice: Sequence[float | None], **values: Any) -> list[dict[str, Any]]:
        return [
            {
                "stage": stage,
                "epoch": epoch,
                "train_loss": 1 / epoch,
                "validation_loss": 1.5 / epoch,
                "dice": value,
                "iou": None if value is None else value / 2,
                "learning_rate": 1e-3,
                "expert_usage": None,
                **values,
            }
            for epoch, value in enumerate(dice, start=1)
        ]

    return make


class Levels(SegmentationModel):
    """Takes grey images; class k where the level is nearest to k / (K - 1), of one class above 0.5."""

    name = "unet"

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__(1, num_classes, 1, {})
        self.required_multiple = 1
        self.own = torch.nn.Identity()

    @property
    def top_k(self) -> int:
        return 1

    def forward(
        self, x: Tensor, *, top_k: Any = None, routing: Any = None, domain: Any = None
    ) -> Segmentation:
        if self.num_classes == 1:
            return Segmentation(10 * (self.own(x) - 0.5), x.new_zeros(()))
        levels = torch.linspace(0, 1, self.num_classes).view(1, -1, 1, 1)
        return Segmentation(-100 * (self.own(x) - levels) ** 2, x.new_zeros(()))


@pytest.fixture
def levels() -> Callable[..., Checkpoint]:
    """Makes a checkpoint that finds bright pixels: ``levels(classes, training={...}, names=("a", ...))``."""

    def make(num_classes: int = 1, *, names: Sequence[str] = (), **values: Any) -> Checkpoint:
        model = Levels(num_classes).eval()
        plain: dict[str, Any] = {
            "config": model.config,
            "classes": tuple(ClassInfo(name=name) for name in names),
            "normalisation": Normalisation(mean=(0.0,), std=(1.0,)),
            "pixel_size_um": None,
            "history": (),
            "versions": {},
            "training": {},
        }
        return Checkpoint(model=model, **(plain | values))

    return make


@pytest.fixture
def write_pair(tmp_path: Path) -> Callable[..., None]:
    """Writes an image and its mask below the test's ``data``: ``write_pair("a", image, mask)``."""

    def write(name: str, image: np.ndarray, mask: np.ndarray, *, folder: str = "data") -> None:
        for kind, array in (("images", image), ("masks", mask)):
            path = tmp_path / folder / kind / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, array, photometric="minisblack")

    return write
