"""Augmentation changes image and mask together, reproducibly, and invents nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter

from src_model.config import AugmentConfig
from src_model.data.augment import augment

OFF = dict.fromkeys(AugmentConfig.model_fields, 0.0)
COLOUR = ("brightness_contrast", "gamma", "stain")
GEOMETRIC = tuple(name for name in OFF if name not in (*COLOUR, "zoom"))


def only(*names: str) -> AugmentConfig:
    return AugmentConfig(**{**OFF, **dict.fromkeys(names, 1.0)})


def disks(height: int = 64, width: int = 64) -> np.ndarray:
    """Mask with a large disk of class 1 and a smaller one of class 2, off the centre."""
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), np.int64)
    mask[(y - 26) ** 2 + (x - 24) ** 2 < 16**2] = 1
    mask[(y - 46) ** 2 + (x - 44) ** 2 < 9**2] = 2
    return mask


def pair(height: int = 64, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """An image whose intensity is half its mask, so that the two can be compared."""
    mask = disks(height, width)
    return np.stack([mask / 2.0] * 3).astype(np.float32), mask


def assert_agree(image: np.ndarray, mask: np.ndarray) -> None:
    """Equal, but within two pixels of a border, where bilinear sampling mixes what nearest does not."""
    inside = maximum_filter(mask, 5) == minimum_filter(mask, 5)
    inside[[0, 1, -2, -1]] = inside[:, [0, 1, -2, -1]] = False  # a border may lie just outside
    assert inside.mean() > 0.5
    np.testing.assert_allclose(image[inside], mask[inside], atol=1e-4)


@pytest.mark.parametrize("names", [*((name,) for name in GEOMETRIC), GEOMETRIC], ids="+".join)
@pytest.mark.parametrize("seed", range(4))
def test_the_mask_moves_with_the_image(names: tuple[str, ...], seed: int) -> None:
    image, mask = pair()

    moved, classes = augment(image, mask, only(*names), np.random.default_rng(seed))

    assert_agree(moved[0] * 2, classes)
    assert set(np.unique(classes)) <= {0, 1, 2}
    assert classes.dtype == np.int64


@pytest.mark.parametrize("name", GEOMETRIC)
def test_each_change_really_changes_the_mask(name: str) -> None:
    image, mask = pair()

    changed = [augment(image, mask, only(name), np.random.default_rng(seed))[1] for seed in range(4)]

    assert any((new != mask).mean() > 0.01 for new in changed)


def test_brightness_and_contrast_leave_the_mask_alone_and_stay_within_0_and_1() -> None:
    image, mask = pair()

    results = [augment(image, mask, only("brightness_contrast"), np.random.default_rng(s)) for s in range(8)]

    assert all((classes == mask).all() for _, classes in results)
    assert all(new.min() >= 0.0 and new.max() <= 1.0 for new, _ in results)
    assert all(np.abs(new - image).max() > 0.01 for new, _ in results)


@pytest.mark.parametrize("name", ["gamma", "stain"])
def test_changes_of_colour_leave_the_mask_alone_and_stay_within_0_and_1(name: str) -> None:
    image = np.random.default_rng(0).uniform(0.05, 0.95, (3, 32, 32)).astype(np.float32)
    mask = disks(32, 32)

    changed, classes = augment(image, mask, only(name), np.random.default_rng(1))

    assert changed.dtype == np.float32
    assert not np.allclose(changed, image, atol=1e-3)
    assert changed.min() >= 0.0
    assert changed.max() <= 1.0
    np.testing.assert_array_equal(classes, mask)


def test_a_gamma_keeps_black_white_and_the_order_between() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)

    changed, _ = augment(ramp, np.zeros((8, 8), np.int64), only("gamma"), np.random.default_rng(3))

    assert changed[0, 0, 0] == 0.0
    assert changed[0, -1, -1] == 1.0
    assert (np.diff(changed.ravel()) > 0).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_has_no_colour_is_not_stained(channels: int) -> None:
    grey = np.repeat(np.random.default_rng(0).random((1, 16, 16), np.float32), channels, axis=0)

    changed, _ = augment(grey, np.zeros((16, 16), np.int64), only("stain"), np.random.default_rng(1))

    np.testing.assert_array_equal(changed, grey)


def test_zoom_bounds_the_change_of_size() -> None:
    image, mask = pair()
    areas = {}
    for zoom in (0.0, 0.6):
        config = AugmentConfig(**{**OFF, "shift_scale_rotate": 1.0, "zoom": zoom})
        moved = [augment(image, mask, config, np.random.default_rng(s))[1] for s in range(12)]
        areas[zoom] = [(classes > 0).sum() / (mask > 0).sum() for classes in moved]

    assert max(abs(np.log(areas[0.0]))) < 0.25
    assert max(areas[0.6]) > 1.5
    assert min(areas[0.6]) < 0.7


def test_nothing_is_changed_when_every_probability_is_0() -> None:
    image, mask = pair(48, 64)

    same, classes = augment(image, mask, only(), np.random.default_rng(0))

    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(classes, mask)


def test_no_background_is_drawn_in_from_outside() -> None:
    image, mask = np.full((3, 48, 48), 0.7, np.float32), np.ones((48, 48), np.int64)

    for seed in range(10):
        filled, classes = augment(image, mask, only(*GEOMETRIC), np.random.default_rng(seed))
        np.testing.assert_allclose(filled, 0.7, atol=1e-4)
        assert (classes == 1).all()


def test_what_comes_in_at_the_border_is_its_reflection_in_image_and_mask() -> None:
    mask = np.zeros((64, 64), np.int64)
    mask[:8] = 1  # an object at the border
    image = mask[np.newaxis].astype(np.float32)

    for seed in range(10):
        moved, classes = augment(image, mask, only("shift_scale_rotate"), np.random.default_rng(seed))
        assert_agree(moved[0], classes)


def test_deformations_stay_small() -> None:
    height = width = 64
    y, x = np.mgrid[:height, :width].astype(np.float32) / 64
    image, mask = np.stack([y, x]), np.zeros((height, width), np.int64)

    for name, most in (("elastic", 8.0), ("grid_distortion", 12.0)):
        for seed in range(5):
            moved, _ = augment(image, mask, only(name), np.random.default_rng(seed))
            inner = np.abs(moved - image)[:, 8:-8, 8:-8] * 64
            assert 0.3 < inner.max() < most


def test_the_same_generator_gives_the_same_result_in_any_thread() -> None:
    image, mask = pair()
    config = only(*OFF)
    alone = [augment(image, mask, config, np.random.default_rng(seed)) for seed in range(16)]

    with ThreadPoolExecutor(4) as pool:
        together = list(
            pool.map(lambda seed: augment(image, mask, config, np.random.default_rng(seed)), range(16))
        )

    for (a, b), (c, d) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_the_global_random_states_are_neither_read_nor_moved() -> None:
    import random

    import torch

    image, mask = pair()
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())

    augment(image, mask, only(*OFF), np.random.default_rng(0))

    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_of_any_channels_and_shape_are_taken(channels: int) -> None:
    mask = disks(40, 72)
    image = np.random.default_rng(0).random((channels, 40, 72), dtype=np.float32)
    no_turn = AugmentConfig(**{**dict.fromkeys(OFF, 1.0), "rotate90": 0.0})

    changed, classes = augment(image, mask, no_turn, np.random.default_rng(1))

    assert changed.shape == (channels, 40, 72)
    assert changed.dtype == np.float32
    assert changed.flags.c_contiguous
    assert classes.shape == (40, 72)


def test_the_input_is_left_as_it_was() -> None:
    image, mask = pair()
    copies = image.copy(), mask.copy()

    augment(image, mask, only(*OFF), np.random.default_rng(0))

    np.testing.assert_array_equal(image, copies[0])
    np.testing.assert_array_equal(mask, copies[1])
