"""The page on datasets names every layout, class and ending that the code knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from src_model.data.layouts import IMAGE_FOLDERS, MASK_ENDINGS, MASK_FOLDERS, layout_named, list_layouts

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list_layouts())
def test_the_table_tells_every_layout_and_its_classes(name: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]

    assert all(item in row for item in layout_named(name).classes)
    assert f"**{name}**" in PAGE


@pytest.mark.parametrize("name", [*IMAGE_FOLDERS, *MASK_FOLDERS, *MASK_ENDINGS])
def test_every_known_folder_and_ending_is_told(name: str) -> None:
    assert f"`{name}`" in PAGE
