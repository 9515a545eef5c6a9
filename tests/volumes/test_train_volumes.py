"""Training on volumes: domains in turn, a run that can be resumed, and a new domain for an old network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from src_model import segment
from src_model.config import TrainConfig
from src_model.errors import CheckpointError, ConfigError, DataError
from src_model.events import (
    Control,
    EpochFinished,
    Event,
    RunFinished,
    RunStarted,
    RunStopped,
    SegmentationFinished,
    StepFinished,
)
from src_model.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from src_model.models.registry import create_model
from src_model.nested import merge
from src_model.training.domains import with_domains
from src_model.training.sources import load_sources
from src_model.training.trainer import train

MakeConfig = Callable[..., TrainConfig]


@pytest.fixture
def make_config(decathlon: Path, tmp_path: Path) -> MakeConfig:
    """A tiny 3D U2-Net on the cubes, or ``model``; changes are laid over the rest."""

    def make(out: str = "run", *, model: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
        values = {
            "data": {"root": decathlon, "validation_fraction": 0.34},
            "out": tmp_path / out,
            "model": model or {"name": "u2net3d", "options": {"base_channels": 4, "poolings": [1, 1, 1]}},
            "volume": {"patch_size": [8, 8, 8], "patches_per_volume": 2},
            "stage1": {"epochs": 2, "learning_rate": 3e-3, "weight_decay": 0.0},
            "batch_size": 2,
            "device": "cpu",
        }
        return TrainConfig.parse(merge(values, changes))

    return make


@pytest.fixture
def spheres(decathlon: Path) -> Path:
    """Another dataset: two foreground classes, and one case more."""
    root = decathlon.with_name("Task98_Spheres")
    shutil.copytree(decathlon, root)
    description = json.loads((root / "dataset.json").read_text())
    description |= {"name": "Spheres", "labels": {"0": "background", "1": "core", "2": "shell"}}
    for part in ("imagesTr", "labelsTr"):
        shutil.copy(root / part / "cube_0.nii.gz", root / part / "cube_3.nii.gz")
    description["training"].append({"image": "./imagesTr/cube_3.nii.gz", "label": "./labelsTr/cube_3.nii.gz"})
    (root / "dataset.json").write_text(json.dumps(description))
    return root


def last_of(config: TrainConfig, **options: Any) -> tuple[list[Event], Event]:
    events = list(train(config, **options))
    return events, events[-1]


def probability(volume: np.ndarray, checkpoint: Checkpoint, domain: str) -> np.ndarray:
    last = list(segment(volume, checkpoint, domain=domain, probability=True, device="cpu"))[-1]
    assert isinstance(last, SegmentationFinished)
    assert last.results[0].probability is not None
    return last.results[0].probability


def test_a_folder_of_volumes_gives_a_checkpoint_that_knows_its_domain(make_config: MakeConfig) -> None:
    events, last = last_of(make_config())

    assert isinstance(last, RunFinished)
    started = next(event for event in events if isinstance(event, RunStarted))
    assert (started.train_images, started.validation_images, started.stages) == (2, 1, ("1",))
    checkpoint = load_checkpoint(last.checkpoint)
    assert checkpoint.config["options"]["domains"] == {"cubes": {"in_channels": 1, "num_classes": 2}}
    info = checkpoint.domains["cubes"]
    assert [item.name for item in info.classes] == ["cube"]
    assert info.spacing_mm == (1.0, 1.0, 1.0)
    assert checkpoint.training["patch_size"] == [8, 8, 8]


def test_several_datasets_are_one_domain_each_and_take_turns(make_config: MakeConfig, spheres: Path) -> None:
    config = with_domains(make_config(data={"more_roots": [spheres]}))

    sources = load_sources(config)
    batches = sources.batches("1", 1, 2)

    domains = [{sources.training.sample("1", 1, index).domain for index in batch} for batch in batches]
    assert domains[:4] == [{"cubes"}, {"spheres"}, {"cubes"}, {"spheres"}]
    assert all(len(found) == 1 for found in domains)
    counts = [
        sum(len(b) for b, d in zip(batches, domains, strict=True) if d == {n}) for n in ("cubes", "spheres")
    ]
    assert counts[0] == counts[1]
    assert sorted(i for batch in batches for i in batch) == list(range(sum(counts)))


def test_the_dice_of_a_run_is_the_mean_of_its_domains(make_config: MakeConfig, spheres: Path) -> None:
    events, _ = last_of(make_config(data={"more_roots": [spheres]}, stage1={"epochs": 1}))

    epoch = next(event for event in events if isinstance(event, EpochFinished))
    assert epoch.domain_dice is not None
    assert list(epoch.domain_dice) == ["cubes", "spheres"]
    assert epoch.dice == pytest.approx(np.mean(list(epoch.domain_dice.values())))


def test_a_stopped_run_ends_with_the_same_weights_as_an_undisturbed_one(make_config: MakeConfig) -> None:
    _, whole = last_of(make_config("whole"))
    control = Control()
    for event in train(make_config("parts"), control=control):
        if isinstance(event, StepFinished) and event.epoch == 2:
            control.stop()
    assert isinstance(event, RunStopped)

    _, resumed = last_of(make_config("parts", resume=True))

    assert isinstance(whole, RunFinished)
    assert isinstance(resumed, RunFinished)
    weights = [load_checkpoint(run.checkpoint).model.state_dict() for run in (whole, resumed)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_new_domain_learns_and_the_old_one_stays_bit_equal(make_config: MakeConfig, spheres: Path) -> None:
    _, first = last_of(make_config("first"))
    assert isinstance(first, RunFinished)
    adapt = {"name": "u2net3d", "adapt_from": first.checkpoint}
    volume = np.random.default_rng(0).normal(100, 20, (9, 10, 11)).astype(np.float32)
    before = load_checkpoint(first.checkpoint)
    wider = {"patch_size": [12, 12, 12]}
    config = make_config("second", model=adapt, data={"root": spheres}, volume=wider)

    events, second = last_of(config)

    assert isinstance(second, RunFinished)
    after = load_checkpoint(second.checkpoint)
    old_domain = [probability(volume, checkpoint, "cubes") for checkpoint in (before, after)]
    np.testing.assert_array_equal(*old_domain)
    assert probability(volume, after, "spheres").shape == (2, 9, 10, 11)
    assert list(after.domains) == ["cubes", "spheres"]
    assert [item.name for item in after.domains["spheres"].classes] == ["core", "shell"]
    old, new = before.model.state_dict(), after.model.state_dict()
    assert all(torch.equal(old[key], new[key]) for key in old)
    epochs = [event for event in events if isinstance(event, EpochFinished)]
    assert epochs[-1].train_loss < epochs[0].train_loss


def test_what_cannot_be_adapted_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    _, first = last_of(make_config("first", stage1={"epochs": 1}))
    assert isinstance(first, RunFinished)
    flat = save_checkpoint(tmp_path / "flat.safetensors", create_model("unet", base_channels=4))

    def adapting(path: Path, **options: Any) -> TrainConfig:
        return make_config("second", model={"name": "u2net3d", "adapt_from": path, "options": options})

    with pytest.raises(ConfigError, match="has a domain 'cubes' already"):
        list(train(adapting(first.checkpoint)))
    with pytest.raises(CheckpointError, match=r"holds the network 'unet' but 'u2net3d' is to be adapted"):
        list(train(adapting(flat)))


def test_networks_and_datasets_that_do_not_fit_each_other_are_refused(
    make_config: MakeConfig, decathlon: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="takes flat images; choose one for volumes: u2net3d"):
        list(train(make_config("a", model={"name": "unet"})))
    with pytest.raises(ConfigError, match=r"has no domains, so data\.more_roots must be left out"):
        list(train(make_config("b", model={"name": "unet"}, data={"more_roots": [decathlon]})))
    with pytest.raises(ConfigError, match="Two datasets are named 'cubes'"):
        list(train(make_config("c", data={"more_roots": [decathlon]})))
    with pytest.raises(DataError, match=r"no dataset of volumes.*for flat images choose one of: utanet"):
        list(train(make_config("d", data={"root": tmp_path})))
    with pytest.raises(DataError, match="There is no folder"):
        list(train(make_config("d", data={"root": tmp_path / "nowhere"})))
    with pytest.raises(ConfigError, match="The layout 'pairs' is one of flat images"):
        list(train(make_config("e", data={"layout": "pairs"})))
    with pytest.raises(ConfigError, match=r"named by each dataset's dataset\.json"):
        list(train(make_config("f", classes=[{"name": "x"}])))
