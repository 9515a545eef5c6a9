"""The commands themselves: arguments to requests, requests to engines."""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from src_model import __version__
from src_model import events as ev
from src_model.cli.follow import follow, results
from src_model.cli.profiles import show_profiles
from src_model.cli.settings import Assignments, ConfigFile, Protocol, merged_settings
from src_model.config import TrainConfig
from src_model.errors import ConfigError
from src_model.nested import merge

app = typer.Typer(
    name="utanet",
    help="Segment images with UTANet, train your own model in two stages, look inside its experts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Flips = Annotated[
    bool, typer.Option("--flips", help="Mean over four mirrorings of each image; four times slower.")
]
TopK = Annotated[int | None, typer.Option("--top-k", min=1, help="Experts mixed; default: as trained.")]
CheckpointFile = Annotated[
    Path, typer.Option("--checkpoint", help="A model made by `utanet train` or `convert`.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"utanet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def models(
    size: Annotated[int, typer.Option(min=32, max=2048, help="Side of the measured input, pixels.")] = 224,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """List the architectures: parameters, GMAC (10^9 multiply-adds) and latency on this machine.

    With a mixture of experts GMAC and latency are those of an image that needs as many experts as
    the routers can choose.
    """
    from src_model.models.profile import profile_model
    from src_model.models.registry import create_model, list_models

    names = list_models()
    profiles = (profile_model(create_model(name), height=size, width=size, device=device) for name in names)
    if not as_json:
        show_profiles(profiles, names, size)
        return
    for profile in profiles:
        sys.stdout.write(json.dumps(asdict(profile)) + "\n")
        sys.stdout.flush()


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Run directory; holds all that is needed to resume.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of the dataset; several times for a network with domains (u2net3d)."),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="How the dataset is laid out; default: recognised.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Architecture; see `utanet models`.")] = None,
    protocol: Protocol = "paper",
    config: ConfigFile = None,
    assignments: Assignments = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Cross-validation with that many folds; default: the protocol's."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out ended.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network in two stages; Ctrl-C keeps everything up to the last epoch."""
    given: dict[str, Any] = {"layout": layout, "folds": folds}
    if data:
        given |= {"root": data[0], "more_roots": data[1:]}
    settings: dict[str, Any] = {"data": {k: v for k, v in given.items() if v is not None}, "out": out}
    if model is not None:
        settings["model"] = {"name": model}
    if device is not None:
        settings["device"] = device
    own_file = out / "config.yaml"
    base = own_file if resume and config is None and own_file.is_file() else None
    values = merged_settings(protocol, config, settings, assignments, base=base)
    values["resume"] = resume
    if "root" not in values["data"]:
        raise ConfigError("No dataset was given; name its folder with --data.")
    count = values["data"].get("folds")
    if not isinstance(count, int) or "fold" in values["data"]:
        _train_one(values, as_json)
        return
    scores = [_train_one(_for_fold(values, fold, out), as_json) for fold in range(count)]
    results.print(
        f"Validation Dice over {count} folds: {statistics.mean(scores):.4f} +- {statistics.stdev(scores):.4f}"
    )


def _for_fold(values: dict[str, Any], fold: int, out: Path) -> dict[str, Any]:
    folder = out / f"fold-{fold + 1}"
    resume = values["resume"] and folder.exists()
    return merge(values, {"out": folder, "data": {"fold": fold}, "resume": resume})


def _train_one(values: dict[str, Any], as_json: bool) -> float:
    config = TrainConfig.parse(values)
    from src_model.training.trainer import train as engine

    control = ev.Control()
    last = follow(engine(config, control=control), control, as_json=as_json)
    if isinstance(last, ev.RunFinished):
        return last.dice
    raise typer.Exit(130)


@app.command()
def experts(
    image: Annotated[Path, typer.Argument(metavar="INPUT", help="One image.")],
    checkpoint: CheckpointFile,
    out: Annotated[Path, typer.Option(help="Folder for <stem>_experts.tif and <stem>_routing.json.")],
    top_k: TopK = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write one heat map per expert and the routers' weights for an image."""
    from src_model.inference.explain import explain, write_explanation

    explanation = explain(image, checkpoint, top_k=top_k, device=device)
    maps, routing = write_explanation(explanation, out, image.stem)
    if as_json:
        sys.stdout.write(json.dumps({"experts": str(maps), "routing": str(routing)}) + "\n")
        return
    table = Table("router", *(f"expert {e + 1}" for e in range(len(explanation.expert_maps))))
    for number, (weights, chosen) in enumerate(
        zip(explanation.routing_weights, explanation.selected, strict=True), start=1
    ):
        cells = (f"[bold]{w:.3f} *[/]" if c else f"{w:.3f}" for w, c in zip(weights, chosen, strict=True))
        table.add_row(str(number), *cells)
    results.print(table)
    results.print(f"{maps}\n{routing}", markup=False, soft_wrap=True)


@app.command()
def convert(
    published: Annotated[
        Path, typer.Argument(metavar="PUBLISHED.pth", help="Weights of the published code.")
    ],
    model: Annotated[str, typer.Option(help="Architecture, e.g. utanet.")],
    out: Annotated[Path, typer.Option(help="The checkpoint to write, *.safetensors.")],
    as_json: Json = False,
) -> None:
    """Turn a published .pth file into a checkpoint; no code in the file is run."""
    from src_model.models.checkpoint import save_checkpoint
    from src_model.models.published import convert_published

    path = save_checkpoint(
        out, convert_published(published, model), training={"converted_from": published.name}
    )
    if as_json:
        sys.stdout.write(json.dumps({"checkpoint": str(path)}) + "\n")
    else:
        results.print(f"Wrote {path}", markup=False, soft_wrap=True)
