"""What a study found: scores of each arm over its complete folds, and a test against the first arm."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from src_model.evaluation.compare import Test, compare_dice, fold_folders
from src_model.evaluation.table import FILE_NAME, ScoreTable, Summary, concatenate
from src_model.studies.study import Study
from src_model.training.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """One arm at one number of experts."""

    name: str
    """Of its folder."""
    title: str
    table: ScoreTable
    """All images of the complete folds."""
    folds: int
    seconds: float | None
    """Training of all folds; ``None`` for a model that was only scored in another way."""
    difference: float | None
    """Mean Dice minus that of the first arm that is scored at the same resolution, over the same images;
    ``None`` for that arm itself."""
    test: Test | None
    """Paired over the images, against the first arm."""

    def score(self, metric: str) -> Summary | None:
        """Mean and deviation of a metric over images and folds, over all classes where there are several."""
        return next((row for row in reversed(self.table.summary()) if row.metric == metric), None)


def summarise(study: Study, out: str | Path) -> tuple[ArmResult, ...]:
    """Read a study's folder; arms of which no fold is complete are left out.

    Raises
    ------
    DataError
        When a table of scores is damaged.
    """
    results: list[ArmResult] = []
    firsts: dict[str | None, ScoreTable] = {}
    for name, title, resolution in _rows(study):
        folders = _folds(Path(out) / name)
        if not folders:
            continue
        table = concatenate(
            [ScoreTable.read(f / FILE_NAME).with_fold(number) for number, f in folders.items()]
        )
        first = firsts.setdefault(resolution, table)
        compared = None if first is table else compare_dice(table, first)
        results.append(
            ArmResult(
                name=name,
                title=title,
                table=table,
                folds=len(folders),
                seconds=_seconds(list(folders.values())),
                difference=None if compared is None else compared.difference,
                test=None if compared is None else compared.paired,
            )
        )
    return tuple(results)


def _rows(study: Study) -> Iterator[tuple[str, str, str | None]]:
    """Name and title of each result, and the resolution that it is scored at; ``None`` = the protocol's."""
    for name, arm in study.arms.items():
        own = arm.settings.get("report_resolution")
        yield name, arm.title, own
        for scoring in arm.scorings(name, trained_top_k=0):  # folders that are not there are left out
            yield scoring.name, scoring.title, scoring.resolution or own


def _folds(folder: Path) -> dict[int, Path]:
    """Those that are complete."""
    found = fold_folders(folder) if folder.is_dir() else {}
    return {number: fold for number, fold in found.items() if (fold / FILE_NAME).is_file()}


def _seconds(folders: list[Path]) -> float | None:
    """Of training; models that were only scored have no history."""
    files = [file for folder in folders if (file := RunFolder(folder).history).is_file()]
    return sum(map(_seconds_of, files)) if files else None


def _seconds_of(history: Path) -> float:
    with history.open(newline="", encoding="utf-8") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))
