"""Writes the generated tables of the documentation; run it after changing a setting.

``python docs/make_tables.py`` rewrites the tables, ``--check`` only says whether they are true.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from generated import finish, table, with_blocks
from pydantic import BaseModel

from src_model.config import TrainConfig

PAGE = Path(__file__).parent / "training.md"


def settings(
    model: type[BaseModel], prefix: str = "", default: BaseModel | None = None
) -> Iterator[tuple[str, str, str]]:
    """One table row for each setting, nested ones by their dotted key."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        value = field.get_default(call_default_factory=True) if default is None else getattr(default, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings(field.annotation, f"{key}.", None if field.is_required() else value)
            continue
        shown = "" if field.is_required() and default is None else f"`{value!r}`".replace("'", "")
        text = " ".join((field.description or "").split()).replace("``", "`").replace("|", "\\|")
        yield f"`{key}`", shown, text


if __name__ == "__main__":
    settings_table = table(["key", "default", "meaning"], list(settings(TrainConfig)))
    finish(PAGE, with_blocks(PAGE.read_text(encoding="utf-8"), {"settings": settings_table}))
