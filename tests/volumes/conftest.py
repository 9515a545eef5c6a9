"""Small NIfTI files for the tests of volumes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

WriteVolume = Callable[..., Path]


@pytest.fixture
def write_volume(tmp_path: Path) -> WriteVolume:
    """Write values (X, Y, Z[, C]) with an affine and a unit; return the path."""

    def write(name: str, values: NDArray[Any], affine: NDArray[Any] | None = None, unit: str = "mm") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(values, np.eye(4) if affine is None else affine)
        image.header.set_xyzt_units(unit)
        nib.save(image, path)
        return path

    return write


@pytest.fixture
def decathlon(tmp_path: Path, write_volume: WriteVolume) -> Path:
    """A folder of three small cases with a bright cube of class 1 in each."""
    root = tmp_path / "Task99_Cubes"
    rng = np.random.default_rng(0)
    training = []
    for number in range(3):
        image = rng.normal(100, 10, (9, 10 + number, 11)).astype(np.float32)
        mask = np.zeros(image.shape, np.uint8)
        mask[2:5, 3:7, 4:8] = 1
        image[mask > 0] += 100
        entry = {"image": f"./imagesTr/cube_{number}.nii.gz", "label": f"./labelsTr/cube_{number}.nii.gz"}
        write_volume(f"{root.name}/{entry['image']}", image)
        write_volume(f"{root.name}/{entry['label']}", mask)
        training.append(entry)
    description = {
        "name": "Cubes",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "cube"},
        "training": training,
    }
    (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return root
