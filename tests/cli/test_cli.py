"""The command line keeps its contract: exit codes, one sentence for an error, pure JSON lines."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
from rich.console import Console

from src_model import events as ev
from src_model import list_models
from src_model.cli import main
from src_model.cli.follow import follow
from src_model.cli.profiles import show_profiles
from src_model.models.profile import ModelProfile

SMALL = ["data.image_size=32", "data.sampling=crop", "model.options={base_channels: 4, mixture_width: 8}"]
COMMAND = [sys.executable, "-c", "from src_model.cli import main; main()"]


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def utanet(*arguments: object) -> Done:
    """Run the command in this process, with its output and exit code as a user's terminal gets them."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["utanet", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six 48x48 images with a bright square each, and their masks."""
    root = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir()
    for number in range(6):
        image = rng.integers(0, 60, (48, 48, 3), dtype=np.uint8)
        mask = np.zeros((48, 48), np.uint8)
        y, x = rng.integers(4, 20, 2)
        mask[y : y + 20, x : x + 20] = 255
        image[mask > 0] += 150
        tifffile.imwrite(root / "images" / f"{number}.tif", image, photometric="rgb")
        tifffile.imwrite(root / "masks" / f"{number}.tif", mask)
    return root


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one short epoch in each stage."""
    folder = tmp_path_factory.mktemp("run") / "run"
    settings = ["stage1.epochs=1", "stage2.epochs=1", "batch_size=4", "precision=float32", *SMALL]
    options = [part for setting in settings for part in ("--set", setting)]
    done = utanet("train", "--data", pairs, "--out", folder, "--device", "cpu", "--json", *options)
    assert done.returncode == 0, done.stderr
    (folder / "stdout.jsonl").write_text(done.stdout)
    return folder


def test_training_prints_one_json_object_a_line_and_ends_with_run_finished(run: Path) -> None:
    events = [json.loads(line)["event"] for line in (run / "stdout.jsonl").read_text().splitlines()]

    assert events[0] == "run_started"
    assert events.count("epoch_finished") == 2
    assert events[-1] == "run_finished"


def test_a_trained_model_segments_a_folder_of_images(run: Path, pairs: Path, tmp_path: Path) -> None:
    done = utanet(
        "segment",
        pairs / "images",
        "--checkpoint",
        run / "model.safetensors",
        "--out",
        tmp_path,
        "--device",
        "cpu",
    )

    assert done.returncode == 0, done.stderr
    masks = sorted(tmp_path.iterdir())
    assert [mask.name for mask in masks] == [f"{n}_mask.tif" for n in range(6)]
    assert tifffile.imread(masks[0]).shape == (48, 48)
    assert tifffile.imread(masks[0]).dtype == np.uint8


def test_instances_are_written_as_32_bit_labels(run: Path, pairs: Path, tmp_path: Path) -> None:
    done = utanet(
        "segment",
        pairs / "images" / "0.tif",
        *("--checkpoint", run / "model.safetensors", "--out", tmp_path, "--instances", "--roi", "4,8,32,16"),
    )

    assert done.returncode == 0, done.stderr
    mask = tifffile.imread(tmp_path / "0_mask.tif")
    assert mask.dtype == np.uint32
    assert mask.shape == (16, 32)


def test_experts_are_written_with_their_routing(run: Path, pairs: Path, tmp_path: Path) -> None:
    done = utanet(
        "experts", pairs / "images" / "0.tif", "--checkpoint", run / "model.safetensors", "--out", tmp_path
    )

    assert done.returncode == 0, done.stderr
    assert tifffile.imread(tmp_path / "0_experts.tif").shape == (4, 24, 24)
    routing = json.loads((tmp_path / "0_routing.json").read_text())
    assert [sum(chosen) for chosen in routing["selected"]] == [2, 2, 2, 2]


def test_models_lists_every_architecture_as_json() -> None:
    done = utanet("models", "--size", 32, "--json")

    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    by_name = {row["name"]: row for row in rows}
    assert list(by_name) == list_models()
    assert by_name["utanet"]["parameters"] == 24_276_969 - 522_536
    assert by_name["utanet"]["top_k"] == 2
    assert by_name["unet"]["top_k"] is None


def test_models_prints_one_row_for_each_architecture_and_says_what_the_figures_mean() -> None:
    profiles = [_profile("utanet", top_k=2), _profile("unet", top_k=None)]
    out = io.StringIO()

    with redirect_stdout(out):
        show_profiles(profiles, ["utanet", "unet"], 224)

    text = out.getvalue()
    assert text.count("<= 1.50") == 1
    assert text.count("1.50") == 2
    assert "10^9 multiply-adds" in text
    assert "top-2" in text
    assert "3 threads" in text
    assert "measuring" not in text


def test_models_shows_what_was_measured_before_an_interruption() -> None:
    def measured() -> Iterator[ModelProfile]:
        yield _profile("utanet", top_k=2)
        raise KeyboardInterrupt

    out = io.StringIO()

    with redirect_stdout(out), pytest.raises(KeyboardInterrupt):
        show_profiles(measured(), ["utanet", "unet"], 224)

    assert "utanet" in out.getvalue()


def test_models_names_the_network_that_is_being_measured_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr("src_model.cli.profiles.results", terminal)

    show_profiles([_profile("utanet", top_k=2)], ["utanet"], 224)

    assert isinstance(terminal.file, io.StringIO)
    assert "measuring utanet (1 of 1)" in terminal.file.getvalue()


def _profile(name: str, top_k: int | None) -> ModelProfile:
    return ModelProfile(
        name=name,
        stage=2 if top_k else 1,
        parameters=2_000_000,
        mixture_parameters=1000 if top_k else 0,
        top_k=top_k,
        gmac=1.5,
        latency_ms=10.0,
        height=224,
        width=224,
        device="cpu",
        threads=3,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "--data", "/nowhere", "--out", "{tmp}/run"), "/nowhere"),
        (("train", "--out", "{tmp}/run"), "--data"),
        (("train", "--data", ".", "--out", "{tmp}/run", "--set", "stage1.epoch=3"), "stage1.epoch"),
        (
            ("segment", "missing.png", "--checkpoint", "none.safetensors", "--out", "{tmp}"),
            "none.safetensors",
        ),
        (("convert", "missing.pth", "--model", "utanet", "--out", "{tmp}/x.safetensors"), "missing.pth"),
    ],
)
def test_a_failure_is_one_sentence_and_exit_code_1(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    done = utanet(*(argument.format(tmp=tmp_path) for argument in arguments))

    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model.name=utanett", "did you mean 'utanet'"),
        ("model.name=u2net", "did you mean 'unet'"),
        ("model.top_k=9", "top_k must be a whole number from 1 to 4 (the number of experts) but got 9"),
        ("model.options.num_experts=1", "from 1 to 1 (the number of experts) but got 2"),
        ("model.options.base_channels=31", "base_channels must be an even number but got 31"),
        ("model.options.encoder=resnet50", "encoder must be one of 'resnet34'"),
        ("model.options.encodr=resnet18", "did you mean 'encoder'"),
        ("model.options.router_temperature=-1", "above 0 but got -1"),
        ("model.options.top_k=1", "'top_k' stands beside the options"),
        ("model.options.stage=2", "no option 'stage'"),
        ("model.encoder_weights=coco", "'model.encoder_weights' cannot be 'coco'"),
        ("device=tpu", "device 'tpu' is not available here"),
        ("classes=[{name: a}, {name: b}]", "2 classes by name"),
    ],
)
@pytest.mark.parametrize("stage", ["both", "first"])
def test_what_cannot_be_trained_is_told_before_any_data_is_looked_for(
    setting: str, words: str, stage: str, tmp_path: Path
) -> None:
    options = ("--set", f"stage={stage}", "--set", setting)

    done = utanet("train", "--data", "/nowhere", "--out", tmp_path / "run", *options)

    assert done.returncode == 1
    assert words in done.stderr
    assert "/nowhere" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", [("segment",), ("nonsense",), ("train", "--folds", "1", "--out", "x")])
def test_bad_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert utanet(*arguments).returncode == 2


def test_a_stop_signal_keeps_the_run_and_exits_with_130(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = ["stage1.epochs=500", *SMALL]
    options = [part for setting in settings for part in ("--set", setting)] + ["--device", "cpu", "--json"]
    process = subprocess.Popen(
        [*COMMAND, "train", "--data", str(pairs), "--out", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "epoch_finished":
            process.terminate()
            break
    rest, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert json.loads(rest.splitlines()[-1])["event"] == "run_stopped"
    assert (folder / "last.safetensors").is_file()


def test_a_download_is_one_line_when_it_is_complete(capfd: pytest.CaptureFixture[str]) -> None:
    begun = ev.Downloading(name="ImageNet weights", done=0, total=0)
    steps = [
        begun,
        *(ev.Downloading(name="ImageNet weights", done=n, total=87_000_000) for n in (9, 87_000_000)),
    ]

    follow(iter(steps), ev.Control(), as_json=False)
    shown = capfd.readouterr().err
    follow(iter(steps), ev.Control(), as_json=True)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    assert shown == "Fetched ImageNet weights (87 MB)\n"
    assert lines[1] == {"event": "downloading", "name": "ImageNet weights", "done": 9, "total": 87_000_000}


def test_messages_with_square_brackets_are_shown_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    follow(iter([ev.Warned(message="the file a[1].png is odd")]), ev.Control(), as_json=False)

    assert "a[1].png" in capfd.readouterr().err
