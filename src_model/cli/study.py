"""``utanet ablate``: several ways to train, each on the same folds, by one command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from src_model import events as ev
from src_model.cli.commands import Json, app
from src_model.cli.follow import follow, results
from src_model.cli.judge import p_value
from src_model.cli.settings import Assignments, ConfigFile, Protocol, merged_settings
from src_model.studies.events import StudyFinished
from src_model.studies.study import read_study

if TYPE_CHECKING:
    from src_model.evaluation.table import Summary
    from src_model.studies.summary import ArmResult


@app.command()
def ablate(
    data: Annotated[Path, typer.Option(help="Folder of the dataset.")],
    out: Annotated[Path, typer.Option(help="Folder of the study; started again, it goes on there.")],
    study: Annotated[
        str, typer.Option(help="ablation: U-Net, + mixture, + balanced utilisation; or a YAML file.")
    ] = "ablation",
    protocol: Protocol = "paper",
    config: ConfigFile = None,
    assignments: Assignments = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
    layout: Annotated[str | None, typer.Option(help="How the dataset is laid out.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = None,
    as_json: Json = False,
) -> None:
    """Train every arm of a study on every fold, score it, and compare the arms with the first one.

    Arms of one fold share its images and, where they can, stage 1. Interrupted, the same command goes on.
    """
    given = {"root": data, "folds": folds} | ({} if layout is None else {"layout": layout})
    own = {"data": given} | ({} if device is None else {"device": device})
    settings = merged_settings(protocol, config, own, assignments)
    settings = {**settings, "keep": "last"}
    plan = read_study(study)
    from src_model.studies.run_study import run_study
    from src_model.studies.summary import summarise

    control = ev.Control()
    last = follow(run_study(plan, settings, out, control=control), control, as_json=as_json)
    if not isinstance(last, StudyFinished):
        raise typer.Exit(130)
    if not as_json:
        results.print(_table(summarise(plan, out)))


def _table(arms: Sequence[ArmResult]) -> Table:
    """One row for each arm."""
    table = Table(
        box=SIMPLE_HEAD, caption="Mean +- standard deviation over folds; p of a paired t-test over images."
    )
    for heading in ("arm", "Dice", "IoU", "Dice - first", "p"):
        table.add_column(heading, justify="left" if heading == "arm" else "right", no_wrap=heading != "arm")
    for arm in arms:
        difference = "" if arm.difference is None else f"{arm.difference:+.3f}"
        p = "" if arm.test is None else p_value(arm.test)
        table.add_row(arm.title, _mean(arm.score("dice")), _mean(arm.score("iou")), difference, p)
    return table


def _mean(score: Summary | None) -> str:
    if score is None:
        return "-"
    if score.fold_mean is None:
        return f"{score.mean:.3f}"
    return f"{score.fold_mean:.3f} +- {score.fold_deviation:.3f}"
