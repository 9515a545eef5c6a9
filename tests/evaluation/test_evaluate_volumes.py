"""Evaluating volumes: slices of one file scored together, and NIfTI volumes in millimetres."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
import torch

from src_model import segment
from src_model.config import ClassInfo, DomainInfo
from src_model.data.layouts.synapse import ORGANS, RAW_LABELS
from src_model.data.volumes import read_mask_volume
from src_model.errors import ConfigError
from src_model.evaluation.evaluate import evaluate
from src_model.evaluation.events import EvaluationFinished, EvaluationStarted
from src_model.events import Event, SegmentationFinished, TileFinished, Warned
from src_model.metrics.pixel import dice
from src_model.metrics.surface import hd95
from src_model.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from src_model.models.registry import create_model

MakeCheckpoint = Callable[..., Checkpoint]

SHAPE = (4, 12, 14)


def organs(seed: int) -> np.ndarray:
    """Volume of classes 0 to 8 in blocks of two pixels; its first plane is empty."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 9, (SHAPE[0], SHAPE[1] // 2, SHAPE[2] // 2)).repeat(2, 1).repeat(2, 2)
    truth[0] = 0
    return truth.astype(np.uint8)


def spoiled(truth: np.ndarray) -> np.ndarray:
    """What the network is made to see: some pixels are those of another organ."""
    seen = truth.copy()
    seen[1:, :3] = np.where(seen[1:, :3] > 0, 9 - seen[1:, :3], 0)
    return seen


def finished(events: list[Event]) -> EvaluationFinished:
    last = events[-1]
    assert isinstance(last, EvaluationFinished)
    return last


@pytest.fixture
def synapse(tmp_path: Path) -> Path:
    """Two volumes as the usual preparation holds them for testing."""
    folder = tmp_path / "Synapse" / "test_vol_h5"
    folder.mkdir(parents=True)
    for number in (1, 2):
        with h5py.File(folder / f"case000{number}.npy.h5", "w") as file:
            file["image"] = (spoiled(organs(number)) / 8).astype(np.float32)
            file["label"] = organs(number).astype(np.float32)
    return folder.parent


def test_the_slices_of_a_volume_are_scored_as_one_volume(synapse: Path, levels: MakeCheckpoint) -> None:
    events = list(evaluate(synapse, levels(9), device="cpu"))

    rows = finished(events).rows
    assert [row.case for row in rows] == ["case0001"] * 8 + ["case0002"] * 8
    assert [row.label for row in rows[:8]] == list(ORGANS)
    truth = organs(2)
    for number, row in enumerate(rows[8:], start=1):
        assert row.dice == dice(spoiled(truth) == number, truth == number)
        assert row.hd95 == hd95(spoiled(truth) == number, truth == number)
        assert row.hd95_unit == "px"
    assert 0 < rows[8].dice < 1
    started = events[0]
    assert isinstance(started, EvaluationStarted)
    assert (started.layout, started.split, started.cases) == ("synapse", "test", 2)
    tiles = [event for event in events if isinstance(event, TileFinished)]
    assert [(tile.source, tile.done, tile.total) for tile in tiles[:4]] == [
        ("case0001", n, 4) for n in (1, 2, 3, 4)
    ]


def test_slices_at_the_training_resolution_are_stacked_at_that_size(
    synapse: Path, levels: MakeCheckpoint, tmp_path: Path
) -> None:
    checkpoint = levels(9, training={"sampling": "resize", "image_size": 28})

    events = list(evaluate(synapse, checkpoint, device="cpu", resolution="training", out=tmp_path / "out"))

    assert len(finished(events).rows) == 16
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "image and truth resized to 28 x 28 pixels" in page
    assert "slice " in page


def test_a_volume_with_an_unreadable_slice_is_left_out_as_a_whole(
    synapse: Path, levels: MakeCheckpoint
) -> None:
    with h5py.File(synapse / "test_vol_h5" / "case0001.npy.h5", "a") as file:
        del file["label"]
        file["label"] = np.full(SHAPE, 0.5, np.float32)

    events = list(evaluate(synapse, levels(9), device="cpu"))

    assert finished(events).left_out == ("case0001",)
    assert {row.case for row in finished(events).rows} == {"case0002"}


def test_raw_slices_are_windowed_and_measured_in_millimetres(tmp_path: Path, levels: MakeCheckpoint) -> None:
    truth = organs(0)
    raw_of = {organ: RAW_LABELS.index(organ) for organ in range(1, 9)} | {0: 0}
    stored = np.vectorize(raw_of.get)(truth).astype(np.uint8)
    hounsfield = (-125 + 50 * spoiled(truth).astype(np.int16)).astype(np.int16)
    affine = np.diag([0.5, 0.7, 3.0, 1.0])
    for folder, name, values in (("img", "img0007", hounsfield), ("label", "label0007", stored)):
        (tmp_path / "raw" / folder).mkdir(parents=True)
        image = nib.Nifti1Image(values.transpose(2, 1, 0), affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, tmp_path / "raw" / folder / f"{name}.nii.gz")

    rows = finished(list(evaluate(tmp_path / "raw", levels(9), device="cpu"))).rows

    assert [row.label for row in rows] == list(ORGANS)
    for number, row in enumerate(rows, start=1):
        seen, true = spoiled(truth) == number, truth == number
        assert row.dice == dice(seen, true)
        assert row.hd95 == pytest.approx(hd95(seen, true, (3.0, 0.7, 0.5)))
        assert row.hd95_unit == "mm"


