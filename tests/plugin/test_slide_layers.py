"""Layers of slides: who counts as one, what is known of it, and where its results lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import zarr
from made_slides import pyramid, tissue, write_qptiff, write_svs
from napari.components import ViewerModel

from napari_utanet.adapters.growing_mask import GrowingMask
from napari_utanet.adapters.placement import Placement
from napari_utanet.adapters.regions import middle_of_view, polygon_in_view, polygons_of_shapes
from napari_utanet.adapters.slide_layers import SlideLayer, given_pixel_size, slide_layer
from napari_utanet.adapters.slide_results import grid_over
from napari_utanet.readers.slides import read_slides
from src_model.data.label_pyramid import LabelPyramid
from src_model.errors import ImageError
from src_model.tiling.plan import Box


@pytest.fixture
def model() -> ViewerModel:
    return ViewerModel()


def read(model: ViewerModel, path: Path) -> list[Any]:
    return [model.add_image(data, **options) for data, options, _ in read_slides(str(path))]


def known(layer: Any, **options: Any) -> SlideLayer:
    slide = slide_layer(layer, **options)
    assert slide is not None
    return slide


def test_small_images_and_stacks_are_no_slides(model: ViewerModel) -> None:
    ordinary = [
        model.add_image(np.zeros((64, 64))),
        model.add_image(np.zeros((64, 64, 3), np.uint8)),
        model.add_image(np.zeros((3, 4, 5000))),
        model.add_image([np.zeros((3, 64, 64)), np.zeros((3, 32, 32))], multiscale=True),
        model.add_points([[1, 2]]),
    ]

    assert [slide_layer(layer) for layer in ordinary] == [None] * 5


def test_a_slide_of_our_reader_is_known_by_its_path(tmp_path: Path, model: ViewerModel) -> None:
    path = write_svs(tmp_path / "a case.svs", pyramid(tissue(300, 420), 2))
    (layer,) = read(model, path)

    slide = known(layer)

    assert (slide.path, slide.folder, slide.title, slide.axes) == (path, tmp_path, "a case", "YXC")
    assert (slide.size_yx, slide.pixel_size_um, slide.channels) == ((300, 420), (0.499, 0.499), ())
    assert slide.associated == ("thumbnail", "label", "macro")
    assert slide.open().path == path


def test_a_channel_knows_its_siblings(tmp_path: Path, model: ViewerModel) -> None:
    image = tissue(300, 420, channels=2).astype(np.uint16)
    path = write_qptiff(tmp_path / "a.qptiff", pyramid(image, 2), ["DAPI", "CD8"])

    slides = [known(layer) for layer in read(model, path)]

    assert [slide.channel for slide in slides] == [0, 1]
    assert {slide.channels for slide in slides} == {("DAPI", "CD8")}
    assert {slide.key for slide in slides} == {str(path)}
    assert {slide.title for slide in slides} == {"a"}


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_arrays_of_other_readers_become_a_slide_without_being_read(model: ViewerModel, kind: str) -> None:
    image = tissue(300, 420)
    levels = {
        "numpy": lambda one: one,
        "dask": lambda one: dask.array.from_array(one, chunks=100),
        "zarr": lambda one: zarr.array(one, chunks=(100, 100, 3)),
    }
    arrays = [levels[kind](one) for one in pyramid(image, 2)]
    layer = model.add_image(
        arrays, multiscale=True, rgb=True, name="theirs", scale=(0.25, 0.25), units=("um", "um")
    )

    slide = known(layer)
    opened = slide.open()

    assert (slide.path, slide.axes, opened.axes) == (None, "YXC", "YXC")
    assert opened.pixel_size_um == (0.25, 0.25)
    np.testing.assert_array_equal(opened.levels[0][10:20, 30:40], image[10:20, 30:40])


def test_axes_of_length_one_do_not_count(model: ViewerModel) -> None:
    image = tissue(300, 420)[..., 0]
    arrays = [dask.array.from_array(one[None, None], chunks=64) for one in pyramid(image, 2)]
    layer = model.add_image(
        arrays, multiscale=True, scale=(1, 1, 0.5, 0.5), units=("pixel", "pixel", "mm", "mm")
    )

    slide = known(layer)

    assert (slide.axes, slide.size_yx, slide.pixel_size_um) == ("YX", (300, 420), (500.0, 500.0))
    assert slide.placement.ndim == 2
    np.testing.assert_array_equal(slide.open().levels[1][5:9, :7], image[::2, ::2][5:9, :7])


def test_an_axis_of_channels_is_named_by_its_label_or_by_the_user(model: ViewerModel) -> None:
    arrays = [np.zeros((4, 64, 64), np.uint16), np.zeros((4, 32, 32), np.uint16)]
    plain = model.add_image(arrays, multiscale=True)
    labelled = model.add_image(arrays, multiscale=True, axis_labels=("channel", "y", "x"))

    assert slide_layer(plain) is None
    assert known(plain, stack="channels").channels == tuple(f"channel {n}" for n in range(1, 5))
    assert known(labelled).axes == "CYX"


def test_a_large_image_of_one_level_is_a_slide(model: ViewerModel) -> None:
    slide = known(model.add_image(np.zeros((4, 4100), np.uint8), name="wide/one"))

    assert slide.pixel_size_um is None
    assert slide.open(0.5).pixel_size_um == (0.5, 0.5)
    assert slide.open().path.name == "wide-one"


def test_a_scale_without_a_unit_is_offered_as_micrometres(model: ViewerModel) -> None:
    levels = [np.zeros((64, 64)), np.zeros((32, 32))]

    likely, unknown = (model.add_image(levels, multiscale=True, scale=(s, s)) for s in (0.25, 1.0))

    assert (given_pixel_size(likely), given_pixel_size(unknown)) == (0.25, None)
    assert slide_layer(likely).pixel_size_um is None


def test_the_corner_of_a_mask_is_the_corner_of_the_slide(model: ViewerModel) -> None:
    layer = model.add_image(
        np.zeros((40, 60)), scale=(0.5, 0.25), translate=(3, 4), rotate=30, affine=np.diag([1.0, 2.0, 1.0])
    )
    slide = Placement.of_layer(layer)

    mask = grid_over(slide, (4.0, 2.0))

    corners, same = np.array([[-0.5, -0.5], [9.5, 29.5]]), np.array([[-0.5, -0.5], [39.5, 59.5]])
    np.testing.assert_allclose(mask.to_world(corners), slide.to_world(same))
    np.testing.assert_allclose(slide.to_world(np.array([[7.0, 9.0]]))[0], layer.data_to_world((7.0, 9.0)))


def test_what_is_in_view_is_a_polygon_of_the_slide(model: ViewerModel) -> None:
    layer = model.add_image(np.zeros((100, 200)), scale=(0.5, 0.5), units=("um", "um"))
    model.canvas.size = (40, 80)
    model.scene.camera.center, model.scene.camera.zoom = (0.0, 25.0, 50.0), 4.0

    placement = Placement.of_layer(layer)
    polygon = polygon_in_view(model, placement, (100, 200))

    assert middle_of_view(model, placement) == (50.5, 100.5)
    np.testing.assert_allclose(polygon.min(axis=0), (40.5, 80.5))
    np.testing.assert_allclose(polygon.max(axis=0), (60.5, 120.5))


def test_a_view_beside_the_slide_is_refused(model: ViewerModel) -> None:
    layer = model.add_image(np.zeros((100, 200)))
    model.scene.camera.center, model.scene.camera.zoom = (0.0, 5000.0, 50.0), 4.0

    with pytest.raises(ImageError, match="in view"):
        polygon_in_view(model, Placement.of_layer(layer), (100, 200))


def test_drawn_shapes_are_taken_in_pixels_of_the_slide(model: ViewerModel) -> None:
    slide = model.add_image(np.zeros((100, 200)), scale=(0.5, 0.5), translate=(10, 20), units=("um", "um"))
    rectangle = np.array([[10, 20], [10, 30], [20, 30], [20, 20]], float)
    drawn = model.add_shapes(
        [rectangle, rectangle, rectangle[:2]],
        shape_type=["rectangle", "ellipse", "line"], scale=(0.001, 0.001), units=("mm", "mm"),
    )  # fmt: skip

    placement = Placement.of_layer(slide)
    box, round_ = polygons_of_shapes(drawn, placement, placement.units)

    np.testing.assert_allclose(box, np.array([[0, 0], [0, 20], [20, 20], [20, 0]]) + 0.5)
    radii = np.linalg.norm(round_ - (10.5, 10.5), axis=1)
    np.testing.assert_allclose(radii, 10.0)


def test_shapes_without_an_inside_are_no_region(model: ViewerModel) -> None:
    layer = model.add_shapes([[[0, 0], [5, 5]]], shape_type="line", name="lines")

    with pytest.raises(ImageError, match="Nothing is drawn on 'lines'"):
        polygons_of_shapes(layer, Placement.of_layer(layer), layer.units)


def test_a_growing_mask_shows_every_level_at_once(tmp_path: Path) -> None:
    shape = (9000, 5000)
    written = LabelPyramid.create(tmp_path / "a.zarr", shape, chunk=256)
    mask = GrowingMask(LabelPyramid.open(tmp_path / "a.zarr"))
    coarsest = mask.levels[-1]
    box = Box(1024, 2048, 256, 256)

    overview = written.write(box, np.ones((256, 256), np.uint8))
    mask.grow((box.y, box.x, box.height, box.width), overview)

    for number, level in enumerate(mask.levels):
        seen = np.asarray(level)
        expected = np.zeros_like(seen)
        step = 2**number
        expected[1024 // step : 1280 // step, 2048 // step : 2304 // step] = 1
        np.testing.assert_array_equal(seen, expected)
    assert mask.levels[-1] is coarsest
    assert mask.take_changes().tolist() == [[1024, 2048, 1280, 2304]]
    assert mask.take_changes().size == 0


def test_levels_between_wait_for_the_disk_and_show_the_overview_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = LabelPyramid.create(tmp_path / "a.zarr", (9000, 5000), chunk=256)
    mask = GrowingMask(LabelPyramid.open(tmp_path / "a.zarr"))
    box = Box(0, 0, 256, 256)
    mask.grow((0, 0, 256, 256), written.write(box, np.ones((256, 256), np.uint8)))
    made: list[object] = []
    monkeypatch.setattr("src_model.data.label_levels.most_frequent", made.append)

    seen = mask.levels[1][:200, :200]

    assert mask.pyramid.overview == 2
    assert seen[:128, :128].all()
    assert made == []
