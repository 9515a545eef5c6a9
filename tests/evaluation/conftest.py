"""Scores and epochs of runs that never were, and a reader of the page that a report is."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pytest

from src_model.evaluation.scores import Score

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