@pytest.fixture
def cubes(tmp_path: Path) -> Path:
    """Two cases of a Decathlon task with voxels of 1 x 1 x 2.5 mm."""
    root = tmp_path / "Task99_Cubes"
    rng = np.random.default_rng(0)
    training = []
    for number in range(2):
        image = rng.normal(100, 10, (12, 11 + number, 9)).astype(np.float32)
        mask = np.zeros(image.shape, np.uint8)
        mask[2:5, 3:7, 4:8], mask[6:9, 3:7, 2:6] = 1, 2
        image += 80 * mask
        entry = {"image": f"./imagesTr/cube_{number}.nii.gz", "label": f"./labelsTr/cube_{number}.nii.gz"}
        for kind, values in (("image", image), ("label", mask)):
            path = root / entry[kind]
            path.parent.mkdir(parents=True, exist_ok=True)
            stored = nib.Nifti1Image(values, np.diag([1.0, 1.0, 2.5, 1.0]))
            stored.header.set_xyzt_units("mm")
            nib.save(stored, path)
        training.append(entry)
    labels = {"0": "background", "1": "left", "2": "right"}
    description = {"name": "Cubes", "modality": {"0": "MRI"}, "labels": labels, "training": training}
    (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return root


@pytest.fixture
def universal(tmp_path: Path) -> Callable[..., Checkpoint]:
    """Makes a checkpoint of a small 3D U2-Net with the named domains."""

    def make(*domains: str) -> Checkpoint:
        torch.manual_seed(0)
        sizes = {name: {"in_channels": 1, "num_classes": 3} for name in domains}
        model = create_model("u2net3d", domains=sizes, base_channels=4, poolings=(1, 1, 1))
        infos = {name: DomainInfo(classes=(ClassInfo(name="l"), ClassInfo(name="r"))) for name in domains[:1]}
        path = tmp_path / "model.safetensors"
        save_checkpoint(path, model, domains=infos, training={"patch_size": (8, 8, 8)})
        return load_checkpoint(path)

    return make


def events_of(data: Path, checkpoint: Checkpoint, **options: Any) -> list[Event]:
    return list(evaluate(data, checkpoint, device="cpu", precision="float32", **options))


def test_volumes_are_scored_in_millimetres_as_segment_gives_them(
    cubes: Path, universal: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    checkpoint = universal("heart", "cubes")

    last = finished(events_of(cubes, checkpoint, out=tmp_path / "out"))

    source = cubes / "imagesTr" / "cube_1.nii.gz"
    mine = list(segment(source, checkpoint, domain="cubes", device="cpu", precision="float32"))[-1]
    assert isinstance(mine, SegmentationFinished)
    mask = mine.results[0].mask
    truth = read_mask_volume(cubes / "labelsTr" / "cube_1.nii.gz").values[0]
    assert mask is not None
    assert [(row.case, row.label) for row in last.rows[2:]] == [("cube_1", "left"), ("cube_1", "right")]
    for number, row in enumerate(last.rows[2:], start=1):
        assert row.dice == dice(mask == number, truth == number)
        assert row.hd95 == pytest.approx(hd95(mask == number, truth == number, (2.5, 1.0, 1.0)))
        assert row.hd95_unit == "mm"
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_domain_is_named_like_the_dataset_or_by_the_caller(
    cubes: Path, universal: Callable[..., Checkpoint]
) -> None:
    with pytest.raises(
        ConfigError, match=r"no domain 'cubes', after which the dataset is named; .*heart, liver"
    ):
        events_of(cubes, universal("heart", "liver"))

    by_name = finished(events_of(cubes, universal("heart", "liver"), domain="heart"))
    by_number = finished(events_of(cubes, universal("heart", "liver"), domain=0))
    only = finished(events_of(cubes, universal("heart")))

    assert by_name.rows == by_number.rows
    assert len(only.rows) == 4


def test_names_of_classes_that_differ_from_those_of_the_dataset_are_pointed_out(
    cubes: Path, universal: Callable[..., Checkpoint]
) -> None:
    events = events_of(cubes, universal("cubes"))

    assert [row.label for row in finished(events).rows[:2]] == ["l", "r"]
    notes = [event.message for event in events if isinstance(event, Warned)]
    assert any("classes are l, r but those of" in note and "left, right" in note for note in notes)


def test_a_mask_on_another_grid_is_left_out(cubes: Path, universal: Callable[..., Checkpoint]) -> None:
    path = cubes / "labelsTr" / "cube_0.nii.gz"
    moved = nib.Nifti1Image(np.asarray(nib.load(path).dataobj), np.diag([1.0, 1.0, 5.0, 1.0]))
    nib.save(moved, path)

    events = events_of(cubes, universal("cubes"))

    assert finished(events).left_out == ("cube_0",)
    notes = [event.message for event in events if isinstance(event, Warned)]
    assert any("cube_0.nii.gz does not lie on the voxels of" in note for note in notes)


def test_a_network_for_images_and_a_dataset_of_volumes_do_not_fit(
    cubes: Path, synapse: Path, levels: MakeCheckpoint, universal: Callable[..., Checkpoint]
) -> None:
    with pytest.raises(ConfigError, match="holds volumes but the network 'unet' takes flat images"):
        events_of(cubes, levels())
    with pytest.raises(ConfigError, match="holds flat images but the network 'u2net3d' takes volumes"):
        events_of(synapse, universal("cubes"))
