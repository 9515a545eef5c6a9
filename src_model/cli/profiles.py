"""The table of `utanet models`: one row at a time, as the networks are measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table

from src_model.cli.follow import results

if TYPE_CHECKING:
    from src_model.models.profile import ModelProfile


def show_profiles(profiles: Iterable[ModelProfile], names: Sequence[str], size: int) -> None:
    """Show each profile as soon as it is measured; without a terminal, the whole table at the end.

    What was measured before an interruption is shown too.

    Parameters
    ----------
    profiles
        Measured as they are asked for, in the order of ``names``.
    names
        Of the networks, to say which one is being measured.
    size
        Side of the measured images, pixels.
    """
    table = Table(caption_justify="left")
    table.add_column("\nmodel", no_wrap=True)
    for heading in ("parameters\n(M)", "trained in\nstage 2 (M)", f"GMAC at\n{size}x{size}", "latency\n(ms)"):
        table.add_column(heading, justify="right", no_wrap=True)
    measured: list[ModelProfile] = []
    source = iter(profiles)
    try:
        with Live(table, console=results, auto_refresh=False, transient=True) as live:
            for number, name in enumerate(names, start=1):
                table.caption = f"measuring {name} ({number} of {len(names)})"
                live.refresh()
                measured.append(next(source))
                table.add_row(*_cells(measured[-1]))
    finally:
        if measured:
            table.caption = _legend(measured)
            results.print(table)


def _cells(profile: ModelProfile) -> tuple[str, ...]:
    size = f" ({profile.depth}x{profile.height}x{profile.width})" if profile.depth else ""
    mixture = f"{profile.mixture_parameters / 1e6:.3f}" if profile.mixture_parameters else "-"
    bound = "<= " if profile.top_k else ""
    return (
        f"{profile.name}{size}",
        f"{profile.parameters / 1e6:.3f}",
        mixture,
        f"{bound}{profile.gmac:.2f}",
        f"{profile.latency_ms:.0f}",
    )


def _legend(measured: Sequence[ModelProfile]) -> str:
    """What the figures mean."""
    first = measured[0]
    threads = f"{first.threads} thread{'s' if first.threads > 1 else ''}"
    where = f"{first.device}, {threads}" if first.device == "cpu" else first.device
    kept = next((profile.top_k for profile in measured if profile.top_k), None)
    mixed = f" <=: at most, for the image that needs most experts at top-{kept}." if kept else ""
    return f"GMAC: 10^9 multiply-adds for one image.{mixed} Latency: median, float32, {where}."
