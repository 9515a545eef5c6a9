"""Writes the generated parts of results.md from the files that the runs left behind.

``python docs/make_results.py`` writes the page, ``--check`` only compares it. ``--from RUNS`` first takes
over ``metrics.csv`` and ``history.csv`` of every finished run in the folder of the studies, which holds
one folder for each of those in ``docs/results``.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from generated import finish, table, with_blocks

from src_model.evaluation.compare import Difference, compare_tables, fold_folders, read_run
from src_model.evaluation.table import FILE_NAME, ScoreTable, Summary
from src_model.studies.study import read_study
from src_model.studies.summary import ArmResult, summarise

HERE = Path(__file__).parent
PAGE = HERE / "results.md"
RUNS = HERE / "results"
HISTORY = "history.csv"
LEVELS = ("1/1", "1/2", "1/4", "1/8")
"""Of the skips, as shares of the image's resolution."""


def take_over(source: Path) -> None:
    """Copy the tables of all complete runs; weights and reports stay where they are."""
    for metrics in source.glob(f"*/**/fold-*/{FILE_NAME}"):
        target = RUNS / metrics.parent.relative_to(source)
        target.mkdir(parents=True, exist_ok=True)
        for name in (FILE_NAME, HISTORY):
            if (file := metrics.with_name(name)).is_file():
                shutil.copyfile(file, target / name)


def study_table(name: str) -> str:
    """Every arm of a study that was trained on all or some folds."""
    results = summarise(read_study(RUNS / f"{name}.yaml"), RUNS / name)
    heads = ("arm", "folds", "Dice", "IoU", "Dice - first", "p", "seconds")
    return table(heads, [_row(arm) for arm in results], align="lrrrrrr")


def _row(arm: ArmResult) -> list[str]:
    difference = "" if arm.difference is None else f"{100 * arm.difference:+.2f}"
    p = "" if arm.test is None else _p(arm.test.p_value)
    seconds = "" if arm.seconds is None else f"{arm.seconds:,.0f}"
    return [arm.title, str(arm.folds), _mean(arm.score("dice")), _mean(arm.score("iou")), difference, p, seconds]


def _mean(score: Summary | None) -> str:
    if score is None:
        return "-"
    if score.fold_mean is None or score.fold_deviation is None:
        return f"{score.mean:.3f}"
    return f"{score.fold_mean:.3f} ± {score.fold_deviation:.3f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def comparison_table(pairs: Sequence[tuple[str, str, str]]) -> str:
    """Two arms against each other, over all images that both scored.

    Parameters
    ----------
    pairs
        Study and the two arms, A and B.
    """
    heads = ("study", "A", "B", "images", "Dice A", "Dice B", "A - B", "p, paired", "effect size")
    rows = [_versus(*pair) for pair in pairs]
    return table(heads, rows, align="lllrrrrrr")


def _versus(study: str, a: str, b: str) -> list[str]:
    row = compared(study, a, b)
    p, effect = (_p(row.paired.p_value), f"{row.paired.effect_size:+.2f}") if row.paired else ("-", "-")
    scores = (f"{row.mean_a:.3f}", f"{row.mean_b:.3f}", f"{100 * row.difference:+.2f}")
    return [study, f"`{a}`", f"`{b}`", str(row.count_a), *scores, p, effect]


def compared(study: str, a: str, b: str) -> Difference:
    """Dice of two arms over the images that both scored."""
    tables = [read_run(RUNS / study / arm) for arm in (a, b)]
    shared = {*tables[0].cases} & {*tables[1].cases}
    parts = [ScoreTable(row for row in each.rows if row.case in shared) for each in tables]
    rows = [row for row in compare_tables(*parts) if row.metric == "dice" and row.over == "cases"]
    return rows[-1]


def volumes_table(name: str) -> str:
    """Dice and HD95 of each structure of a cross-validation on volumes."""
    scores = read_run(RUNS / name)
    rows = [
        [label, *(_with_unit(row) for metric in ("dice", "hd95") for row in scores.summary() if (row.label, row.metric) == (label, metric))]
        for label in (*scores.labels, "all classes")
    ]
    seconds = sum(_seconds(folder / HISTORY) for folder in fold_folders(RUNS / name).values())
    text = table(("structure", "Dice", "HD95"), rows, align="lrr")
    return f"{text}\n\n{len(scores.cases)} volumes, {len(scores.folds)} folds, {seconds:,.0f} seconds of training."


def _with_unit(row: Summary) -> str:
    digits = 2 if row.metric == "hd95" else 3
    return f"{row.fold_mean:.{digits}f} ± {row.fold_deviation:.{digits}f}{' ' if row.unit else ''}{row.unit}"


def _seconds(history: Path) -> float:
    with history.open(newline="", encoding="utf-8") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))


def why_table(names: Sequence[str]) -> str:
    """What ``benchmarks/mixture_diagnosis.py`` found, one column for each of its files."""
    found = [json.loads((RUNS / f"why-{name}.json").read_text()) for name in names]
    columns = [dict(_why(one)) for one in found]
    rows = [[label, *(column[label] for column in columns)] for label in columns[0]]
    return table(("measured on the images held out", *names), rows, align="l" + "r" * len(names))


def _why(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Label and value of each measurement."""
    dice, explained = found["dice"], found["explained"]
    yield "images", str(found["images"])
    yield "Dice of stage 1, plain skips", f"{dice['plain']:.3f}"
    yield "Dice of stage 2, mixed skips", f"{dice['mixed']:.3f}"
    yield "... with all plain skips put back", f"{dice['all_put_back']:.3f}"
    for level, value in zip(LEVELS, dice["mixed_at"], strict=True):
        yield f"... mixed at {level} only", f"{value:.3f}"
    yield "... all experts alike (1/4 each)", f"{dice['uniform_routing']:.3f}"
    yield "... the routers' weights given to the wrong experts", f"{dice['shuffled_routing']:.3f}"
    yield "... a single expert (worst to best)", _range(dice["single_expert"])
    yield "... decoder's BatchNorm statistics taken anew", f"{dice['decoder_statistics_anew']:.3f}"
    yield "frozen parts changed in stage 2", "no" if found["frozen_statistics_kept"] else "yes"
    yield "mean weight of an expert before the choice (least to most)", _range(sum(found["routing"]["mean"], []))
    yield "its deviation between images (least to most)", _range(sum(found["routing"]["deviation"], []))
    cosines = found["experts_cosine"]
    pairs = [row[other] for number, row in enumerate(cosines) for other in range(number)]
    yield "cosine of two experts' maps (least to most)", _range(pairs)
    for level, docker in zip(LEVELS, found["dockers"], strict=True):
        yield f"mixed skip at {level}: cosine to the plain one", f"{docker['cosine']:.2f}"
        yield f"mixed skip at {level}: norm, of the plain one's", f"{docker['norm']:.2f}"
    for level, share in zip(LEVELS, explained["fused"], strict=True):
        yield f"plain skip at {level}: variance that the fused map still holds", f"{share:.0%}"
    ideal = f"what {explained['width']} of the {explained['channels']} channels could hold at best"
    yield ideal, f"{explained['best']:.0%}"


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


if __name__ == "__main__":
    pass
