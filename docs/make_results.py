"""Writes the generated parts of results.md from the files that the runs left behind.

``python docs/make_results.py`` writes the page, ``--check`` only compares it. ``--from RUNS`` first takes
over ``metrics.csv`` and ``history.csv`` of every finished run in the folder of the studies, which holds
one folder for each of those in ``docs/results``.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from generated import finish, table, with_blocks

from src_model.evaluation.compare import compare_dice, read_run
from src_model.evaluation.table import FILE_NAME, Summary
from src_model.studies.study import read_study
from src_model.studies.summary import ArmResult, summarise

HERE = Path(__file__).parent
PAGE = HERE / "results.md"
RUNS = HERE / "results"
HISTORY = "history.csv"
LEVELS = ("1/1", "1/2", "1/4", "1/8")
"""Of the skips, as shares of the image's resolution."""
PUBLISHED = {
    "glas": ("unet", "mixture", "balanced"),
    "monuseg": ("unet", "mixture", "balanced"),
}
"""Arms of the published recipe, which are scored at the size of the training images."""
RECIPES = {
    "glas": ("mixture", "balanced", "unet", "ours-off", "ours-on"),
    "monuseg": ("mixture", "balanced", "unet", "ours", "ours-off", "ours-on"),
}
"""The published recipe and ours, scored alike; the first is what the others are compared with."""
VOLUMES = "hippocampus"
"""A cross-validation of one network on volumes."""
SWITCHED = (("unet", "mixture"), ("unet", "balanced"), ("ours-off", "ours-on"))
"""Arms without and with a mixture."""


def take_over(source: Path) -> None:
    """Copy the tables of all complete runs; weights and reports stay where they are."""
    studies = (*PUBLISHED, VOLUMES)
    for metrics in (file for study in studies for file in (source / study).glob(f"**/fold-*/{FILE_NAME}")):
        target = RUNS / metrics.parent.relative_to(source)
        target.mkdir(parents=True, exist_ok=True)
        for name in (FILE_NAME, HISTORY):
            if (file := metrics.with_name(name)).is_file():
                shutil.copyfile(file, target / name)


def study_table(study: str, arms: Sequence[str]) -> str:
    """Arms of a study at every number of experts, each compared with the first one."""
    found = [arm for arm in summarise(read_study(RUNS / f"{study}.yaml"), RUNS / study) if _is_of(arm, arms)]
    found.sort(key=lambda arm: next(n for n, name in enumerate(arms) if _is_of(arm, [name])))
    heads = ("arm", "folds", "Dice", "IoU", "Dice - first", "p, paired", "seconds")
    rows = [
        [arm.title, str(arm.folds), _mean(arm.score("dice")), _mean(arm.score("iou"))]
        + (["", ""] if arm.name == arms[0] else _difference(study, arm.name, arms[0])[:2])
        + ["" if arm.seconds is None else f"{arm.seconds:,.0f}"]
        for arm in found
    ]
    return table(heads, rows, align="lrrrrrr")


def _is_of(arm: ArmResult, names: Sequence[str]) -> bool:
    """Whether it is one of those arms, or one of them scored at another number of experts or with flips."""
    base, _, way = arm.name.rpartition("-")
    return arm.name in names or (base in names and (way.startswith("top") or way == "flips"))


def switched_table() -> str:
    """Each mixture against the same network without it."""
    rows = [
        [study, f"`{on}`", f"`{off}`", *_difference(study, on, off)]
        for study in PUBLISHED
        for off, on in SWITCHED
        if all((RUNS / study / arm).is_dir() for arm in (off, on))
    ]
    heads = ("study", "with mixture", "without", "Dice, with - without", "p, paired", "effect size", "images")
    return table(heads, rows, align="lllrrrr")


def _difference(study: str, a: str, b: str) -> list[str]:
    """Dice of A minus that of B over the images that both scored: points, p-value, effect size, images."""
    row = compare_dice(*(read_run(RUNS / study / arm) for arm in (a, b)))
    if row is None:
        return ["-", "-", "-", "0"]
    if row.paired is None:
        return [f"{100 * row.difference:+.2f}", "-", "-", str(row.count_a)]
    p, effect = row.paired.p_value, row.paired.effect_size
    return [f"{100 * row.difference:+.2f}", _p(p), f"{effect:+.2f}", str(row.count_a)]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _mean(score: Summary | None) -> str:
    if score is None:
        return "-"
    digits = 2 if score.unit else 3
    if score.fold_mean is None or score.fold_deviation is None:
        return f"{score.mean:.{digits}f}"
    return f"{score.fold_mean:.{digits}f} ± {score.fold_deviation:.{digits}f}"


def volumes_table(name: str) -> str:
    """Dice and HD95 of each structure of a cross-validation on volumes."""
    scores = read_run(RUNS / name)
    found = {(row.label, row.metric): row for row in scores.summary()}
    rows = [
        [label, _mean(found[label, "dice"]), _mean(found[label, "hd95"])]
        for label in dict.fromkeys(label for label, _ in found)
    ]
    text = table(("structure", "Dice", f"HD95 ({scores.hd95_unit})"), rows, align="lrr")
    return f"{text}\n\n{len(scores.cases)} volumes, {len(scores.folds)} folds."


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
    yield (
        "mean weight of an expert before the choice (least to most)",
        _range(list(chain(*found["routing"]["mean"]))),
    )
    yield "its deviation between images (least to most)", _range(list(chain(*found["routing"]["deviation"])))
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


def main() -> None:
    """Make the page anew and write or compare it."""
    if "--from" in sys.argv:
        take_over(Path(sys.argv[sys.argv.index("--from") + 1]))
    blocks = {
        **{f"published-{study}": study_table(study, arms) for study, arms in PUBLISHED.items()},
        **{f"recipes-{study}": study_table(study, arms) for study, arms in RECIPES.items()},
        "switched": switched_table(),
        "why": why_table(("glas", "monuseg")),
        "volumes": volumes_table(VOLUMES),
    }
    finish(PAGE, with_blocks(PAGE.read_text(encoding="utf-8"), blocks))


if __name__ == "__main__":
    main()
