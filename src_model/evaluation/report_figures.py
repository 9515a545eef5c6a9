"""The charts of the report: curves of a training, use of the experts, spread of the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from src_model.evaluation.report_history import Span, Timeline, mean_line
from src_model.evaluation.report_svg import (
    GRID,
    INK,
    MUTED,
    SERIES,
    SHADE,
    Chart,
    drawing,
    new_axes,
    to_chart,
)

_FEW = 15
"""Up to so many epochs each is marked by a dot."""
MANY = 100
"""With more images than that only those far from the others are drawn as dots."""
DOTS = {
    False: "Each dot is an image.",
    True: f"Of more than {MANY} images, dots are those beyond the whiskers.",
}
"""What the dots of the spread chart are, with few and with many images."""
_LONGEST = 22
"""Letters of a name at an axis."""
_DASHES = ("", "5 3", "1.5 2")
"""As in SVG's ``stroke-dasharray``."""


def loss_chart(timeline: Timeline) -> Chart | None:
    """Training and validation loss per epoch; ``None`` where there is no loss.

    Several folds are thin lines under their mean. Values far above the others are cut off, so that
    a first bad epoch does not flatten the rest.
    """
    lines = {"training": timeline.lines("train_loss"), "validation": timeline.lines("validation_loss")}
    values = np.concatenate([line[np.isfinite(line)] for line in lines.values()])
    if not values.size:
        return None
    with drawing():
        figure, axes = new_axes(440, 270)
        _plot_lines(axes, lines)
        top = min(float(values.max()), 3 * float(np.percentile(values, 90)))
        low = min(0.0, float(values.min()))
        axes.set_ylim(low, (top - low) * 1.06 + low or 1.0)
        _epoch_axis(axes, timeline.spans, 1, timeline.length)
        figure.legend(handles=_handles(lines), loc="outside upper left", ncols=2)
        ends = "; ".join(f"{name} {_ends(mean_line(line))}" for name, line in lines.items())
        return to_chart(figure, "loss", "Loss", f"Loss over {_epochs(timeline)}: {ends}.")


def dice_chart(timeline: Timeline) -> Chart | None:
    """Dice and IoU on the validation images per epoch, 0 to 1; ``None`` where there are none.

    Of a single run the best Dice of each stage is a large dot, see :func:`best_epochs`.
    """
    lines = {"Dice": timeline.lines("dice"), "IoU": timeline.lines("iou")}
    lines = {name: line for name, line in lines.items() if np.isfinite(line).any()}
    if not lines:
        return None
    with drawing():
        figure, axes = new_axes(440, 270)
        _plot_lines(axes, lines)
        axes.set_ylim(0, 1.04)
        _epoch_axis(axes, timeline.spans, 1, timeline.length)
        if len(timeline.folds) == 1 and "Dice" in lines:
            places = [place for _, place in _best_places(lines["Dice"][0], timeline.spans)]
            axes.plot(places, [lines["Dice"][0][place - 1] for place in places], "o", color=SERIES[0], ms=7)
        figure.legend(handles=_handles(lines), loc="outside upper left", ncols=2)
        ends = "; ".join(f"{name} {_ends(mean_line(line))}" for name, line in lines.items())
        title = "Validation scores"
        return to_chart(figure, "dice", title, f"{title} over {_epochs(timeline)}: {ends}.")


def best_epochs(timeline: Timeline) -> str:
    """A sentence on the best Dice of each stage of a single run; empty where there is none."""
    values = timeline.line("dice", timeline.folds[0])
    found = [
        f"{values[place - 1]:.3f} in epoch {place} (stage {span.stage})"
        for span, place in _best_places(values, timeline.spans)
    ]
    return f"Large dots are the best Dice of each stage: {', '.join(found)}." if found else ""


def usage_charts(timeline: Timeline) -> tuple[Chart, ...]:
    """One small chart a router: the share of each expert per epoch, beside the equal share.

    Nothing for a network without routers. All have the same axes and can be compared.
    """
    positions, usage = timeline.usage()
    if not len(positions):
        return ()
    first, last, experts = int(positions[0]), int(positions[-1]), usage.shape[2]
    charts = []
    for router in range(usage.shape[1]):
        with drawing():
            figure, axes = new_axes(250, 200)
            for expert in range(experts):
                colour, dash = expert_look(expert)
                marker = "o" if len(positions) <= _FEW else ""
                style = (0, tuple(map(float, dash.split()))) if dash else "-"
                axes.plot(positions, usage[:, router, expert], ls=style, color=colour, marker=marker, ms=3.5)
            axes.axhline(1 / experts, color=MUTED, lw=1, ls=(0, (1, 2)))
            axes.set_ylim(0, min(1.0, float(usage.max()) * 1.15))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            _epoch_axis(axes, timeline.spans, first, last, named=False)
            shares = ", ".join(f"expert {e + 1} {s:.0%}" for e, s in enumerate(usage[-1, router]))
            title = f"Router {router + 1}"
            words = f"{title}: share of each expert per epoch; in the last epoch {shares}."
            charts.append(to_chart(figure, f"router{router + 1}", title, words))
    return tuple(charts)


