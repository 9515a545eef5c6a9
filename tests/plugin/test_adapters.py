"""Layers to requests and results to layers, without a window."""

from pathlib import Path
from unittest.mock import Mock

import dask.array
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels, Points

from napari_utanet.adapters.from_layer import from_layer, plane_of_layer
from napari_utanet.adapters.pairs import DrawnPair, draw_preview, export_pair
from napari_utanet.adapters.placement import Placement
from napari_utanet.adapters.to_layer import checksum, expert_layers, mask_layer
from src_model.config import ClassInfo, named_classes
from src_model.errors import DataError, ImageError


@pytest.mark.parametrize(
    ("shape", "options", "stack", "axes", "mask_shape"),
    [
        ((20, 30), {}, "planes", "YX", (20, 30)),
        ((20, 30, 3), {"rgb": True}, "planes", "YXC", (20, 30)),
        ((5, 20, 30, 4), {"rgb": True}, "planes", "ZYXC", (5, 20, 30)),
        ((5, 20, 30), {}, "planes", "ZYX", (5, 20, 30)),
        ((5, 20, 30), {}, "channels", "CYX", (20, 30)),
        ((5, 20, 30), {"axis_labels": ("c", "y", "x")}, "planes", "CYX", (20, 30)),
        ((4, 5, 20, 30), {"axis_labels": ("t", "channel", "y", "x")}, "planes", "ZCYX", (4, 20, 30)),
        ((2, 4, 20, 30), {}, "planes", "TZYX", (2, 4, 20, 30)),
    ],
)
def test_each_axis_of_a_layer_is_named(shape, options, stack, axes, mask_shape) -> None:
    layer = Image(np.zeros(shape, np.uint8), **options)

    request = from_layer(layer, stack=stack)

    assert request.axes == axes
    assert request.shape == mask_shape
    assert request.placement.ndim == len(mask_shape)


def test_a_request_does_not_change_with_its_layer() -> None:
    layer = Image(np.zeros((8, 8)), name="before", scale=(2, 2))
    request = from_layer(layer)

    layer.data[:] = 7
    layer.name = "after"
    layer.scale = (1, 1)

    assert request.read().max() == 0
    assert request.name == "before"
    assert list(request.placement.scale) == [2, 2]


def test_a_lazy_array_is_not_computed_before_it_is_read() -> None:
    data = dask.array.zeros((64, 64), chunks=32)

    request = from_layer(Image(data))

    assert not isinstance(request.data, np.ndarray)
    assert isinstance(request.read(), np.ndarray)


@pytest.mark.parametrize("layer", [Labels(np.zeros((4, 4), int), name="a"), Points([[1, 2]], name="a")])
def test_a_layer_of_another_kind_is_refused_by_name(layer) -> None:
    with pytest.raises(ImageError, match=r"The layer 'a' is a (Labels|Points) layer; choose an image layer"):
        from_layer(layer)


def test_an_empty_layer_is_refused() -> None:
    layer = Mock(spec=Image, multiscale=False, data=np.zeros((0, 5)), ndim=2)
    layer.name = "nothing"

    with pytest.raises(ImageError, match="The layer 'nothing' has no pixels"):
        from_layer(layer)


def test_the_nearest_plane_is_taken_from_a_scaled_stack() -> None:
    layer = Image(np.arange(5)[:, None, None] * np.ones((5, 4, 4)), scale=(3, 1, 1), translate=(10, 0, 0))

    request = plane_of_layer(layer, (16.4, 0, 0))

    assert request.read().shape == (1, 4, 4)
    assert request.read().max() == 2
    assert list(request.placement.translate) == [16, 0, 0]


def test_a_channel_axis_is_taken_out_of_a_sheared_placement() -> None:
    layer = Image(np.zeros((3, 8, 9)), scale=(1, 2, 3), translate=(0, 5, 6), shear=[0, 0, 0.4])
    flat = Image(np.zeros((8, 9)), scale=(2, 3), translate=(5, 6), shear=[0.4])

    placed = Image(np.zeros((8, 9)), **Placement.of_layer(layer).without_axis(0).as_arguments())

    assert np.allclose(placed.data_to_world((3, 4)), flat.data_to_world((3, 4)))


@settings(max_examples=25)
@given(
    angle=st.floats(-180, 180),
    shear=st.floats(-1, 1),
    scale=st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)),
    grid=st.tuples(st.floats(0.5, 8), st.floats(-3, 3)),
    pixel=st.tuples(st.integers(0, 50), st.integers(0, 50)),
)
def test_a_grid_lies_over_its_image_under_any_transform(angle, shear, scale, grid, pixel) -> None:
    image = Image(np.zeros((4, 4)), scale=scale, rotate=angle, shear=[shear], translate=(3, -2))
    step, offset = grid

    placement = Placement.of_layer(image).of_grid((step, step), (offset, offset))

    over = Image(np.zeros((4, 4)), **placement.as_arguments())
    expected = image.data_to_world(offset + step * np.array(pixel))
    assert np.allclose(over.data_to_world(pixel), expected, atol=1e-6)


def test_all_heat_maps_share_one_contrast_even_when_they_are_flat() -> None:
    request = from_layer(Image(np.zeros((8, 8))))

    layers = expert_layers(request, np.full((2, 4, 4), 3.0), grid_scale=(2, 2), grid_offset=(0.5, 0.5))

    assert [arguments["contrast_limits"] for _, arguments, _ in layers] == [(3.0, 4.0), (3.0, 4.0)]


def test_classes_without_a_name_are_numbered() -> None:
    classes = named_classes((ClassInfo(name="gland"),), 3)

    assert [info.name for info in classes] == ["gland", "class 2", "class 3"]
    assert len({info.color for info in classes}) == 3


def test_a_mask_of_objects_has_colours_that_cycle() -> None:
    request = from_layer(Image(np.zeros((8, 8))))
    mask = np.arange(64, dtype=np.uint32).reshape(8, 8)

    data, arguments, _ = mask_layer(request, mask, named_classes((), 1), objects=True)

    layer = Labels(data, **arguments)
    assert not np.allclose(layer.get_color(1), layer.get_color(2))


def test_the_checksum_changes_with_one_pixel() -> None:
    mask = np.zeros((8, 8), np.uint8)
    before = checksum(mask)

    mask[3, 3] = 1

    assert checksum(mask) != before


def test_a_stack_gives_one_pair_for_each_plane_that_is_drawn_on(tmp_path: Path) -> None:
    request = from_layer(Image(np.random.default_rng(0).random((4, 32, 32))))
    labels = np.zeros((4, 32, 32), int)
    labels[1:3, 5:9, 5:9] = 1

    written = export_pair(DrawnPair(request, labels), tmp_path)

    assert written == 2
    assert tifffile.imread(tmp_path / "masks" / "part-002.tif").sum() == 16


def test_a_single_small_image_cannot_be_trained_on_alone(tmp_path: Path) -> None:
    request = from_layer(Image(np.zeros((40, 40))))

    with pytest.raises(DataError, match="40x40 pixels is too small"):
        export_pair(DrawnPair(request, np.ones((40, 40), int)), tmp_path)


def test_a_preview_draws_the_outline_and_leaves_the_inside() -> None:
    mask = np.zeros((40, 60), int)
    mask[10:30, 10:30] = 1

    preview = draw_preview(np.full((40, 60), 100, np.uint8), mask, "a")

    assert preview.picture.shape == (40, 60, 3)
    assert tuple(preview.picture[10, 15]) == (255, 209, 59)
    assert tuple(preview.picture[20, 20]) == (100, 100, 100)
