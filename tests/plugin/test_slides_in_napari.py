"""Slides in the viewer: pyramids that read what is in view, placed in micrometres."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from made_slides import (
    pyramid,
    spoil,
    tissue,
    write_ome_tiff,
    write_ome_zarr,
    write_pyramid,
    write_qptiff,
    write_svs,
)
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from npe2 import PluginManager

from napari_utanet.adapters.from_layer import from_layer, plane_of_layer
from napari_utanet.readers.slides import get_reader
from src_model.config import ClassInfo
from src_model.data.label_pyramid import LabelPyramid
from src_model.data.slide import open_slide
from src_model.data.slide_formats.level import Level
from src_model.errors import DataError
from src_model.tiling.plan import Box


def open_(viewer: Any, path: Path) -> Any:
    return viewer.open(str(path), plugin="napari-utanet")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings that the viewer shows."""
    warnings: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", warnings.append)
    return warnings


def test_a_slide_opens_as_a_pyramid_in_micrometres(tmp_path: Path, viewer: Any) -> None:
    path = write_svs(tmp_path / "a case.svs", pyramid(tissue(300, 420), 3))

    (layer,) = open_(viewer, path)

    assert (layer.name, layer.rgb, layer.multiscale) == ("a case", True, True)
    assert [level.shape for level in layer.data] == [(300, 420, 3), (150, 210, 3), (75, 105, 3)]
    assert tuple(layer.scale) == (0.499, 0.499)
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    assert layer.axis_labels == ("y", "x")


def test_the_other_pictures_are_named_but_not_opened(tmp_path: Path, viewer: Any) -> None:
    path = write_svs(tmp_path / "a.svs", pyramid(tissue(300, 420), 2))

    (layer,) = open_(viewer, path)

    about = layer.metadata["slide"]
    assert len(viewer.layers) == 1
    assert about["associated"] == ("thumbnail", "label", "macro")
    assert about["format"] == "Aperio SVS"
    assert about["path"] == str(path)
    assert about["pixel_size_um"] == (0.499, 0.499)
    assert about["notes"]["AppMag"] == "20"


