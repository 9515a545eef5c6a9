"""Writes the generated parts of models.md: what each network costs, and what was claimed for it.

``python docs/make_models.py`` counts and measures anew, which takes about a minute; with
``--keep-latency`` the latencies stay as they are, and with ``--check`` nothing is written and all
but the latencies is compared.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from claims import claims_table
from generated import block, finish, table, with_blocks
from measures import gmac, mixture_parameters, outline, parameters, side_of

from src_model.models.profile import measure_latency
from src_model.models.registry import create_model, list_models

PAGE = Path(__file__).parent / "models.md"
HEADS = (
    "network",
    "parameters (M)",
    "trained in stage 2 (M)",
    "GMAC, stage 1",
    "GMAC, stage 2, top-2",
    "GMAC, stage 2, top-4",
    "latency (ms)",
)


class Network(NamedTuple):
    """A row of the measured table."""

    name: str
    options: Mapping[str, Any]

    @property
    def label(self) -> str:
        """As the table names it."""
        changes = ", ".join(f"`{option}={value}`" for option, value in self.options.items())
        return f"`{self.name}`" + (f" with {changes}" if changes else "")


NETWORKS = (
    *(Network(name, {}) for name in list_models()),
    Network("light-utanet-mobile", {"encoder": "mobilenetv2"}),
)


def counts(network: Network) -> tuple[str, ...]:
    """The cells of a network that are the same on every machine."""
    name, options = network
    size = f"{parameters(name, **options) / 1e6:.2f}"
    first = f"{gmac(name, stage=1, **options):.2f}"
    if outline(name, **options).stage == 1:
        return size, "-", first, "-", "-"
    second = (f"{gmac(name, stage=2, top_k=k, **options):.2f}" for k in (2, 4))
    return size, f"{mixture_parameters(name, **options) / 1e6:.3f}", first, *second


def latency(network: Network) -> str:
    """Milliseconds for one image on this machine, in the last stage at top-2."""
    model = create_model(network.name, **network.options)
    return f"{measure_latency(model, side_of(model), side_of(model)):.0f}"


def machine() -> str:
    """What the latencies were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.processor() or platform.machine()
    threads = torch.get_num_threads()
    plural = "" if threads == 1 else "s"
    return f"Latencies: {cpu}, {threads} thread{plural}, PyTorch {torch.__version__.partition('+')[0]}."


def known_latencies(text: str) -> dict[str, str]:
    """Those that stand in the page, by the label of the network."""
    rows = re.findall(r"^\| (`.*?) \|.* (\S+) \|$", block(text, "measured"), flags=re.MULTILINE)
    return dict(rows)


def main() -> None:
    """Make the page anew and write or compare it."""
    text = PAGE.read_text(encoding="utf-8")
    known = known_latencies(text)
    keep = "--check" in sys.argv or "--keep-latency" in sys.argv
    rows = []
    for network in NETWORKS:
        time = known.get(network.label, "?") if keep else latency(network)
        rows.append([network.label, *counts(network), time])
    blocks = {"measured": table(HEADS, rows, align="lrrrrrr"), "claims": claims_table()}
    if not keep:
        blocks["machine"] = machine()
    finish(PAGE, with_blocks(text, blocks))


if __name__ == "__main__":
    main()
