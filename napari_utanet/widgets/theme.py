"""The few colours and style rules that the docks add to napari's own theme."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colors:
    """Colours of one kind of theme; text colours have a contrast of at least 4.5 on napari's panels."""

    text: str
    muted: str
    error: str
    note: str
    curve: str
    second_curve: str
    line: str
    tint: str


DARK = Colors(
    text="#f0f1f2",
    muted="#a9b1bd",
    error="#ff8a80",
    note="#f2c14e",
    curve="#4cc9f0",
    second_curve="#f2a65a",
    line="#5a6472",
    tint="76, 201, 240",
)
LIGHT = Colors(
    text="#1e1e21",
    muted="#53585f",
    error="#a8001c",
    note="#6b4e00",
    curve="#00639c",
    second_curve="#a04a00",
    line="#9a9894",
    tint="0, 99, 156",
)

PRIMARY = """
QPushButton { background-color: #3d63c6; color: white; font-weight: 600; padding: 8px 12px;
              border-radius: 4px; }
QPushButton:hover { background-color: #4a72da; }
QPushButton:pressed { background-color: #3253a8; }
QPushButton:focus { border: 1px solid #9db6ff; }
QPushButton:disabled { background-color: rgba(128, 128, 128, 60); color: rgba(160, 160, 160, 200); }
"""
"""The one button of a dock that starts its work."""

SECONDARY = """
QPushButton { padding: 8px 12px; border-radius: 4px; }
QPushButton:focus { border: 1px solid #9db6ff; }
QPushButton:disabled { color: rgba(150, 150, 150, 160); }
"""
"""The buttons beside it."""

SMALL = """
QPushButton { padding: 3px 8px; border-radius: 4px; }
QPushButton:focus { border: 1px solid #9db6ff; }
QPushButton:checked { background-color: rgba(74, 114, 218, 110); }
"""
"""Buttons at the end of a line of text."""

HEADING = "font-weight: 600; padding: 0px;"
"""Stands above a group of fields."""

BAR = "#4a72da"
BAR_GROUND = (128, 128, 128, 70)
"""The progress bar: what is filled, and what lies below it (red, green, blue, opacity)."""


def colors_of(theme: str) -> Colors:
    """The colours that go with a napari theme of that name."""
    from napari.utils.theme import get_theme

    return LIGHT if get_theme(theme).type == "light" else DARK