def expert_look(expert: int) -> tuple[str, str]:
    """Colour and dash of an expert's line, counted from 0."""
    return SERIES[expert % len(SERIES)], _DASHES[expert // len(SERIES) % len(_DASHES)]


def spread_chart(scores: Mapping[str, Sequence[float]], *, title: str = "Dice") -> Chart | None:
    """Box and dots of the scores of each class, one line a class; ``None`` where there are none.

    The box holds the middle half of the images, with a bar at their median; whiskers reach to
    the last image within 1.5 heights of the box. Of many images only those beyond are dots.

    Parameters
    ----------
    scores
        Name of a class -> scores of the images, 0 to 1; what is not finite is left out.
    title
        Name of the score.
    """
    kept = {name: np.array([v for v in values if math.isfinite(v)]) for name, values in scores.items()}
    kept = {name: values for name, values in kept.items() if values.size}
    if not kept:
        return None
    with drawing():
        figure, axes = new_axes(520, 74 + 34 * max(len(kept), 2))
        low = min(float(values.min()) for values in kept.values())
        for place, values in enumerate(kept.values()):
            _box(axes, values, place)
        floor = min(math.floor(low * 10) / 10, 0.8)
        axes.set_xlim(floor - 0.01 * (1 - floor), 1 + 0.01 * (1 - floor))
        axes.set_ylim(*((len(kept) - 0.5, -0.5) if len(kept) > 1 else (0.7, -0.7)))
        axes.set_yticks(range(len(kept)), [_short(name) for name in kept])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.set_xlabel(title)
        words = "; ".join(
            f"{name}: median {np.median(v):.3f}, lowest {v.min():.3f}, highest {v.max():.3f}"
            for name, v in kept.items()
        )
        return to_chart(figure, "spread", f"{title} over the images", f"{title} per class. {words}.")


def _box(axes: Axes, values: NDArray[np.float64], place: int) -> None:
    """One line of the spread chart."""
    few = len(values) <= MANY
    low, middle, high = np.percentile(values, [25, 50, 75])
    reach = 1.5 * (high - low)
    inside = values[(values >= low - reach) & (values <= high + reach)]
    if len(values) >= 5:
        for edge, end in ((low, inside.min()), (high, inside.max())):
            axes.plot([edge, end], [place, place], color=MUTED, lw=1)
        axes.barh(place, high - low, height=0.5, left=low, facecolor=SHADE, edgecolor=MUTED, lw=1)
        axes.plot([middle, middle], [place - 0.25, place + 0.25], color=INK, lw=2, solid_capstyle="butt")
    dots = values if few else values[(values < inside.min()) | (values > inside.max())]
    golden = (np.arange(len(dots)) * 0.618034) % 1  # spreads neighbours apart, the same each time
    heights = place + (golden - 0.5) * (0.36 if len(dots) > 1 else 0.0)
    axes.plot(dots, heights, "o", color=SERIES[0], ms=4.5, mew=0, alpha=0.65)


def _plot_lines(axes: Axes, lines: Mapping[str, NDArray[np.float64]]) -> None:
    """Each ``(folds, T)`` in its colour; several folds as thin lines under their mean."""
    for colour, folds in zip(SERIES, lines.values(), strict=False):
        epochs = np.arange(1, folds.shape[1] + 1)
        marker = "o" if len(epochs) <= _FEW else ""
        if len(folds) > 1:
            for fold in folds:
                axes.plot(epochs, fold, color=colour, lw=0.7, alpha=0.55)
        if len(folds) == 1 or np.isfinite(mean_line(folds)).any():
            axes.plot(epochs, mean_line(folds), color=colour, marker=marker, ms=4)


def _handles(names: Mapping[str, object]) -> list[Line2D]:
    return [Line2D([], [], color=colour, label=name) for colour, name in zip(SERIES, names, strict=False)]


def _epoch_axis(axes: Axes, spans: Sequence[Span], first: int, last: int, *, named: bool = True) -> None:
    """Whole epochs below, every second stage shaded, its name above."""
    axes.set_xlim(first - 0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    for number, span in enumerate(spans):
        begin, end = max(span.first, first) - 0.5, min(span.last, last) + 0.5
        if end <= begin:
            continue
        if number % 2:
            axes.axvspan(begin, end, facecolor=SHADE, edgecolor="none", zorder=0)
        if number and begin > first:
            axes.axvline(begin, color=GRID, lw=1, zorder=0.5)
        if named:
            wide = (end - begin) / (last - first + 1) > 0.15
            name = f"stage {span.stage}" if wide else span.stage
            where = axes.get_xaxis_transform()
            axes.text((begin + end) / 2, 1.0, name, transform=where, ha="center", va="bottom", color=MUTED)


def _best_places(values: NDArray[np.float64], spans: Sequence[Span]) -> list[tuple[Span, int]]:
    """The first epoch with the highest value of each stage that has one, on the common axis."""
    parts = [(span, values[span.first - 1 : span.last]) for span in spans]
    return [(span, span.first + int(np.nanargmax(part))) for span, part in parts if np.isfinite(part).any()]


def _ends(values: NDArray[np.float64]) -> str:
    finite = values[np.isfinite(values)]
    return f"from {finite[0]:.3f} to {finite[-1]:.3f}" if finite.size else "not in every fold"


def _epochs(timeline: Timeline) -> str:
    stages = f" in {len(timeline.spans)} stages" if len(timeline.spans) > 1 else ""
    folds = f", {len(timeline.folds)} folds" if len(timeline.folds) > 1 else ""
    return f"{timeline.length} epoch{'s' if timeline.length > 1 else ''}{stages}{folds}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
