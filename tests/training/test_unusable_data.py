"""A run goes on with what can be used, names the rest, and never scores on what it learns from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from src_model.config import TrainConfig
from src_model.data.layouts import find_cases
from src_model.data.leakage import case_digest
from src_model.errors import DataError
from src_model.events import RunFinished, RunStarted, Warned
from src_model.models.checkpoint import load_checkpoint
from src_model.training.domains import with_domains
from src_model.training.sources import load_sources
from src_model.training.trainer import train

MakeConfig = Callable[..., TrainConfig]


@pytest.fixture
def spoilt(tmp_path: Path, write_pairs: Callable[..., Path]) -> Path:
    """Eight pairs of which the image of one is truncated."""
    root = write_pairs(tmp_path / "spoilt")
    path = root / "images" / "case3.png"
    path.write_bytes(path.read_bytes()[:60])
    return root


def test_a_pair_that_cannot_be_used_is_left_out_with_a_warning(spoilt: Path, make_config: MakeConfig) -> None:
    config = make_config(stage="first", stage1={"epochs": 1}, data={"root": spoilt})

    events = list(train(config))

    started = next(event for event in events if isinstance(event, RunStarted))
    assert started.train_images + started.validation_images == 7
    (warned,) = [event.message for event in events if isinstance(event, Warned)]
    assert warned.startswith("Left out because it cannot be read, it is truncated or damaged")
    assert warned.endswith("case3.png.")
    assert isinstance(events[-1], RunFinished)


def test_every_fold_leaves_the_same_pair_out(spoilt: Path, make_config: MakeConfig) -> None:
    held_out = []
    for fold in range(7):
        sources = load_sources(make_config(data={"root": spoilt, "folds": 7, "fold": fold}))
        held_out += [sample.case_id for sample in sources.validation]

    assert sorted(held_out) == [f"case{number}" for number in range(8) if number != 3]


def test_a_folder_of_which_too_little_can_be_used_is_refused(spoilt: Path, make_config: MakeConfig) -> None:
    for file in sorted((spoilt / "labels").iterdir())[1:]:
        file.write_bytes(b"")

    with pytest.raises(DataError, match=r"at least two images of different origin .* but got 1"):
        load_sources(make_config(data={"root": spoilt}))


def test_a_class_above_those_of_the_network_in_most_masks_is_a_mistake_of_the_settings(
    tmp_path: Path, write_pairs: Callable[..., Path], make_config: MakeConfig
) -> None:
    root = write_pairs(tmp_path / "three", classes=3)

    with pytest.raises(DataError, match=r"holds the class 3 .* set model\.num_classes=4"):
        load_sources(make_config(data={"root": root}, model={"num_classes": 3}))


def test_one_mask_with_an_unknown_class_is_left_out(
    tmp_path: Path, write_pairs: Callable[..., Path], make_config: MakeConfig
) -> None:
    root = write_pairs(tmp_path / "two", classes=2)
    with Image.open(root / "labels" / "case5.png") as picture:
        Image.fromarray(np.asarray(picture) * 2).save(root / "labels" / "case5.png")

    sources = load_sources(make_config(data={"root": root}, model={"num_classes": 3}))

    assert len(sources.training) + len(sources.validation) == 7
    assert "holds the class 4" in sources.warnings[0]


def test_a_picture_that_would_be_learned_from_and_scored_on_is_refused(
    tmp_path: Path, write_pairs: Callable[..., Path], make_config: MakeConfig
) -> None:
    root = write_pairs(tmp_path / "twice", pairs=2)
    with Image.open(root / "images" / "case0.png") as picture:
        picture.save(root / "images" / "case1.png", compress_level=1)

    with pytest.raises(DataError, match=r"case\d\.png and .*case\d\.png are the same picture"):
        load_sources(make_config(data={"root": root}))


@pytest.mark.parametrize("sampling", ["crop", "resize"])
def test_a_checkpoint_knows_the_pictures_that_it_was_trained_on(
    make_config: MakeConfig, sampling: str
) -> None:
    config = make_config(stage="first", stage1={"epochs": 1}, data={"sampling": sampling})
    learned = load_sources(config).image_hashes

    *_, finished = train(config)

    assert isinstance(finished, RunFinished)
    known = {case_digest(case) for case in find_cases(config.data.root).cases}
    stored = load_checkpoint(finished.checkpoint).training["image_hashes"]
    assert stored == list(learned)
    assert len(stored) == 6
    assert set(stored) < known


def test_a_volume_that_cannot_be_used_is_left_out_with_a_warning(tmp_path: Path) -> None:
    sources = load_sources(_volumes(tmp_path, 4, broken=True))

    assert len(sources.training) + len(sources.validation) == 3
    assert "v1.nii" in sources.warnings[0]
    assert len(sources.image_hashes) == len(sources.training)


def test_a_volume_on_both_sides_is_refused(tmp_path: Path) -> None:
    config = _volumes(tmp_path, 2)
    shutil.copy(tmp_path / "imagesTr" / "v0.nii", tmp_path / "imagesTr" / "v1.nii")

    with pytest.raises(DataError, match=r"v\d\.nii and .*v\d\.nii are the same picture"):
        load_sources(config)


def _volumes(root: Path, count: int, *, broken: bool = False) -> TrainConfig:
    """A small dataset of the decathlon and its configuration."""
    rng = np.random.default_rng(0)
    entries: list[dict[str, str]] = []
    for number in range(count):
        mask = np.zeros((8, 9, 10), np.uint8)
        mask[2:5, 2:5, 2:5] = 1
        for folder, values in (("imagesTr", rng.normal(100, 10, mask.shape)), ("labelsTr", mask)):
            (root / folder).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(values.astype(np.float32), np.eye(4)), root / folder / f"v{number}.nii")
        entries.append({"image": f"./imagesTr/v{number}.nii", "label": f"./labelsTr/v{number}.nii"})
    description = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "cube"}, "training": entries}
    (root / "dataset.json").write_text(json.dumps(description))
    if broken:
        (root / "imagesTr" / "v1.nii").write_bytes(b"\0" * 400)
    values: dict[str, Any] = {
        "data": {"root": root, "validation_fraction": 0.34},
        "out": root / "run",
        "model": {"name": "u2net3d", "options": {"base_channels": 4, "poolings": [1, 1, 1]}},
        "volume": {"patch_size": [8, 8, 8]},
        "device": "cpu",
    }
    return with_domains(TrainConfig.parse(values))
