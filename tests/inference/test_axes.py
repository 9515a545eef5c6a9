"""Naming and guessing the axes of an image."""

from __future__ import annotations

import numpy as np
import pytest

from src_model.errors import ImageError
from src_model.inference.axes import find_layout, guess_axes


@pytest.mark.parametrize(
    ("shape", "in_channels", "expected"),
    [
        ((64, 80), 3, "YX"),
        ((64, 80, 3), 3, "YXC"),
        ((64, 80, 4), 3, "YXC"),
        ((64, 80, 5), 3, "YXC"),
        ((64, 80, 1), 1, "YXC"),
        ((4, 4, 3), 3, "YXC"),
        ((5, 64, 80), 3, "ZYX"),
        ((5, 64, 80), 5, "CYX"),
        ((3, 64, 80), 3, "CYX"),
        ((3, 64, 80), 1, "ZYX"),
        ((7, 3, 64, 80), 3, "ZCYX"),
        ((7, 64, 80, 3), 3, "ZYXC"),
        ((2, 7, 64, 80), 1, "TZYX"),
        ((7, 6, 64, 80), 6, "ZCYX"),
        ((2, 7, 64, 80, 3), 3, "TZYXC"),
    ],
)
def test_the_axes_are_guessed_from_the_shape(shape: tuple[int, ...], in_channels: int, expected: str) -> None:
    assert guess_axes(shape, in_channels=in_channels) == expected


def test_planes_come_in_order_with_channels_last() -> None:
    array = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)

    layout = find_layout(array.shape, "tcyzx")
    planes = dict(layout.planes(array))

    assert (layout.plane_axes, layout.plane_shape) == ("TZ", (2, 5))
    assert (layout.height, layout.width, layout.channels) == (4, 6, 3)
    assert list(planes) == [(t, z) for t in range(2) for z in range(5)]
    np.testing.assert_array_equal(planes[1, 2], np.moveaxis(array[1, :, :, 2], 0, -1))


def test_a_plane_is_a_view_that_copies_nothing() -> None:
    array = np.zeros((3, 8, 9), np.uint8)

    planes = [plane for _, plane in find_layout(array.shape, "ZYX").planes(array)]

    assert all(np.shares_memory(plane, array) for plane in planes)
    assert planes[0].shape == (8, 9, 1)


@pytest.mark.parametrize("axes", ["YXX", "ZYC", "Y X", "", "YX1"])
def test_axes_that_make_no_sense_are_refused(axes: str) -> None:
    with pytest.raises(ImageError, match=f"The axes '{axes}' are not understood"):
        find_layout((5, 6, 7), axes)


def test_axes_of_another_number_name_both_numbers() -> None:
    with pytest.raises(ImageError, match=r"'YX' name 2 axes but the image has 3: shape \(5, 6, 7\)"):
        find_layout((5, 6, 7), "YX")


@pytest.mark.parametrize("shape", [(), (7,), (2,) * 8])
def test_an_array_that_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="shape"):
        find_layout(shape)
