"""The options of a training that several commands share, and how they are laid over each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from src_model.nested import merge, parse_assignments, read_yaml
from src_model.protocols import protocol

Protocol = Annotated[
    str, typer.Option("--protocol", "--preset", help="Named settings; see `utanet protocols`.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file with further settings.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, e.g. stage1.epochs=3.")
]


def merged_settings(
    name: str,
    config: Path | None,
    options: dict[str, Any],
    assignments: list[str] | None,
    *,
    base: Path | None = None,
) -> dict[str, Any]:
    """Settings of a training: the protocol, then a file, then options, then single assignments.

    ``base`` is a complete configuration to use in place of protocol and file.

    Raises
    ------
    ConfigError
        When the protocol, a file or an assignment cannot be used.
    """
    values = protocol(name) if base is None else read_yaml(base)
    if config is not None:
        values = merge(protocol(name), read_yaml(config))
    return merge(merge(values, options), parse_assignments(assignments or []))
