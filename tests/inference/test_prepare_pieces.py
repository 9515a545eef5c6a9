"""A tile is read and prepared some rows at a time; without contrast it is not prepared at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from src_model.config import Normalisation
from src_model.inference.prepare import Preparation, fill, fill_from

PREPARE = Preparation((0.0, 255.0), 3, Normalisation())


def picture(height: int = 100) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, 40, 3), np.uint8)


def in_pieces(image: NDArray[Any], *ends: int) -> Iterator[tuple[int, NDArray[Any]]]:
    for first, end in zip((0, *ends), (*ends, len(image)), strict=True):
        yield first, image[first:end]


def whole(image: NDArray[Any]) -> torch.Tensor:
    sample = torch.full((3, *image.shape[:2]), torch.nan)
    fill(sample, image, PREPARE)
    return sample


@pytest.mark.parametrize("ends", [(), (33,), (1, 64, 99)], ids=str)
def test_pieces_are_prepared_like_the_whole(ends: tuple[int, ...]) -> None:
    sample = torch.full((3, 100, 40), torch.nan)

    assert fill_from(sample, in_pieces(picture(), *ends), PREPARE) is None
    assert torch.equal(sample, whole(picture()))


@pytest.mark.parametrize("first", [0, 40, 70])
def test_rows_that_are_blank_before_the_first_contrast_are_prepared_too(first: int) -> None:
    image = picture()
    image[:first] = 9
    sample = torch.full((3, 100, 40), torch.nan)

    assert fill_from(sample, in_pieces(image, 40, 70), PREPARE) is None
    assert torch.equal(sample, whole(image))


def test_pieces_that_are_blank_each_but_differ_have_contrast() -> None:
    image = np.full((100, 40, 3), 7, np.uint8)
    image[40:] = 200
    sample = torch.full((3, 100, 40), torch.nan)

    assert fill_from(sample, in_pieces(image, 40), PREPARE) is None
    assert torch.equal(sample, whole(image))


def test_an_image_without_contrast_is_left_out() -> None:
    image = np.full((100, 40, 3), 7, np.uint8)
    sample = torch.full((3, 100, 40), torch.nan)

    pixel = fill_from(sample, in_pieces(image, 30, 60), PREPARE)

    assert pixel is not None
    assert pixel.tolist() == [[[7, 7, 7]]]
    assert sample.isnan().all()
