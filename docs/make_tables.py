"""Writes the generated tables of the documentation; run it after changing a setting.

``python docs/make_tables.py`` rewrites the tables, ``--check`` only says whether they are true.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from src_model.config import TrainConfig

PAGE = Path(__file__).parent / "training.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def settings(model: type[BaseModel], prefix: str = "", default: BaseModel | None = None) -> Iterator[str]:
    """One table row for each setting, nested ones by their dotted key."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        value = field.get_default(call_default_factory=True) if default is None else getattr(default, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings(field.annotation, f"{key}.", None if field.is_required() else value)
            continue
        shown = "" if field.is_required() and default is None else f"`{value!r}`".replace("'", "")
        text = " ".join((field.description or "").split()).replace("``", "`").replace("|", "\\|")
        yield f"| `{key}` | {shown} | {text} |"


def page() -> str:
    """The page with its table made anew."""
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    rows = ["| key | default | meaning |", "|---|---|---|", *settings(TrainConfig)]
    return head + BEGIN + "\n".join(rows) + "\n" + END + tail


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(
            0 if PAGE.read_text(encoding="utf-8") == page() else f"{PAGE} is out of date: run {__file__}"
        )
    PAGE.write_text(page(), encoding="utf-8")
