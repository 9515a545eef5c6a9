"""The Train dock's preview shows one case of a folder, whatever its layout."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import tifffile

from napari_utanet.controllers.train_request import PreviewRequest, make_preview


def square(depth: int = 0) -> np.ndarray:
    """(20, 24), or as many planes of it: an object in the middle."""
    mask = np.zeros((20, 24), np.uint8)
    mask[6:14, 7:17] = 1
    return np.repeat(mask[np.newaxis], depth, 0) if depth else mask


def test_a_prepared_slice_of_synapse_is_shown(tmp_path: Path) -> None:
    (tmp_path / "train_npz").mkdir()
    image = np.random.default_rng(0).random((20, 24))
    np.savez(tmp_path / "train_npz" / "case0005_slice000.npz", image=image, label=square())

    preview = make_preview(PreviewRequest(tmp_path))

    assert preview.caption == "1 pairs; this is case0005_slice000"
    assert preview.picture.shape == (20, 24, 3)


def test_an_image_with_outlines_is_shown(tmp_path: Path) -> None:
    name = "TCGA-18-5592-01Z-00-DX1"
    corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((7, 6), (16, 6), (16, 13), (7, 13)))
    xml = f"<Annotations><Annotation><Regions><Region><Vertices>{corners}</Vertices></Region></Regions>"
    for folder in ("Tissue Images", "Annotations"):
        (tmp_path / folder).mkdir()
    (tmp_path / "Annotations" / f"{name}.xml").write_text(f"{xml}</Annotation></Annotations>")
    tifffile.imwrite(tmp_path / "Tissue Images" / f"{name}.tif", np.zeros((20, 24, 3), np.uint8))

    preview = make_preview(PreviewRequest(tmp_path))

    assert not preview.picture[0, 0].any()
    assert preview.picture[6, 7].any()


def test_of_a_volume_the_middle_plane_is_shown(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(24, 20, 5)).astype(np.float32)
    for folder, array in (("imagesTr", values), ("labelsTr", square(5).transpose(2, 1, 0))):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / folder / "v0.nii")
    description = {
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "cube"},
        "training": [{"image": "./imagesTr/v0.nii", "label": "./labelsTr/v0.nii"}],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(description))

    preview = make_preview(PreviewRequest(tmp_path))

    assert preview.picture.shape == (20, 24, 3)
    assert preview.caption == "1 pairs; this is v0"