def test_opening_reads_no_tile_of_the_finest_level(
    tmp_path: Path, viewer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pyramid(tmp_path / "a.tif", pyramid(tissue(1200, 1600), 4))
    read: list[str] = []
    original = Level.read
    monkeypatch.setattr(Level, "read", lambda self, box: read.append(self.name) or original(self, box))

    open_(viewer, path)

    assert read
    assert not [name for name in read if name.endswith("level 0")]


def test_a_view_that_moves_within_what_was_read_reads_nothing(
    tmp_path: Path, viewer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (layer,) = open_(viewer, write_pyramid(tmp_path / "a.tif", pyramid(tissue(1200, 1600), 2)))
    read: list[str] = []
    original = Level.read
    monkeypatch.setattr(Level, "read", lambda self, box: read.append(self.name) or original(self, box))

    def look(top: float, left: float) -> int:
        """Draw 200 x 150 pixels of the finest level; how often was read for it."""
        read.clear()
        corners = np.array([[top, left], [top + 150, left + 200]]) * layer.scale
        layer._update_draw(1.0, corners, (150, 200))
        return len(read)

    assert look(300, 300) > 0
    assert look(330, 310) == 0
    assert look(330, 400) > 0


def test_channels_open_as_layers_with_names_colours_and_limits(tmp_path: Path, viewer: Any) -> None:
    image = tissue(300, 420, channels=2).astype(np.uint16) * 9
    path = write_qptiff(tmp_path / "a.qptiff", pyramid(image, 3), ["DAPI", "CD8"])

    nuclei, cells = open_(viewer, path)

    assert (nuclei.name, cells.name) == ("a DAPI", "a CD8")
    assert (nuclei.colormap.name, cells.colormap.name) == ("blue", "green")
    assert {nuclei.blending, cells.blending} == {"additive"}
    assert not nuclei.rgb
    assert [level.shape for level in cells.data] == [(300, 420), (150, 210), (75, 105)]
    np.testing.assert_array_equal(np.asarray(cells.data[0][10:20, 5:]), image[10:20, 5:, 1])
    low, high = nuclei.contrast_limits
    assert image[..., 0].min() <= low < high <= image[..., 0].max()
    assert (nuclei.metadata["slide"]["channel"], cells.metadata["slide"]["channel"]) == (0, 1)


def test_the_limits_of_a_large_image_of_one_level_come_from_samples(tmp_path: Path, viewer: Any) -> None:
    image = np.full((4500, 300), 500, np.uint16)
    image[:512, :150] = 900
    path = write_pyramid(tmp_path / "a.tif", [image])

    (layer,) = open_(viewer, path)

    assert len(layer.data) == 4
    assert tuple(layer.contrast_limits) == (500.0, 900.0)


def test_a_slide_of_unknown_pixel_size_is_measured_in_pixels(tmp_path: Path, viewer: Any) -> None:
    (layer,) = open_(viewer, write_pyramid(tmp_path / "a.tif", pyramid(tissue(300, 420), 2)))

    assert tuple(layer.scale) == (1.0, 1.0)
    assert {str(unit) for unit in layer.units} == {"pixel"}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_folder_of_ome_zarr_opens(tmp_path: Path, viewer: Any, version: str) -> None:
    levels = pyramid(tissue(200, 150)[..., 0], 2)
    path = write_ome_zarr(tmp_path / "a.ome.zarr", levels, "yx", version=version)

    (layer,) = open_(viewer, path)

    assert (layer.name, layer.multiscale) == ("a", True)
    assert tuple(layer.scale) == (0.5, 0.5)
    np.testing.assert_array_equal(np.asarray(layer.data[1]), levels[1])


def test_what_napari_opens_as_well_is_left_to_it(tmp_path: Path) -> None:
    small, stack, folder = tmp_path / "small.tif", tmp_path / "stack.ome.tif", tmp_path / "folder"
    tifffile.imwrite(small, tissue(64, 64), photometric="rgb", tile=(64, 64))
    write_ome_tiff(stack, [np.zeros((5, 4500, 20), np.uint8)], "ZYX")
    deep = write_ome_zarr(tmp_path / "deep.zarr", [np.zeros((5, 64, 64), np.uint8)], "zyx")
    folder.mkdir()
    (tmp_path / "broken.tif").write_bytes(b"no image")

    declined = [small, stack, deep, folder, tmp_path / "broken.tif", tmp_path / "a.png"]

    assert [get_reader(str(path)) for path in declined] == [None] * len(declined)
    assert get_reader([str(write_svs(tmp_path / "a.svs", [tissue(64, 64)])), str(small)]) is None
    assert get_reader([]) is None


def test_pyramids_large_images_and_vendors_files_are_taken(tmp_path: Path) -> None:
    taken = [
        write_pyramid(tmp_path / "pyramid.tif", pyramid(tissue(100, 100), 2)),
        write_pyramid(tmp_path / "large.tiff", [np.zeros((20, 4100), np.uint8)]),
        write_ome_tiff(tmp_path / "a.ome.tif", pyramid(tissue(100, 100), 2), "YXS"),
        tmp_path / "even absent.svs",
        tmp_path / "Upper Case.NDPI",
    ]

    assert all(get_reader(str(path)) is not None for path in taken)


def test_a_damaged_slide_is_named_when_it_is_opened(tmp_path: Path, viewer: Any) -> None:
    path = write_svs(tmp_path / "a.svs", pyramid(tissue(300, 420), 2))
    path.write_bytes(path.read_bytes()[:5000])

    with pytest.raises(DataError, match=r"a\.svs is truncated"):
        open_(viewer, path)


def test_a_damaged_tile_is_drawn_red_and_told_once(tmp_path: Path, viewer: Any, shown: list[str]) -> None:
    image = tissue(300, 420)
    path = write_svs(tmp_path / "a.svs", [image])
    row, column = spoil(path, 0, 5, lambda data: bytes(len(data)))

    (layer,) = open_(viewer, path)
    layer.refresh()

    tile = np.s_[row : row + 64, column : column + 64]
    assert np.array_equal(layer.data[tile], np.broadcast_to((230, 57, 70), (64, 64, 3)))
    assert np.array_equal(layer.data[:row], open_slide(path).levels[0][:row])
    assert len(shown) == 1
    assert f"rows {row} to {row + 64}, columns {column} to {column + 64}" in shown[0]
    assert shown[0].endswith("What cannot be read is shown red.")


def test_a_mask_with_a_damaged_chunk_is_drawn_without_it(
    tmp_path: Path, viewer: Any, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src_model.data.label_levels.OVERVIEW", 64)
    path = tmp_path / "a_mask.ome.zarr"
    write_mask(path)
    (path / "0" / "c" / "0" / "0").write_bytes(b"no chunk")

    (layer,) = open_(viewer, path)

    assert not np.asarray(layer.data[0]).any()
    assert np.asarray(layer.data[1]).any()
    assert len(shown) == 1
    assert shown[0].endswith("What cannot be read is shown as background.")


def test_what_is_left_out_of_a_slide_is_shown(tmp_path: Path, viewer: Any, shown: list[str]) -> None:
    image = tissue(256, 256)
    path = write_pyramid(tmp_path / "a.svs", [image])
    write_ome_tiff(tmp_path / "b.ome.tif", [image, tissue(128, 60), image[::4, ::4]], "YXS")

    open_(viewer, path)
    open_(viewer, tmp_path / "b.ome.tif")

    assert len(shown) == 1
    assert "level 1 is left out" in shown[0]


def test_a_slide_in_a_layer_is_frozen_into_a_request_without_being_read(tmp_path: Path, viewer: Any) -> None:
    image = tissue(300, 420)
    (layer,) = open_(viewer, write_pyramid(tmp_path / "a.tif", pyramid(image, 2)))

    whole, plane = from_layer(layer), plane_of_layer(layer, (0.0, 0.0))

    assert whole.axes == plane.axes == "YXC"
    assert isinstance(whole.data, Level)
    assert isinstance(plane.data, Level)
    np.testing.assert_array_equal(plane.read(), image)


@pytest.mark.parametrize(
    "name", ["a.svs", "a.ndpi", "a.scn", "a.qptiff", "a.ome.tif", "a.tiff", "a.mrxs", "a.bif"]
)
def test_the_manifest_offers_the_reader(name: str) -> None:
    readers = PluginManager.instance().iter_compatible_readers(name)

    assert "napari-utanet.read_slide" in {reader.command for reader in readers}


def test_the_module_of_the_reader_loads_nothing_heavy() -> None:
    code = (
        "import sys, napari_utanet.readers.slides;"
        "print([m for m in ('torch', 'napari', 'tifffile', 'zarr', 'numpy') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


CLASSES = (ClassInfo(name="gland", color="#abcdef"), ClassInfo(name="tumour", color="#102030"))


def write_mask(
    path: Path, *, dtype: type = np.uint8, classes: Sequence[ClassInfo] = (), finish: bool = True
) -> None:
    """A mask at half the resolution of a slide of 0.499 micrometres, its upper left chunk marked."""
    mask = LabelPyramid.create(
        path, (150, 210), chunk=64, dtype=dtype, scale=(2.0, 2.0), pixel_size_um=0.998, classes=classes,
        provenance={"job": {"slide": str(path.with_name("a.svs"))}},
    )  # fmt: skip
    mask.write(Box(0, 0, 64, 64), np.full((64, 64), 1, dtype))
    if finish:
        mask.finish()


def test_a_mask_made_before_opens_as_labels_over_its_slide(tmp_path: Path, viewer: Any) -> None:
    slide = open_(viewer, write_svs(tmp_path / "a.svs", pyramid(tissue(300, 420), 3)))[0]
    write_mask(tmp_path / "a_mask.ome.zarr", classes=CLASSES)

    (mask,) = open_(viewer, tmp_path / "a_mask.ome.zarr")

    assert isinstance(mask, Labels)
    assert (mask.name, mask.multiscale, mask.units) == ("a mask", True, slide.units)
    assert list(mask.features["class"]) == ["background", "gland", "tumour"]
    np.testing.assert_allclose(mask.get_color(1), np.array([0xAB, 0xCD, 0xEF, 0xFF]) / 255, atol=0.01)
    np.testing.assert_allclose(mask.get_color(2), np.array([0x10, 0x20, 0x30, 0xFF]) / 255, atol=0.01)
    assert [level.shape for level in mask.data] == [(150, 210), (75, 105), (38, 53)]
    np.testing.assert_allclose(mask.data_to_world((-0.5, -0.5)), slide.data_to_world((-0.5, -0.5)))
    np.testing.assert_allclose(mask.data_to_world((149.5, 209.5)), slide.data_to_world((299.5, 419.5)))


def test_a_mask_that_is_not_finished_shows_what_is_done(tmp_path: Path, viewer: Any) -> None:
    write_mask(tmp_path / "a_mask.ome.zarr", finish=False)

    (mask,) = open_(viewer, tmp_path / "a_mask.ome.zarr")

    assert [int(np.asarray(level).sum()) for level in mask.data] == [64 * 64, 32 * 32, 16 * 16]


def test_numbered_objects_open_with_colours_of_their_own(tmp_path: Path, viewer: Any) -> None:
    write_mask(tmp_path / "a_objects.ome.zarr", dtype=np.uint32)

    (objects,) = open_(viewer, tmp_path / "a_objects.ome.zarr")

    assert objects.name == "a objects"
    assert objects.data[0].dtype == np.uint32
    assert isinstance(objects.colormap, CyclicLabelColormap)
