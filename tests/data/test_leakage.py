"""A picture is known again whatever file it lies in, and is never learned from and scored on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from src_model.data.image_io import read_image
from src_model.data.layouts import Case
from src_model.data.leakage import case_digest, image_digest, refuse_leaks
from src_model.errors import DataError

Save = Callable[[str, NDArray[Any]], Path]


def case(path: Path) -> Case:
    return Case(path.stem, path, path, path.stem)


def test_the_same_pixels_have_one_digest_in_every_file_format(tmp_path: Path, colour: NDArray[Any]) -> None:
    for name, options in (("a.png", {"compress_level": 1}), ("b.png", {"compress_level": 9}), ("c.bmp", {})):
        Image.fromarray(colour).save(tmp_path / name, **options)
    tifffile.imwrite(tmp_path / "d.tif", colour, compression="zlib", photometric="rgb")

    digests = {image_digest(read_image(path)) for path in tmp_path.iterdir()}

    assert len(digests) == 1
    assert len(digests.pop() or "") == 16


def test_grey_is_the_same_once_or_as_three_colours_of_any_type_with_or_without_opacity(
    colour: NDArray[Any],
) -> None:
    grey = colour[..., 0]
    forms = (
        grey,
        grey[..., None],
        np.stack([grey] * 3, -1),
        grey.astype(np.uint16),
        grey.astype(np.int64),
        np.stack([grey, grey, grey, 255 - grey], -1),
    )

    assert len({image_digest(form) for form in forms}) == 1


def test_other_pixels_and_other_places_have_another_digest(colour: NDArray[Any]) -> None:
    changed = colour.copy()
    changed[3, 4, 1] ^= 1

    assert len({image_digest(form) for form in (colour, changed, colour[::-1], colour[:, ::-1])}) == 4
    assert image_digest(np.arange(12).reshape(3, 4)) != image_digest(np.arange(12).reshape(4, 3))


def test_an_empty_field_is_no_copy_of_another(colour: NDArray[Any]) -> None:
    assert image_digest(np.full_like(colour, 7)) is None


def test_cases_are_compared_by_the_pixels_of_their_images(save: Save, colour: NDArray[Any]) -> None:
    learned, copy = case(save("train/a.png", colour)), case(save("test/x.bmp", colour))
    mirrored = case(save("test/y.png", colour[:, ::-1]))

    assert case_digest(learned) == case_digest(copy) != case_digest(mirrored)


class Shown:
    """A picture as training holds it."""

    def __init__(self, place: str, digest: str | None) -> None:
        self.place, self.digest = place, digest


def test_a_picture_on_both_sides_is_refused_with_both_files() -> None:
    with pytest.raises(DataError, match=r"a\.png and b\.png are the same picture"):
        refuse_leaks([Shown("a.png", "12"), Shown("c.png", "34")], [Shown("b.png", "12")])


def test_copies_on_one_side_and_empty_fields_are_let_through() -> None:
    refuse_leaks([Shown("a.png", "12"), Shown("b.png", "12"), Shown("c.png", None)], [Shown("d.png", None)])
