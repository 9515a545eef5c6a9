"""Patches of volumes: pure functions of their number, and checks of the files before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src_model.config import Normalisation
from src_model.data.case import Case
from src_model.data.decathlon import read_decathlon
from src_model.data.volume_augment import VolumeAugment, draw_patch
from src_model.data.volume_intensity import measure_volumes, standardise_volume, volume_to_unit
from src_model.data.volume_set import VolumeSet
from src_model.errors import ConfigError, DataError, ImageError

WriteVolume = Callable[..., Path]
STILL = VolumeAugment(flip=0, affine=0, intensity=0, noise=0)


def make(root: Path, **arguments: Any) -> VolumeSet:
    return VolumeSet(read_decathlon(root).cases, **{"patch_size": (6, 6, 6), "num_classes": 2, **arguments})


def test_a_patch_depends_on_its_number_alone(decathlon: Path) -> None:
    first, second = make(decathlon, seed=7), make(decathlon, seed=7)
    second.sample("other", 4, 0)
    np.random.seed(5)

    samples = [volumes.sample("stage1", 3, 2) for volumes in (first, second)]

    assert np.array_equal(samples[0].image, samples[1].image)
    assert np.array_equal(samples[0].mask, samples[1].mask)
    assert samples[0].case_id == "cube_2"


@pytest.mark.parametrize("other", [("stage2", 3, 2), ("stage1", 4, 2), ("stage1", 3, 5)])
def test_another_stage_epoch_index_or_seed_gives_another_patch(
    decathlon: Path, other: tuple[str, int, int]
) -> None:
    volumes = make(decathlon, seed=7, patches_per_epoch=6)
    base = volumes.sample("stage1", 3, 2).image

    assert not np.array_equal(volumes.sample(*other).image, base)
    again = make(decathlon, seed=8, patches_per_epoch=6)
    assert not np.array_equal(again.sample("stage1", 3, 2).image, base)


def test_patches_have_the_types_and_sizes_of_the_network(decathlon: Path) -> None:
    sample = make(decathlon, patch_size=(16, 4, 12)).sample(1, 0, 0)  # longer than the volume too

    assert (sample.image.shape, sample.image.dtype) == ((1, 16, 4, 12), np.float32)
    assert (sample.mask.shape, sample.mask.dtype) == ((16, 4, 12), np.int64)
    assert set(np.unique(sample.mask)) <= {0, 1}


def test_every_patch_of_share_one_holds_foreground(decathlon: Path) -> None:
    volumes = make(decathlon, foreground_share=1.0, patch_size=(3, 3, 3), augment=STILL)

    assert all(volumes.sample(1, epoch, 0).mask.any() for epoch in range(20))


def test_image_and_mask_move_together(decathlon: Path) -> None:
    augment = VolumeAugment(flip=1.0, affine=1.0, intensity=0, noise=0)
    volumes = make(decathlon, augment=augment, patch_size=(9, 9, 9), foreground_share=1.0)

    samples = [volumes.sample(1, epoch, 0) for epoch in range(8)]

    inside = np.mean([sample.image[0][sample.mask == 1].mean() for sample in samples])
    outside = np.mean([sample.image[0][sample.mask == 0].mean() for sample in samples])
    assert inside > outside + 1


def test_without_changes_a_patch_is_a_cut_of_the_volume(decathlon: Path) -> None:
    volumes = make(decathlon, augment=STILL)
    sample, whole = volumes.sample(1, 0, 1), volumes.whole(1)

    windows = np.lib.stride_tricks.sliding_window_view(whole.image[0], (6, 6, 6))

    assert (windows == sample.image[0]).all(axis=(-3, -2, -1)).sum() == 1


def test_an_epoch_visits_every_patch_once_in_its_own_order(decathlon: Path) -> None:
    volumes = make(decathlon, patches_per_epoch=12)

    orders = [volumes.order("stage1", epoch) for epoch in (0, 1)]

    assert volumes.length_per_epoch == 12
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert orders[0] != orders[1]
    assert orders[0] == volumes.order("stage1", 0)
    with pytest.raises(IndexError, match="below 12 but got 12"):
        volumes.sample(1, 0, 12)


def test_a_volume_without_foreground_still_gives_patches(write_volume: WriteVolume) -> None:
    image = write_volume("i.nii", np.random.default_rng(0).random((8, 8, 8)).astype(np.float32))
    mask = write_volume("m.nii", np.zeros((8, 8, 8), np.uint8))

    sample = VolumeSet([Case("a", image, mask, "a")], patch_size=(4, 4, 4), num_classes=2).sample(1, 0, 0)

    assert not sample.mask.any()


def test_with_one_class_every_label_is_foreground(write_volume: WriteVolume) -> None:
    image = write_volume("i.nii", np.random.default_rng(0).random((4, 4, 4)).astype(np.float32))
    mask = write_volume("m.nii", np.full((4, 4, 4), 200, np.uint8))

    volumes = VolumeSet([Case("a", image, mask, "a")], patch_size=(4, 4, 4), num_classes=1)

    assert set(np.unique(volumes.whole(0).mask)) == {1}


def test_the_normalisation_is_measured_or_taken(decathlon: Path) -> None:
    measured = make(decathlon)
    given = make(decathlon, normalisation=Normalisation(mean=(0.0,), std=(1.0,)))

    voxels = np.concatenate([measured.whole(place).image.ravel() for place in range(3)])
    assert voxels.mean() == pytest.approx(0, abs=1e-4)
    assert voxels.std() == pytest.approx(1, abs=1e-3)
    assert given.whole(0).image.min() == 0.0
    assert given.whole(0).image.max() == 1.0


@pytest.mark.parametrize(
    ("mask", "affine", "sentence"),
    [
        (np.zeros((4, 4, 5), np.uint8), np.eye(4), r"has \(4, 4, 4\) voxels but its mask .* has \(5, 4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), np.diag([2.0, 1, 1, 1]), "lies elsewhere"),
        (np.full((4, 4, 4), 3, np.uint8), np.eye(4), "holds class 3; expected 0 to 1"),
        (np.full((4, 4, 4), -1, np.int16), np.eye(4), "holds class -1; expected 0 to 1"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(
    write_volume: WriteVolume, mask: np.ndarray, affine: np.ndarray, sentence: str
) -> None:
    image = write_volume("i.nii", np.random.default_rng(0).random((4, 4, 4)).astype(np.float32))
    case = Case("a", image, write_volume("m.nii", mask, affine), "a")

    with pytest.raises(DataError, match=sentence):
        VolumeSet([case], patch_size=(2, 2, 2), num_classes=2)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"patch_size": (4, 4)}, ConfigError, "patch_size must be three"),
        ({"patches_per_epoch": 0}, ConfigError, "patches_per_epoch must be at least 1"),
        ({"foreground_share": 1.5}, ConfigError, "foreground_share must be from 0 to 1"),
        ({"in_channels": 2}, DataError, "has 1 channels; expected 2"),
    ],
)
def test_a_setting_out_of_bounds_is_refused(
    decathlon: Path, arguments: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        make(decathlon, **arguments)


def test_no_case_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="no volume to train on"):
        VolumeSet([], patch_size=(2, 2, 2), num_classes=2)


def test_intensities_of_each_channel_are_stretched_on_their_own() -> None:
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(0, 1, (5, 5, 5)), rng.normal(1e4, 1e3, (5, 5, 5)), np.full((5, 5, 5), 7.0)])
    values[0, 0, 0, 0] = np.nan

    unit = volume_to_unit(values)

    assert [float(channel.min()) for channel in unit] == [0, 0, 0]
    assert [float(channel.max()) for channel in unit] == [1, 1, 0]
    assert unit[0, 0, 0, 0] == 0
    assert measure_volumes([unit]).std[2] == 1.0


def test_volumes_that_cannot_be_normalised_are_refused() -> None:
    unit = np.zeros((2, 3, 3, 3), np.float32)

    with pytest.raises(ImageError, match="no finite voxel"):
        volume_to_unit(np.full((1, 2, 2, 2), np.nan))
    with pytest.raises(ImageError, match="with voxels"):
        volume_to_unit(np.zeros((1, 0, 2, 2)))
    with pytest.raises(ImageError, match="at least one volume"):
        measure_volumes([])
    with pytest.raises(ImageError, match="2 channels but the ones before have 1"):
        measure_volumes([unit[:1], unit])
    with pytest.raises(ImageError, match="2 channels but the normalisation has 3"):
        standardise_volume(unit, Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3))


@pytest.mark.parametrize("shape", [(1, 9, 20), (2, 3, 20), (5, 6, 7)])
def test_a_volume_much_thinner_than_the_patch_is_mirrored_as_often_as_needed(
    shape: tuple[int, int, int],
) -> None:
    mask = np.arange(np.prod(shape)).reshape(shape) % 3
    image = mask[None].astype(np.float32)

    patch, labels = draw_patch(image, mask, (16, 16, 16), STILL, foreground_share=0.5, seed=0)

    assert patch.shape == (1, 16, 16, 16)
    np.testing.assert_array_equal(patch[0], labels)
