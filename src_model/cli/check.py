"""``utanet check``: the integrity report of a dataset, as tables or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from src_model import events as ev
from src_model.cli.commands import Json, app
from src_model.cli.follow import follow, results
from src_model.errors import Stopped

if TYPE_CHECKING:
    from src_model.data.integrity import ClassShare, Integrity
    from src_model.data.problems import Problem


@app.command()
def check(
    data: Annotated[Path, typer.Option(help="Folder of the dataset.")],
    layout: Annotated[str, typer.Option(help="How it is laid out; default: recognised.")] = "auto",
    split: Annotated[str | None, typer.Option(help="Which part, e.g. test; default: train.")] = None,
    num_classes: Annotated[
        int | None, typer.Option("--num-classes", min=1, help="Of the network that is to be trained.")
    ] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Of the cross-validation to be run.")] = None,
    mask_endings: Annotated[
        list[str] | None,
        typer.Option("--mask-ending", help="What a mask's name has after its image's; several times."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Report what a dataset holds and what is wrong with it; exit code 1 where it cannot be trained on."""
    from src_model.data.integrity import check_dataset

    control = ev.Control()
    stream = check_dataset(
        data,
        layout,
        split=split,
        num_classes=num_classes,
        folds=folds,
        mask_endings=tuple(mask_endings or ()),
        control=control,
    )
    try:
        last = follow(stream, control, as_json=as_json)
    except Stopped:
        raise typer.Exit(130) from None
    if not isinstance(last, ev.DatasetChecked):
        raise typer.Exit(130)
    if not as_json:
        show_report(last.report)
    if not last.report.trainable:
        raise typer.Exit(1)


def show_report(report: Integrity) -> None:
    """Print a report as tables."""
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in describe(report):
        facts.add_row(Text(name, style="bold"), Text(value))
    results.print(facts)
    results.print(_classes(report.classes))
    if report.problems:
        results.print(_problems(report.problems, report.root))
    verdict = "It can be trained on." if report.trainable else "It cannot be trained on."
    left_out = sum(problem.severity == "left out" for problem in report.problems)
    results.print(f"{verdict} Left out: {left_out}." if left_out else verdict)


def describe(report: Integrity) -> list[tuple[str, str]]:
    """What a report says of the dataset as a whole: a name and a value on each line."""
    how = "recognised" if report.recognised else "as asked"
    parts = [f"{part} (this)" if part == report.split else part for part in report.splits]
    lines = [
        ("folder", str(report.root)),
        ("layout", f"{report.layout}: {report.title} ({how})"),
        ("masks", {"semantic": "one class", "instances": "numbered objects"}.get(report.kind, "classes")),
        ("splits", ", ".join(parts) or "not divided"),
        ("pairs", f"{report.cases}, of which {report.usable} can be used"),
        ("patients", f"{report.groups} (or slides, or images of unknown origin)"),
    ]
    if report.sizes:
        smallest, median, largest = ("x".join(map(str, size)) for size in report.sizes)
        several = f"{smallest} to {largest}, median {median} ({report.distinct_sizes} sizes)"
        lines.append(("size", smallest if report.distinct_sizes == 1 else several))
    lines.append(("images", "; ".join(f"{pixels}: {count}" for pixels, count in report.pixels) or "none"))
    if report.spacing_mm is not None:
        lines.append(("voxel", " x ".join(f"{step:.3g}" for step in report.spacing_mm) + " mm (Z, Y, X)"))
    if report.objects is not None:
        fewest, median_count, most = report.objects
        lines.append(("objects", f"{fewest} to {most} in an image, median {median_count}"))
    if report.layout == "pairs":
        lines.append(("mask endings", " ".join(report.mask_endings)))
    return lines


def _classes(classes: tuple[ClassShare, ...]) -> Table:
    table = Table("number", "class", "images", "pixels")
    for item in classes:
        name = item.name or ("foreground" if len(classes) == 2 else f"class {item.value}")
        table.add_row(str(item.value), Text(name), str(item.images), f"{item.share:.2%}")
    return table


def _problems(problems: tuple[Problem, ...], root: Path) -> Table:
    table = Table("file", "", "what")
    for problem in problems:
        file = "" if problem.file is None else _relative(problem.file, root)
        style = {"error": "red", "left out": "yellow"}.get(problem.severity)
        table.add_row(Text(file), problem.severity, Text(problem.what), style=style)
    return table


def _relative(file: Path, root: Path) -> str:
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
