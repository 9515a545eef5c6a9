"""Draws training curves, one panel a network: the Dice of each stage, and the loss in grey."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

COLUMNS = 4
PANEL = (400, 280)
MARGIN = {"left": 50, "right": 20, "top": 40, "bottom": 40}
SCALE = 2
"""Drawn larger and shrunk, which smooths the lines."""
STAGES = {"1": "#2060a8", "2": "#d2691e"}
GREY, LIGHT, GREEN, BLACK = "#a8a8a8", "#e4e4e4", "#3a9a5b", "#202020"

Place = Callable[[float, float], tuple[float, float]]
"""A step and a value from 0 to 1 to pixels."""


def draw_curves(reports: Sequence[dict[str, Any]], path: Path, *, goal: float) -> None:
    """Draw the curves of all reports.

    Parameters
    ----------
    reports
        Each with ``network``, ``dice`` and ``curve``, whose points have ``stage``, ``step``,
        ``loss`` and ``dice``.
    path
        PNG to write.
    goal
        Dice to mark.
    """
    columns = min(COLUMNS, max(len(reports), 1))
    rows = max(-(-len(reports) // columns), 1)
    width, height = (length * SCALE for length in PANEL)
    picture = Image.new("RGB", (columns * width, rows * height), "white")
    for number, report in enumerate(reports):
        panel = Image.new("RGB", (width, height), "white")
        _draw_panel(ImageDraw.Draw(panel), report, goal)
        picture.paste(panel, (number % columns * width, number // columns * height))
    picture.resize((picture.width // SCALE, picture.height // SCALE), Image.Resampling.LANCZOS).save(path)


def _draw_panel(draw: ImageDraw.ImageDraw, report: dict[str, Any], goal: float) -> None:
    curve = _joined(report["curve"])
    last = max(point["total"] for point in curve)
    place = _placing(last)
    font = ImageFont.load_default(size=12 * SCALE)
    title = f"{report['network']}: {report['dice']:.3f}"
    draw.text((MARGIN["left"] * SCALE, 10 * SCALE), title, BLACK, ImageFont.load_default(size=15 * SCALE))
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        draw.line([place(0, value), place(last, value)], LIGHT, SCALE)
        x, y = place(0, value)
        draw.text((x - 6 * SCALE, y), f"{value:g}", BLACK, font, anchor="rm")
    draw.line([place(0, goal), place(last, goal)], GREEN, SCALE)
    for step in (0, last):
        x, y = place(step, 0)
        draw.text((x, y + 6 * SCALE), f"{step}", BLACK, font, anchor="mt")
    x, y = place(last / 2, 0)
    draw.text((x, y + 6 * SCALE), "step", BLACK, font, anchor="mt")
    _draw_lines(draw, curve, place)


def _draw_lines(draw: ImageDraw.ImageDraw, curve: list[dict[str, Any]], place: Place) -> None:
    highest = max(point["loss"] for point in curve) or 1.0
    for stage, colour in STAGES.items():
        points = [point for point in curve if point["stage"] == stage]
        losses = [place(point["total"], point["loss"] / highest) for point in points]
        scores = [place(point["total"], point["dice"]) for point in points]
        for line, shade, thickness in ((losses, GREY, SCALE), (scores, colour, 2 * SCALE)):
            if len(line) > 1:
                draw.line(line, shade, thickness, joint="curve")
            for x, y in line:
                draw.circle((x, y), thickness, shade)


def _joined(curve: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points with their step in the whole training: stage 2 begins where stage 1 ended."""
    first = max((point["step"] for point in curve if point["stage"] == "1"), default=0)
    return [{**point, "total": point["step"] + (first if point["stage"] == "2" else 0)} for point in curve]


def _placing(last: float) -> Place:
    width = PANEL[0] - MARGIN["left"] - MARGIN["right"]
    height = PANEL[1] - MARGIN["top"] - MARGIN["bottom"]

    def place(step: float, value: float) -> tuple[float, float]:
        x = MARGIN["left"] + width * step / max(last, 1)
        return x * SCALE, (MARGIN["top"] + height * (1 - min(max(value, 0.0), 1.0))) * SCALE

    return place
