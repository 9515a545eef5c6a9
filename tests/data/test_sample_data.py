"""The sample data is whole, half of each stain, and its parts share no image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from src_model.data.image_io import read_image, read_mask
from src_model.data.layouts import find_cases

SAMPLES = Path(__file__).parents[2] / "sample_data"


@pytest.mark.parametrize(("split", "each"), [("train", 20), ("test", 6)])
def test_half_of_the_images_are_coloured_and_half_fluorescent(split: str, each: int) -> None:
    images = [read_image(case.image) for case in find_cases(SAMPLES / "nuclei", split=split).cases]

    coloured = [bool((image[..., 0] != image[..., 1]).any()) for image in images]

    assert (coloured.count(True), coloured.count(False)) == (each, each)
    assert all(
        image.mean() > 100 if colour else image.mean() < 60
        for image, colour in zip(images, coloured, strict=True)
    )


def test_nuclei_are_darker_than_stained_ground_and_brighter_than_black_ground() -> None:
    for case in find_cases(SAMPLES / "nuclei", split="test").cases:
        image, mask = read_image(case.image).mean(-1), read_mask(case.mask) > 0
        assert image.shape == mask.shape
        stained = image.mean() > 60
        assert (image[mask].mean() < image[~mask].mean()) == stained, case.id


def test_no_image_is_in_both_parts() -> None:
    parts = [
        {read_image(case.image).tobytes() for case in find_cases(SAMPLES / "nuclei", split=split).cases}
        for split in ("train", "test")
    ]

    assert (len(parts[0]), len(parts[1])) == (40, 12)
    assert not parts[0] & parts[1]


def test_source_and_licence_stand_beside_the_images() -> None:
    assert "BBBC038" in (SAMPLES / "README.md").read_text(encoding="utf-8")
    assert "CC0 1.0" in (SAMPLES / "LICENSE").read_text(encoding="utf-8")


def test_every_nucleus_has_its_own_number() -> None:
    from scipy.ndimage import label

    case = find_cases(SAMPLES / "nuclei", split="test").cases[0]
    mask = read_mask(case.mask)

    pieces = sum(label(mask == number)[1] for number in np.unique(mask)[1:])

    assert mask.max() > 1
    assert pieces <= 1.2 * (len(np.unique(mask)) - 1)
