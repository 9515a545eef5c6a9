"""The parts of a page that a command writes: they stand between two comments that carry a name."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def block(text: str, name: str) -> str:
    """What stands between the comments of that name."""
    begin, end = _comments(name)
    return text.split(begin)[1].split(end)[0]


def with_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """The page with new text between the comments of each name."""
    for name, body in blocks.items():
        begin, end = _comments(name)
        head, rest = text.split(begin)
        text = head + begin + body.rstrip("\n") + "\n" + end + rest.split(end)[1]
    return text


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    """A table in Markdown; ``align`` has one of ``l`` and ``r`` for each column, nothing = ``l``."""
    rules = ["--:" if side == "r" else "---" for side in align.ljust(len(heads), "l")]
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(rules)}|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def finish(page: Path, new: str) -> None:
    """Write the page; with ``--check``, only end with one sentence and 1 where it is not ``new``."""
    if "--check" not in sys.argv:
        page.write_text(new, encoding="utf-8", newline="\n")
    elif page.read_text(encoding="utf-8") != new:
        sys.exit(f"{page} is out of date; run python docs/{Path(sys.argv[0]).name}")


def _comments(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
