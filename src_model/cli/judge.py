"""``utanet evaluate`` and ``utanet compare``: how good a model is, and whether another one is better."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from src_model import events as ev
from src_model.cli.commands import CheckpointFile, Device, Flips, Json, TopK, app
from src_model.cli.follow import follow, results
from src_model.evaluation.events import EvaluationFinished

if TYPE_CHECKING:
    from src_model.evaluation.compare import Difference, Test
    from src_model.evaluation.table import Summary

_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "precision",
    "recall": "recall",
    "hd95": "HD95",
    "object_f1": "object F1",
    "object_dice": "object Dice",
}
_LEGEND = """\
A = {a}
B = {b}
Mean +- sample standard deviation, and p-values of two-sided t-tests (* = below
0.05) with Cohen's d. The paired test sets the same cases against each other; it
is the one to look at where there is one."""


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of the dataset.")],
    checkpoint: CheckpointFile,
    layout: Annotated[str, typer.Option(help="How it is laid out; default: recognised.")] = "auto",
    split: Annotated[
        str | None,
        typer.Option(help="Which part; default: the folder itself, or test where it is divided."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for metrics.csv and report.html.")] = None,
    resolution: Annotated[
        Literal["native", "training"],
        typer.Option(help="native: masks as they are stored; training: resized as in training."),
    ] = "native",
    top_k: TopK = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Probability above which is foreground.")
    ] = 0.5,
    flips: Flips = False,
    domain: Annotated[
        str | None, typer.Option(help="Which organ (u2net3d); default: the one named like the dataset.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Score a model on a dataset: mean +- standard deviation of each metric and class.

    Exit code 1 where a case had to be left out, though the others are scored.
    """
    from src_model.evaluation.evaluate import evaluate as engine

    control = ev.Control()
    stream = engine(
        data,
        checkpoint,
        layout=layout,
        split=split,
        out=out,
        control=control,
        device=device,
        top_k=top_k,
        threshold=threshold,
        resolution=resolution,
        flips=flips,
        domain=domain,
    )
    last = follow(stream, control, as_json=as_json)
    if not isinstance(last, EvaluationFinished):
        raise typer.Exit(130)
    if not as_json:
        results.print(summary_table(last.summary))
        for path in filter(None, (last.metrics, last.report)):
            results.print(str(path), markup=False, soft_wrap=True)
    if last.left_out:
        raise typer.Exit(1)


@app.command()
def compare(
    run_a: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_A", help="Folder with metrics.csv or with fold-1, fold-2, ..., or the file."
        ),
    ],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The other one.")],
    as_json: Json = False,
) -> None:
    """Compare two evaluations: mean +- standard deviation of each metric, and p-values of t-tests."""
    from src_model.evaluation.compare import compare_tables, read_run

    rows = compare_tables(read_run(run_a), read_run(run_b))
    if as_json:
        for row in rows:
            sys.stdout.write(json.dumps(_plain(row)) + "\n")
        return
    for label in dict.fromkeys(row.label for row in rows):
        results.print(difference_table(rows, label))
    results.print(_LEGEND.format(a=run_a, b=run_b), markup=False, soft_wrap=True)


def summary_table(summary: Iterable[Summary]) -> Table:
    """Of one class: one row for each metric. Of several: one row a class, one column a metric."""
    rows = list(summary)
    labels = list(dict.fromkeys(row.label for row in rows))
    table = Table(box=SIMPLE_HEAD, caption=_over(rows), caption_justify="left")
    if len(labels) == 1:
        table.add_column(Text(labels[0]))
        table.add_column("mean +- deviation", justify="right", no_wrap=True)
        for row in rows:
            table.add_row(_name(row.metric, row.unit), _mean(row, " "))
        return table
    metrics = list(dict.fromkeys(row.metric for row in rows))
    table.add_column("class")
    for metric in metrics:
        unit = next(row.unit for row in rows if row.metric == metric)
        table.add_column(_name(metric, unit), justify="right")
    for label in labels:
        own = {row.metric: row for row in rows if row.label == label}
        table.add_row(Text(label), *(_mean(own[m], "\n") if m in own else "-" for m in metrics))
    return table


def difference_table(rows: Iterable[Difference], label: str) -> Table:
    """One class: one row for each metric, over cases and over folds."""
    table = Table(box=SIMPLE_HEAD, title=Text(label), title_justify="left")
    table.add_column("metric", min_width=len("precision"))
    table.add_column("over")
    for heading in ("A", "B", "A - B", "paired", "independent"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        if row.label != label:
            continue
        digits = _digits(row.metric)
        count = str(row.count_a) if row.count_a == row.count_b else f"{row.count_a}, {row.count_b}"
        table.add_row(
            _name(row.metric, row.unit),
            f"{count} {row.over}",
            f"{row.mean_a:.{digits}f}\n+- {row.deviation_a:.{digits}f}",
            f"{row.mean_b:.{digits}f}\n+- {row.deviation_b:.{digits}f}",
            f"{row.difference:+.{digits}f}",
            _test(row.paired),
            _test(row.independent),
        )
    return table


def _over(rows: list[Summary]) -> str:
    """What the means are of."""
    counts = sorted({row.count for row in rows})
    cases = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Mean +- sample standard deviation over {cases} case{'' if counts == [1] else 's'}."


def _mean(row: Summary, between: str) -> str:
    digits = _digits(row.metric)
    return f"{row.mean:.{digits}f}{between}+- {row.deviation:.{digits}f}"


def _digits(metric: str) -> int:
    return 2 if metric == "hd95" else 4


def _name(metric: str, unit: str) -> str:
    return f"{_NAMES[metric]} ({unit})" if unit else _NAMES[metric]


def _test(test: Test | None) -> str:
    if test is None:
        return "-"
    return f"{p_value(test)}{' *' if test.significant else ''}\nd {test.effect_size:+.2f}"


def p_value(test: Test) -> str:
    """Four digits of a test's p-value."""
    return "< 0.0001" if test.p_value < 1e-4 else f"{test.p_value:.4f}"


def _plain(row: Difference) -> dict[str, object]:
    """Ready for JSON, which has no infinity: an infinite effect becomes null."""
    values = asdict(row)
    for name, test in (("paired", row.paired), ("independent", row.independent)):
        if test is not None:
            finite = abs(test.effect_size) != float("inf")
            effect = test.effect_size if finite else None
            values[name] = {"p_value": test.p_value, "effect_size": effect, "significant": test.significant}
    return values
