"""What is wrong with a file of a dataset, in plain data that a report, a warning or a test can show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["left out", "note", "error"]
"""``left out``: not used, the rest is; ``note``: used all the same; ``error``: nothing can go on."""

_NAMED = 3


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file."""

    file: Path | None
    """``None`` where it concerns the dataset as a whole."""
    what: str
    """A clause about the file, called "it", e.g. ``it has no mask``."""
    severity: Severity = "left out"


def summarise(problems: Iterable[Problem]) -> tuple[str, ...]:
    """One sentence for each kind of problem; it names at most three files."""
    kinds: dict[tuple[str, Severity], list[Path]] = {}
    for problem in dict.fromkeys(problems):
        files = kinds.setdefault((problem.what, problem.severity), [])
        files += [] if problem.file is None else [problem.file]
    return tuple(_sentence(what, severity, files) for (what, severity), files in kinds.items())


def name_some(files: Iterable[Path]) -> str:
    """At most three names, and how many more there are."""
    names = [file.name for file in files]
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def by(shape: Sequence[int]) -> str:
    """Lengths of the axes for people, e.g. ``522x775``."""
    return "x".join(map(str, shape))


def _sentence(what: str, severity: Severity, files: list[Path]) -> str:
    start = f"Left out because {what}" if severity == "left out" else f"{what[:1].upper()}{what[1:]}"
    return f"{start}: {name_some(files)}." if files else f"{start}."
