"""Matplotlib figures as SVG that lives inside a page: its text, its colours and unique names."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MUTED, GRID, SHADE = "#010101", "#020202", "#030303", "#040404"
"""Stand for the page's own colours, which differ by day and by night."""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that everybody can tell apart (after Okabe and Ito, 2008); the page has lighter ones at night."""

_ROLES = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)", SHADE: "var(--shade)"} | {
    colour: f"var(--series{number})" for number, colour in enumerate(SERIES, start=1)
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "utanet",  # names inside the file depend on its content alone
    "text.parse_math": False,  # a dollar in a name is a dollar
    "axes.unicode_minus": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid.axis": "y",
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "figure.facecolor": "none",
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.0,
}


@dataclass(frozen=True)
class Chart:
    """A drawing for the page."""

    title: str
    svg: str
    """One ``<svg>`` element; its text and lines take the colours of the page."""
    width: int
    """Natural width in pixels."""
    alternative: str
    """What the drawing shows, in words, for those who do not see it."""


@contextmanager
def drawing() -> Iterator[None]:
    """The house's style, for figures that are made, filled and saved inside the block."""
    with warnings.catch_warnings(), mpl.rc_context(_STYLE):
        # a letter without a shape only loses its exact width: the browser draws it
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_axes(width: int, height: int) -> tuple[Figure, Axes]:
    """An empty figure of so many pixels with one pair of axes; it belongs to no window."""
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def to_chart(figure: Figure, name: str, title: str, alternative: str) -> Chart:
    """Save a figure; the same figure gives the same text.

    Parameters
    ----------
    figure
        Filled.
    name
        Begins the names inside the drawing; no two drawings of a page may share it.
    title, alternative
        As in :class:`Chart`.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = stream.getvalue().decode("utf-8")
    svg = svg[svg.index("<svg") :].rstrip()
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: [^;]*?([\d.]+)px[^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg)
    svg = page_colours(svg)
    width, height = (round(side * 72) for side in figure.get_size_inches())
    head = (
        f'<svg viewBox="0 0 {width} {height}" xmlns:xlink="http://www.w3.org/1999/xlink" aria-hidden="true">'
    )
    svg = re.sub(r"<svg[^>]*>", head, svg, count=1)
    return Chart(title, svg, width, alternative)


def page_colours(text: str) -> str:
    """Replace the colours that stand for those of the page by the page's variables."""
    return re.sub("|".join(_ROLES), lambda match: _ROLES[match.group()], text)
