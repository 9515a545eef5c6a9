"""The command that lists the named protocols."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.table import Table

from src_model.cli.commands import Json, app
from src_model.cli.follow import results
from src_model.protocols import list_protocols, protocol_file, purpose


@app.command()
def protocols(
    name: Annotated[str | None, typer.Argument(help="Show this one, with the source of every key.")] = None,
    as_json: Json = False,
) -> None:
    """List the named protocols, or show one as YAML: a start for a --config of your own."""
    if name is not None:
        sys.stdout.write(protocol_file(name).read_text(encoding="utf-8"))
        return
    if as_json:
        for known in list_protocols():
            sys.stdout.write(json.dumps({"protocol": known, "purpose": purpose(known)}) + "\n")
        return
    table = Table("protocol", "for")
    for known in list_protocols():
        table.add_row(known, purpose(known))
    results.print(table)
