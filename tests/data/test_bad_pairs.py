"""Pairs that cannot be trained on are refused in one sentence that names file, value and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src_model.config import DataConfig, ModelConfig
from src_model.data.store import load, load_all
from src_model.errors import DataError

RNG = np.random.default_rng(0)
RGB = ModelConfig()


def test_an_image_and_a_mask_of_different_sizes_are_named_with_both_sizes(write_case: Any) -> None:
    case = write_case(
        image=RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8), mask=np.eye(40, 60, dtype=np.uint8)
    )

    with pytest.raises(DataError, match=r"a\.png has 40x50 pixels but its mask .*a\.png has 40x60"):
        load(case, RGB)


@pytest.mark.parametrize("values", [(0, 255), (0, 1), (0, 1, 7, 9)], ids=str)
def test_any_numbers_are_fine_for_one_class(write_case: Any, values: tuple[int, ...]) -> None:
    mask = RNG.choice(np.array(values, np.uint8), (40, 50))

    np.testing.assert_array_equal(load(write_case(mask=mask), RGB).mask, mask > 0)


def test_an_unknown_class_is_named_with_the_file_and_the_remedy(write_case: Any) -> None:
    mask = np.eye(40, dtype=np.uint8) * 4

    with pytest.raises(DataError, match=r"a\.png holds the class 4 .* 3 classes.* set model.num_classes=5"):
        load(write_case(mask=mask), ModelConfig(num_classes=3))


def test_0_and_255_are_recognised_as_a_mask_of_one_class(write_case: Any) -> None:
    mask = np.eye(40, dtype=np.uint8) * 255

    with pytest.raises(DataError, match=r"a\.png holds only 0 and 255 .* set model.num_classes=1"):
        load(write_case(mask=mask), ModelConfig(num_classes=2))


def test_a_colour_mask_is_refused(write_case: Any) -> None:
    mask = RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8)

    with pytest.raises(DataError, match=r"masks.a\.png is a colour picture"):
        load(write_case(mask=mask), RGB)


def test_channels_that_do_not_fit_the_network_are_named(write_case: Any) -> None:
    image = RNG.integers(0, 255, (40, 50, 5), dtype=np.uint8)
    case = write_case(image=image, mask=np.eye(40, 50, dtype=np.uint8), suffix=".tif")

    with pytest.raises(DataError, match=r"a\.tif cannot be trained on: .*5 channels but the model expects 3"):
        load(case, RGB)


def test_a_stack_is_refused_with_the_remedy(write_case: Any) -> None:
    image = RNG.integers(0, 255, (6, 40, 50), dtype=np.uint8)
    case = write_case(image=image, mask=np.eye(40, 50, dtype=np.uint8), suffix=".tif")

    with pytest.raises(DataError, match=r"a\.tif .*6 .* files of their own"):
        load(case, RGB)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((40, 50), np.nan, np.float32), "only NaN"),
        (np.full((40, 50), 9, np.uint8), "value 9 everywhere"),
        (np.ones((40, 50), np.complex64), "complex"),
    ],
    ids=["nan", "constant", "complex"],
)
def test_an_image_without_content_is_refused_when_its_mask_has_objects(
    write_case: Any, image: np.ndarray, words: str
) -> None:
    case = write_case(image=image, mask=np.eye(40, 50, dtype=np.uint8), suffix=".tif")

    with pytest.raises(DataError, match=rf"images.a\.tif cannot be trained on: .*{words}"):
        load(case, RGB)


def test_an_empty_field_is_a_fair_example_of_background(write_case: Any) -> None:
    image, mask = np.full((40, 50, 3), 250, np.uint8), np.zeros((40, 50), np.uint8)

    stored = load(write_case(image=image, mask=mask), RGB)

    assert not stored.mask.any()
    np.testing.assert_allclose(stored.unit(), 250 / 255)


@pytest.mark.parametrize("which", ["image", "mask"])
@pytest.mark.parametrize("damage", ["zero bytes", "truncated"])
def test_a_damaged_file_among_good_ones_is_named(write_case: Any, which: str, damage: str) -> None:
    cases = [write_case(name) for name in "abc"]
    path: Path = getattr(cases[1], which)
    path.write_bytes(path.read_bytes()[: 0 if damage == "zero bytes" else 60])

    with pytest.raises(DataError, match=rf"{which}s.b\.png .*(truncated|0 bytes)"):
        load_all(cases, DataConfig(root=Path("unused")), RGB)


@pytest.mark.parametrize(
    ("shape", "in_channels"),
    [((40, 50), 3), ((40, 50, 4), 3), ((40, 50, 3), 1), ((40, 50), 1), ((40, 50, 3), 3)],
)
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_grey_colour_and_alpha_of_any_depth_fit_the_network(
    write_case: Any, shape: tuple[int, ...], in_channels: int, kind: str
) -> None:
    image = RNG.integers(0, 250, shape).astype(kind)
    case = write_case(image=image, mask=np.eye(40, 50, dtype=np.uint8), suffix=".tif")

    unit = load(case, ModelConfig(in_channels=in_channels)).unit()

    assert unit.shape == (40, 50, in_channels)
    assert unit.dtype == np.float32
    assert 0.0 <= unit.min() < unit.max() <= 1.0


def test_colours_stored_as_planes_are_put_last(write_case: Any) -> None:
    image = RNG.integers(0, 250, (3, 40, 50), dtype=np.uint8)
    case = write_case(image=image, mask=np.eye(40, 50, dtype=np.uint8), suffix=".tif")

    np.testing.assert_allclose(load(case, RGB).unit(), np.moveaxis(image, 0, -1) / 255, atol=1e-6)
