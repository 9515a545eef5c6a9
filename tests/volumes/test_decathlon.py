"""Folders of the Medical Segmentation Decathlon: what is found, left out and refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from src_model.data.decathlon import read_decathlon
from src_model.errors import DataError

HIPPOCAMPUS = Path(os.environ.get("UTANET_SHARED", "/work/shared")) / "data" / "Task04_Hippocampus"


def change(root: Path, **values: Any) -> None:
    """Change keys of the description."""
    path = root / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_cases_classes_and_modalities_are_found(decathlon: Path) -> None:
    found = read_decathlon(decathlon)

    assert found.name == "Cubes"
    assert [case.id for case in found.cases] == ["cube_0", "cube_1", "cube_2"]
    assert all(case.image.is_file() and case.mask.is_file() for case in found.cases)
    assert found.modalities == ("MRI",)
    assert found.classes == ("background", "cube")
    assert found.problems == ()


def test_a_missing_file_is_left_out_with_a_sentence(decathlon: Path) -> None:
    (decathlon / "labelsTr" / "cube_1.nii.gz").unlink()

    found = read_decathlon(decathlon)

    assert [case.id for case in found.cases] == ["cube_0", "cube_2"]
    assert found.problems == ("Left out because it is listed in dataset.json but missing: cube_1.nii.gz.",)


def test_entries_outside_of_the_folder_twice_or_without_a_label_are_left_out(decathlon: Path) -> None:
    good = {"image": "imagesTr/cube_0.nii.gz", "label": "labelsTr/cube_0.nii.gz"}
    outside = {"image": "../dataset.nii", "label": "../dataset.nii"}
    change(decathlon, training=[good, good, outside, {"image": "x"}, "imagesTr/cube_1.nii.gz"])

    found = read_decathlon(decathlon)

    assert [case.id for case in found.cases] == ["cube_0"]
    assert len(found.problems) == 4
    assert "listed twice" in found.problems[0]
    assert "outside" in found.problems[1]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"training": []}, "no case to train on: The list is empty"),
        ({"training": None}, "lacks 'training'"),
        ({"labels": {"0": "background", "2": "b"}}, "expected names for 0, 1, 2"),
        ({"labels": {"background": 0}}, "expected names for 0, 1, 2"),
        ({"modality": {}}, "expected names for 0, 1, 2"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    decathlon: Path, values: dict[str, Any], sentence: str
) -> None:
    change(decathlon, **values)

    with pytest.raises(DataError, match=sentence):
        read_decathlon(decathlon)


def test_a_missing_or_damaged_description_is_refused(decathlon: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no .*dataset\.json; expected a folder of the Medical"):
        read_decathlon(tmp_path)
    (decathlon / "dataset.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        read_decathlon(decathlon)
    (decathlon / "dataset.json").write_text("[]")
    with pytest.raises(DataError, match="must hold a JSON object"):
        read_decathlon(decathlon)


def test_the_real_hippocampus_folder_is_read() -> None:
    if not HIPPOCAMPUS.is_dir():
        pytest.skip(f"The hippocampus volumes are not here: {HIPPOCAMPUS}.")

    found = read_decathlon(HIPPOCAMPUS)

    assert len(found.cases) == 120
    assert found.classes == ("background", "Anterior", "Posterior")
