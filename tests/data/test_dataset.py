"""Samples depend on seed, stage, epoch and index alone, and show the images as they are configured."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src_model.config import AugmentConfig, DataConfig, ModelConfig, Normalisation
from src_model.data.dataset import TrainingSet, ValidationSet
from src_model.data.layouts import Case
from src_model.errors import DataError

OFF = AugmentConfig(**dict.fromkeys(AugmentConfig.model_fields, 0.0))
PLAIN = Normalisation(mean=(0.0,), std=(1.0,))


def training_set(
    cases: list[Case],
    *,
    seed: int = 0,
    augment: AugmentConfig = OFF,
    model: ModelConfig | None = None,
    normalisation: Normalisation | None = PLAIN,
    **data: Any,
) -> TrainingSet:
    config = DataConfig(**{"root": Path("unused"), "image_size": 32, "sampling": "crop", **data})
    return TrainingSet(cases, config, augment, model or ModelConfig(), seed, normalisation)


def numbered(height: int, width: int) -> np.ndarray:
    """A grey image in which every pixel has its own value, 16 bit."""
    return np.arange(height * width, dtype=np.uint16).reshape(height, width)


def test_a_sample_is_what_the_network_takes(write_case: Any) -> None:
    sample = training_set([write_case()], augment=AugmentConfig()).sample("1", 1, 0)

    assert (sample.image.shape, sample.image.dtype) == ((3, 32, 32), np.float32)
    assert (sample.mask.shape, sample.mask.dtype) == ((32, 32), np.int64)
    assert sample.image.flags.c_contiguous
    assert sample.case_id == "a"


def test_a_sample_depends_on_seed_stage_epoch_and_index_alone(write_case: Any) -> None:
    cases = [write_case("a"), write_case("b")]
    first = training_set(cases, augment=AugmentConfig(), crops_per_image=2)
    wanted = first.sample("2", 3, 1)
    for index in (3, 0):
        first.sample("1", 1, index)  # what came before must not matter

    again = training_set(cases, augment=AugmentConfig(), crops_per_image=2).sample("2", 3, 1)
    np.testing.assert_array_equal(again.image, wanted.image)
    np.testing.assert_array_equal(again.mask, wanted.mask)
    others = [first.sample("1", 3, 1), first.sample("2", 4, 1), first.sample("2", 3, 0)]
    others.append(training_set(cases, augment=AugmentConfig(), crops_per_image=2, seed=1).sample("2", 3, 1))
    assert all((other.image != wanted.image).any() for other in others)


def test_samples_made_in_several_threads_are_the_same(write_case: Any) -> None:
    samples = training_set([write_case()], augment=AugmentConfig(), crops_per_image=12)
    alone = [samples.sample("1", 1, i).image for i in range(12)]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: samples.sample("1", 1, i).image, range(12)))

    np.testing.assert_array_equal(alone, together)


def test_an_epoch_shows_every_image_equally_often_in_an_order_of_its_own(write_case: Any) -> None:
    samples = training_set([write_case(name) for name in "abcd"], crops_per_image=3)

    orders = [samples.order("1", epoch) for epoch in (1, 2)]
    shown = [samples.sample("1", 1, index).case_id for index in orders[0]]

    assert (len(samples), samples.length_per_epoch) == (4, 12)
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert orders[0] != orders[1]
    assert orders[0] == samples.order("1", 1)
    assert sorted(shown) == sorted("abcd" * 3)


def test_a_crop_is_a_part_of_the_image_at_native_resolution(write_case: Any) -> None:
    image = numbered(40, 48)
    case = write_case(image=image, mask=(image % 2).astype(np.uint8), suffix=".tif")
    samples = training_set([case], model=ModelConfig(in_channels=1), crops_per_image=30)
    low, high = np.percentile(image, (0.1, 99.9))

    corners = set()
    for index in range(30):
        sample = samples.sample("1", 1, index)
        values = np.rint(sample.image[0] * (high - low) + low).astype(int)
        y, x = divmod(int(values[16, 16]), 48)
        corners.add((y - 16, x - 16))
        inner = image[y - 14 : y + 14, x - 14 : x + 14]
        np.testing.assert_array_equal(values[2:-2, 2:-2], inner)
        np.testing.assert_array_equal(sample.mask[2:-2, 2:-2], inner % 2)
    assert len(corners) > 15
    assert all(0 <= y <= 8 and 0 <= x <= 16 for y, x in corners)


@pytest.mark.parametrize("shape", [(20, 26), (5, 60), (9, 2)])
def test_an_image_smaller_than_the_crop_is_continued_by_its_reflection(
    write_case: Any, shape: tuple[int, int]
) -> None:
    mask = np.random.default_rng(0).integers(0, 2, shape, dtype=np.uint8)
    case = write_case(image=mask * 200, mask=mask)

    sample = training_set([case], model=ModelConfig(in_channels=1)).sample("1", 1, 0)

    assert sample.mask.shape == (32, 32)
    np.testing.assert_allclose(sample.image[0], sample.mask * (200 / 255), atol=1e-6)
    assert 0 < sample.mask.mean() < 1


def test_resizing_shows_the_whole_image_and_keeps_the_mask_whole(write_case: Any) -> None:
    mask = np.zeros((96, 160), np.uint8)
    mask[24:72, 40:120] = 2
    case = write_case(image=np.stack([mask * 100] * 3, -1), mask=mask)

    sample = training_set([case], model=ModelConfig(num_classes=3), sampling="resize").sample("1", 1, 0)

    wanted = np.zeros((32, 32), int)
    wanted[8:24, 8:24] = 2
    np.testing.assert_array_equal(sample.mask, wanted)
    inside = wanted[9:23, 9:23] * 100 / 255
    np.testing.assert_allclose(sample.image[0, 9:23, 9:23], inside, atol=0.01)


def test_resizing_makes_no_new_classes(write_case: Any) -> None:
    y, x = np.mgrid[:75, :83]
    case = write_case(mask=np.where(y > x, 2, 0).astype(np.uint8))

    sample = training_set([case], model=ModelConfig(num_classes=3), sampling="resize").sample("1", 1, 0)

    assert set(np.unique(sample.mask)) == {0, 2}


def test_shrinking_averages_the_image_and_takes_the_middle_pixel_of_the_mask(write_case: Any) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (160, 96, 3), dtype=np.uint8)
    mask = rng.integers(0, 3, (160, 96), dtype=np.uint8)
    case = write_case(image=noise, mask=mask)

    sample = training_set([case], model=ModelConfig(num_classes=3), sampling="resize").sample("1", 1, 0)

    # 15 pixels become one: single ones would keep the deviation of 0.29
    assert sample.image.std() < 0.1
    np.testing.assert_array_equal(sample.mask, mask[2::5, 1::3])


def test_the_training_images_are_standardised_by_their_own_mean_and_deviation(write_case: Any) -> None:
    shape = (32, 32, 3)
    rng = np.random.default_rng(0)
    cases = [
        write_case(name, image=rng.integers(0, top, shape, dtype=np.uint8), mask=np.ones(shape[:2], np.uint8))
        for name, top in (("a", 60), ("b", 250))
    ]
    samples = training_set(cases, normalisation=None)

    images = np.stack([samples.sample("1", 1, i).image for i in range(2)])

    np.testing.assert_allclose(images.mean((0, 2, 3)), 0.0, atol=1e-4)
    np.testing.assert_allclose(images.std((0, 2, 3)), 1.0, atol=1e-3)


def test_with_one_class_every_object_is_foreground(write_case: Any) -> None:
    mask = np.zeros((32, 32), np.uint16)
    mask[:4], mask[8:12], mask[20:24] = 1, 255, 4000

    sample = training_set([write_case(mask=mask)]).sample("1", 1, 0)

    np.testing.assert_array_equal(sample.mask, mask > 0)


def test_validation_images_are_whole_and_unchanged_in_the_order_of_the_cases(write_case: Any) -> None:
    cases = [write_case("b", mask=np.eye(40, 50, dtype=np.uint8)), write_case("a")]
    config = DataConfig(root=Path("unused"), image_size=32, sampling="crop")

    validation = ValidationSet(cases, config, ModelConfig(), normalisation=PLAIN)

    first, second = list(validation)
    assert (first.case_id, second.case_id, len(validation)) == ("b", "a", 2)
    np.testing.assert_array_equal(first.mask, np.eye(40, 50))
    assert first.image.shape == (3, 40, 50)
    np.testing.assert_array_equal(validation[0].image, first.image)


def test_validation_images_are_resized_as_in_training(write_case: Any) -> None:
    config = DataConfig(root=Path("unused"), image_size=32, sampling="resize")
    case = write_case()

    (shown,) = ValidationSet([case], config, ModelConfig(), normalisation=PLAIN)

    learned = training_set([case], sampling="resize").sample("1", 1, 0)
    np.testing.assert_array_equal(shown.image, learned.image)
    np.testing.assert_array_equal(shown.mask, learned.mask)


def test_no_images_and_no_foreground_are_said(write_case: Any) -> None:
    with pytest.raises(DataError, match="no training image"):
        training_set([])
    with pytest.raises(DataError, match=r"None of the 1 training masks, .*a\.png, holds any foreground"):
        training_set([write_case(mask=np.zeros((40, 40), np.uint8))])
