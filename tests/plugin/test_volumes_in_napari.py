"""Volumes in the viewer: opened with their spacing, and segmented by a model that serves several organs."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from napari.layers import Labels
from npe2 import PluginManager
from qtpy.QtCore import Qt

from napari_utanet.readers.volumes import get_reader
from napari_utanet.widgets.segment_dock import SegmentDock
from src_model import create_model, save_checkpoint
from src_model.config import ClassInfo, DomainInfo
from src_model.errors import DataError


def write(path: Path, values: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.5, 3.0)) -> Path:
    """A NIfTI file of values (X, Y, Z)."""
    nib.save(nib.Nifti1Image(values, np.diag([*spacing, 1.0])), path)
    return path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write(tmp_path / "scan.nii.gz", np.random.default_rng(0).normal(100, 20, (10, 11, 9)).astype("f4"))


@pytest.fixture
def two_organs(tmp_path: Path) -> Path:
    """A checkpoint of a 3D U2-Net for hippocampus (two classes) and heart (one)."""
    torch.manual_seed(0)
    domains = {
        "hippocampus": {"in_channels": 1, "num_classes": 3},
        "heart": {"in_channels": 1, "num_classes": 2},
    }
    model = create_model("u2net3d", domains=domains, base_channels=4, poolings=(1, 1, 1))
    infos = {
        "hippocampus": DomainInfo(classes=(ClassInfo(name="anterior"), ClassInfo(name="posterior"))),
        "heart": DomainInfo(classes=(ClassInfo(name="left atrium", color="#112233"),)),
    }
    return save_checkpoint(tmp_path / "organs.safetensors", model, domains=infos)


def test_a_volume_opens_with_its_spacing_in_millimetres(scan: Path, viewer: Any) -> None:
    (layer,) = viewer.open(str(scan), plugin="napari-utanet")

    assert layer.data.shape == (9, 11, 10)
    assert tuple(layer.scale) == (3.0, 1.5, 1.0)
    assert {str(unit) for unit in layer.units} == {"millimeter"}
    assert layer.axis_labels == ("z", "y", "x")
    assert layer.name == "scan"


def test_channels_come_before_the_axes_of_space_and_masks_open_as_labels(tmp_path: Path, viewer: Any) -> None:
    two = write(tmp_path / "two.nii", np.random.default_rng(0).random((10, 11, 9, 2)).astype("f4"))
    mask = write(tmp_path / "scan_mask.nii.gz", np.ones((10, 11, 9), np.uint8))

    (image,) = viewer.open(str(two), plugin="napari-utanet")
    (labels,) = viewer.open(str(mask), plugin="napari-utanet")

    assert image.data.shape == (2, 9, 11, 10)
    assert tuple(image.scale) == (1.0, 3.0, 1.5, 1.0)
    assert image.axis_labels == ("c", "z", "y", "x")
    assert isinstance(labels, Labels)
    assert labels.data.shape == (9, 11, 10)


def test_a_volume_of_several_channels_is_segmented_as_one(
    viewer: Any, open_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    model = create_model("u2net3d", in_channels=2, num_classes=2, base_channels=4, poolings=(1, 1, 1))
    file = save_checkpoint(tmp_path / "two.safetensors", model, classes=[ClassInfo(name="tumour")])
    two = write(tmp_path / "two.nii", np.random.default_rng(0).random((10, 11, 9, 2)).astype("f4"))
    viewer.open(str(two), plugin="napari-utanet")
    dock = open_dock(SegmentDock)
    dock.controller.open_checkpoint(file)
    dock.state.device = "cpu"

    qtbot.mouseClick(dock.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=60_000)

    mask = viewer.layers["two mask"]
    assert mask.data.shape == (9, 11, 10)
    assert tuple(mask.scale) == (3.0, 1.5, 1.0)
    assert list(mask.features["class"]) == ["background", "tumour"]


def test_other_files_are_left_to_other_readers_and_damaged_ones_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no volume")

    reader = get_reader(str(broken))

    assert get_reader("image.png") is None
    assert reader is not None
    with pytest.raises(DataError, match=r"broken\.nii\.gz cannot be read as NIfTI"):
        reader(str(broken))


def test_the_manifest_offers_the_reader_for_nifti_files() -> None:
    readers = PluginManager.instance().iter_compatible_readers("a.nii.gz")

    assert "napari-utanet" in {reader.plugin_name for reader in readers}


def test_the_organ_is_asked_for_only_where_a_model_serves_several(
    open_dock: Any, checkpoint: Path, two_organs: Path, segmenter: Any
) -> None:
    dock = open_dock(SegmentDock, engine=segmenter)
    assert dock.domain.native.isHidden()

    dock.controller.open_checkpoint(two_organs)

    assert not dock.domain.native.isHidden()
    assert dock.state.domain == "hippocampus"
    dock.state.checkpoint = checkpoint
    assert dock.domain.native.isHidden()
    assert dock.state.domain is None


def test_what_does_not_matter_to_a_model_of_volumes_is_not_asked(
    viewer: Any, open_dock: Any, checkpoint: Path, two_organs: Path, scan: Path, segmenter: Any
) -> None:
    viewer.open(str(scan), plugin="napari-utanet")
    dock = open_dock(SegmentDock, engine=segmenter)
    assert not dock.stack.native.isHidden()
    assert not dock.top_k.native.isHidden()

    dock.controller.open_checkpoint(two_organs)

    assert dock.stack.native.isHidden()
    assert dock.top_k.native.isHidden()
    dock.state.checkpoint = checkpoint
    assert not dock.stack.native.isHidden()
    assert not dock.top_k.native.isHidden()


def test_the_chosen_organ_is_segmented_in_the_place_of_the_volume(
    viewer: Any, open_dock: Any, two_organs: Path, scan: Path, qtbot: Any
) -> None:
    (image,) = viewer.open(str(scan), plugin="napari-utanet")
    dock = open_dock(SegmentDock)
    dock.controller.open_checkpoint(two_organs)
    dock.state.domain = "heart"
    dock.state.device = "cpu"

    qtbot.mouseClick(dock.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=60_000)

    mask = viewer.layers["scan mask"]
    assert isinstance(mask, Labels)
    assert mask.data.shape == image.data.shape
    assert tuple(mask.scale) == tuple(image.scale)
    assert mask.units == image.units
    assert list(mask.features["class"]) == ["background", "left atrium"]


def test_a_flat_image_for_a_model_of_volumes_is_told_which_networks_fit(
    viewer: Any, open_dock: Any, two_organs: Path, nuclei: np.ndarray, qtbot: Any
) -> None:
    viewer.add_image(nuclei, name="tissue")
    dock = open_dock(SegmentDock)
    dock.controller.open_checkpoint(two_organs)
    dock.state.device = "cpu"

    qtbot.mouseClick(dock.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=60_000)

    assert "is flat" in dock.status.text()
    assert "use a model of a network for images (utanet" in dock.status.text()
