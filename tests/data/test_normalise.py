"""Intensities become 0 to 1, channels those of the network, and a dataset mean 0 and deviation 1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from src_model.config import Normalisation
from src_model.data.normalise import match_channels, measure, standardise, to_unit, unit_limits
from src_model.errors import ImageError

RNG = np.random.default_rng(0)


def test_8_bit_images_are_divided_by_255_whatever_their_range() -> None:
    np.testing.assert_allclose(to_unit(np.array([[0, 51]], np.uint8)), [[0.0, 0.2]])


def test_8_bit_images_are_stretched_where_asked_for_but_noise_is_not() -> None:
    dim = np.tile(np.arange(10, 60, dtype=np.uint8), (50, 1))
    noise = np.tile(np.arange(4, 8, dtype=np.uint8), (50, 1))

    low, high = unit_limits(dim, stretch=True)

    assert (low, high) == pytest.approx((10, 59), abs=0.5)
    assert unit_limits(noise, stretch=True) == (4.0, 20.0)
    assert unit_limits(np.zeros((4, 4), np.uint8), stretch=True) == (0.0, 16.0)


def test_boolean_images_become_0_and_1() -> None:
    assert to_unit(np.array([[False, True]])).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("kind", ["uint16", "int32", "float32", "float64"])
def test_other_images_are_stretched_between_their_percentiles(kind: str) -> None:
    image = np.arange(10_000).reshape(100, 100).astype(kind)
    image[0, 0], image[-1, -1] = 0, 60_000  # a hot pixel

    unit = to_unit(image)

    assert unit.dtype == np.float32
    assert unit.min() == 0.0
    assert unit.max() == 1.0
    assert unit[50, 0] == pytest.approx(0.5, abs=0.01)


def test_a_shift_and_a_gain_of_a_camera_make_no_difference() -> None:
    image = RNG.integers(0, 1000, (64, 64)).astype(np.uint16)

    np.testing.assert_allclose(to_unit(image), to_unit(image * 7 + 300), atol=1e-5)


def test_nan_and_infinity_become_the_ends_of_the_range() -> None:
    image = RNG.random((64, 64))
    image[0, :3] = np.nan, np.inf, -np.inf

    unit = to_unit(image)

    assert unit[0, :3].tolist() == [0.0, 1.0, 0.0]
    assert np.isfinite(unit).all()


def test_a_sparse_image_keeps_its_few_bright_pixels() -> None:
    image = np.zeros((200, 200), np.uint16)
    image[0, 0] = 9

    assert to_unit(image).max() == 1.0


def test_a_constant_image_stays_finite() -> None:
    assert to_unit(np.full((4, 4), 900, np.uint16)).tolist() == [[0.0] * 4] * 4


def test_a_part_scaled_by_the_limits_of_the_whole_equals_the_part_of_the_scaled_whole() -> None:
    image = RNG.integers(0, 4000, (50, 50)).astype(np.uint16)

    part = to_unit(image[10:20, 5:9], unit_limits(image))

    np.testing.assert_array_equal(part, to_unit(image)[10:20, 5:9])


@pytest.mark.parametrize(
    "image",
    [
        np.array([[1e300, -1e300], [0, 1]]),
        np.array([[3e38, -3e38], [0, 1]], np.float32),
        np.array([[6e4, -6e4], [0, 1]], np.float16),
        np.array([[1e-40, 2e-40], [0, 3e-40]], np.float32),
        np.array([[0, 2**63], [1, 2]], np.uint64),
        np.array([[-(2**63), 2**62], [1, 2]], np.int64),
    ],
    ids=lambda image: f"{image.dtype} up to {image.max():g}",
)
def test_the_greatest_and_smallest_numbers_are_scaled_without_a_warning(image: np.ndarray) -> None:
    unit = to_unit(image)

    assert (unit.min(), unit.max()) == (0.0, 1.0)
    assert unit.ravel().argsort(stable=True)[-1] == image.argmax()


@pytest.mark.parametrize("kind", ["int32", "uint32", "float64"])
def test_a_small_range_far_from_0_keeps_its_steps(kind: str) -> None:
    image = (np.arange(101) + 1_000_000_000).reshape(1, -1).astype(kind)

    np.testing.assert_allclose(to_unit(image)[0, 1:-1], np.arange(1, 100) / 100, atol=2e-3)


@pytest.mark.parametrize("value", [0.0, -5.0, 1e20, -1e300, np.nan, np.inf])
def test_a_constant_image_of_any_value_stays_finite(value: float) -> None:
    assert np.isfinite(to_unit(np.full((4, 4), value))).all()


@settings(max_examples=60)
@given(
    arrays(
        st.sampled_from(
            ["bool", "uint8", "int16", "uint16", "int32", "int64", "float16", "float32", "float64"]
        ),
        array_shapes(min_dims=2, max_dims=3, max_side=6),
    )
)
def test_every_image_becomes_finite_numbers_between_0_and_1_in_the_same_order(image: np.ndarray) -> None:
    unit = to_unit(image)

    assert (unit.shape, unit.dtype) == (image.shape, np.float32)
    assert ((unit >= 0) & (unit <= 1)).all()
    finite = np.isfinite(image)
    order = np.argsort(image[finite], kind="stable")
    assert (np.diff(unit[finite][order]) >= 0).all()


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_the_image_itself_is_left_as_it_was(kind: str) -> None:
    image = RNG.integers(0, 200, (8, 8)).astype(kind)
    before = image.copy()

    to_unit(image)

    np.testing.assert_array_equal(image, before)


def test_a_grey_image_is_repeated_for_an_rgb_model() -> None:
    grey = RNG.random((4, 5, 1), dtype=np.float32)

    matched = match_channels(grey, 3)

    assert matched.shape == (4, 5, 3)
    np.testing.assert_array_equal(matched[..., 2], grey[..., 0])


def test_alpha_is_dropped_for_an_rgb_model() -> None:
    rgba = RNG.random((4, 5, 4), dtype=np.float32)

    np.testing.assert_array_equal(match_channels(rgba, 3), rgba[..., :3])


def test_rgb_becomes_luminance_for_a_grey_model() -> None:
    rgb = np.broadcast_to(np.float32([1.0, 0.0, 0.0]), (2, 4, 5, 3))

    matched = match_channels(rgb, 1)

    assert matched.shape == (2, 4, 5, 1)
    np.testing.assert_allclose(matched, 0.2125, atol=1e-6)


def test_alpha_does_not_count_for_a_grey_model() -> None:
    rgba = RNG.random((4, 5, 4), dtype=np.float32)

    np.testing.assert_array_equal(match_channels(rgba, 1), match_channels(rgba[..., :3], 1))


def test_channels_that_fit_are_left_alone() -> None:
    image = RNG.random((4, 5, 5), dtype=np.float32)

    assert match_channels(image, 5) is image


@pytest.mark.parametrize(("channels", "wanted"), [(5, 3), (2, 1), (3, 5), (1, 2)])
def test_channels_that_do_not_fit_are_named(channels: int, wanted: int) -> None:
    words = f"has {channels} channels but the model expects {wanted}"
    with pytest.raises(ImageError, match=words):
        match_channels(np.zeros((4, 5, channels), np.float32), wanted)


def test_a_measured_set_has_mean_0_and_deviation_1_after_standardising() -> None:
    images = [RNG.random((n, 9, 3), dtype=np.float32) * [0.2, 0.5, 1.0] for n in (7, 20)]
    images = [image.astype(np.float32) for image in images]

    normalisation = measure(images)
    values = np.concatenate([standardise(i, normalisation).reshape(-1, 3) for i in images])

    np.testing.assert_allclose(values.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(values.std(0), 1.0, atol=1e-5)


def test_images_without_contrast_get_no_huge_values() -> None:
    normalisation = measure([np.full((4, 4, 1), 0.3, np.float32)])

    assert normalisation.std[0] > 0
    np.testing.assert_allclose(
        standardise(np.full((4, 4, 1), 0.3, np.float32), normalisation), 0.0, atol=1e-3
    )


def test_one_mean_serves_all_channels_but_two_do_not_serve_three() -> None:
    rgb = np.full((2, 2, 3), 0.75, np.float32)

    assert standardise(rgb, Normalisation(mean=(0.5,), std=(0.25,))).tolist() == [[[1.0] * 3] * 2] * 2
    with pytest.raises(ImageError, match="3 channels but the model's normalisation has 2"):
        standardise(rgb, Normalisation(mean=(0.5, 0.5), std=(1.0, 1.0)))
