"""A dataset's integrity report as one line, and a list of the files that something is wrong with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_utanet.wording import count, sentence_case

if TYPE_CHECKING:
    from src_model.data.integrity import Integrity
    from src_model.data.problems import Problem, Severity

_HEADINGS: dict[Severity, str] = {
    "error": "Not enough to train on; add what is missing, then press Check again",
    "left out": "Left out; mend, complete or remove them, then press Check again",
    "note": "Used all the same, but worth a look",
}


@dataclass(frozen=True)
class DatasetSummary:
    """What the dock says of a dataset."""

    line: str
    """What it is; empty where nothing is known."""
    error: str = ""
    """Why it cannot be trained on as things stand; one sentence, empty where it can."""
    trouble: str = ""
    """How many files something is wrong with; empty = none."""
    details: str = ""
    """Each of these files, what is wrong with it, and the remedy."""


def summarise_report(report: Integrity) -> DatasetSummary:
    """The few words that a report comes down to."""
    stop = next((problem.what for problem in report.problems if problem.severity == "error"), None)
    error = "" if stop is None else f"This dataset cannot be trained on: {stop}; add more, or mend the rest."
    return DatasetSummary(_line(report), error, _trouble(report.problems), _details(report))


def class_count(report: Integrity) -> int | None:
    """Foreground classes that the masks ask for; ``None`` where their numbers leave it open."""
    if report.class_names:
        return len(report.class_names)
    if report.kind != "classes":
        return 1
    values = [share.value for share in report.classes if share.value]
    return len(values) if values == list(range(1, len(values) + 1)) else None


def _line(report: Integrity) -> str:
    part = f" ({report.split})" if report.split else ""
    facts = [count(report.usable, "volume" if report.dims == 3 else "pair"), _masks(report)]
    if report.sizes:
        smallest, largest = (" x ".join(map(str, report.sizes[n])) for n in (0, -1))
        sizes = smallest if report.distinct_sizes == 1 else f"{smallest} to {largest}"
        facts.append(f"{sizes} {'voxels' if report.dims == 3 else 'pixels'}")
    return f"{sentence_case(report.title)}{part}: {', '.join(facts)}"


def _masks(report: Integrity) -> str:
    if report.kind == "instances":
        return "objects"
    number = class_count(report)
    if number is None:
        return "numbers that are not consecutive as classes"
    return "one class" if number == 1 else f"{number} classes"


def _trouble(problems: tuple[Problem, ...]) -> str:
    left_out = {problem.file for problem in problems if problem.severity == "left out"}
    notes = sum(problem.severity == "note" for problem in problems)
    counts = [f"{count(len(left_out), 'file')} left out"] if left_out else []
    return ", ".join(counts + ([count(notes, "note")] if notes else []))


def _details(report: Integrity) -> str:
    parts = []
    for severity, heading in _HEADINGS.items():
        lines = [
            f"• {_place(problem.file, report.root)}: {problem.what}"
            for problem in report.problems
            if problem.severity == severity
        ]
        parts += ["\n".join([f"{heading}:", *lines])] if lines else []
    return "\n\n".join(parts)


def _place(file: Path | None, root: Path) -> str:
    if file is None:
        return "the whole folder"
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
