"""Pairs are found as datasets are really laid out; what does not pair is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from src_model.data.layouts import find_cases
from src_model.errors import DataError

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/a.png", "labels/a.png"),
        ("images/a.jpg", "masks/a.png"),
        ("img/a.png", "labelcol/a.png"),
        ("Images/a.PNG", "Annotations/a_anno.bmp"),
        ("images/a.jpg", "masks/a_Segmentation.png"),
        ("image/a.tif", "mask/a_mask.tif"),
        ("a.png", "a_mask.png"),
        ("a.jpg", "a_segmentation.png"),
        ("a.bmp", "a_anno.bmp"),
        ("a.tif", "a_label.tiff"),
        ("train/images/a.png", "train/labels/a.png"),
    ],
)
def test_a_pair_is_found(tmp_path: Path, image: str, mask: str) -> None:
    touch(tmp_path, image, mask)

    listing = find_cases(tmp_path)

    assert [(case.id, case.image, case.mask) for case in listing.cases] == [
        ("a", tmp_path / image, tmp_path / mask)
    ]
    assert listing.problems == ()


def test_the_test_part_is_found_by_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/a.png", "train/masks/a.png", "test/images/b.png", "test/masks/b.png")

    assert [case.id for case in find_cases(tmp_path).cases] == ["a"]
    assert [case.id for case in find_cases(tmp_path, split="test").cases] == ["b"]


def test_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "images/._a.png", "images/notes.txt", "masks/a.png", "masks/Thumbs.db")

    listing = find_cases(tmp_path)

    assert len(listing.cases) == 1
    assert listing.problems == ()


def test_images_and_masks_without_a_partner_are_said(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "masks/c.png")

    listing = find_cases(tmp_path)

    assert [case.id for case in listing.cases] == ["a"]
    assert listing.problems == (
        "Left out because it has no mask: b.png.",
        "Left out because it has no image: c.png.",
    )


def test_two_images_of_one_name_are_said_and_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "images/a.tif", "images/b.png", "masks/a.png", "masks/b.png")

    listing = find_cases(tmp_path)

    assert [case.id for case in listing.cases] == ["b"]
    (problem,) = [text for text in listing.problems if "share" in text]
    assert "a.png, a.tif" in problem


def test_cases_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{folder}/{name}.png" for folder in ("images", "masks") for name in "cab"))

    assert [case.id for case in find_cases(tmp_path).cases] == ["a", "b", "c"]


def test_slides_of_one_patient_form_a_group(tmp_path: Path) -> None:
    names = ("TCGA-21-5784-01Z-00-DX1", "TCGA-21-5784-01Z-00-DX2", "TCGA-38-6178-01Z-00-DX1")
    touch(tmp_path, *(f"{folder}/{name}.png" for folder in ("images", "masks") for name in names))

    groups = [case.group for case in find_cases(tmp_path).cases]

    assert groups == ["TCGA-21-5784", "TCGA-21-5784", "TCGA-38-6178"]


@pytest.mark.parametrize(
    "names", [(), ("images/a.png",), ("a.png", "b.png"), ("images/a.png", "masks/b.png")]
)
def test_a_folder_without_pairs_says_what_was_looked_for(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *names)

    with pytest.raises(DataError, match=r"No pairs .*'images' and 'masks'.*_mask\.png"):
        find_cases(tmp_path)


def test_a_missing_folder_and_an_unknown_layout_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*gone"):
        find_cases(tmp_path / "gone")
    with pytest.raises(DataError, match="no layout 'coco'; choose"):
        find_cases(tmp_path, "coco")


def test_two_masks_that_fit_one_image_leave_it_out_rather_than_one_being_guessed(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a.png",
        "a_mask.png",
        "a_label.png",
        "b.png",
        "b_mask.png",
        "b_mask.tif",
        "c.png",
        "c_seg.png",
    )

    listing = find_cases(tmp_path)

    assert [case.id for case in listing.cases] == ["c"]
    assert listing.problems == (
        "Left out because 2 masks fit it, of which only one may stay (a_label.png, a_mask.png): a.png.",
        "Left out because 2 masks fit it, of which only one may stay (b_mask.png, b_mask.tif): b.png.",
    )


def test_names_are_compared_without_regard_to_case(tmp_path: Path) -> None:
    touch(
        tmp_path, "TRAIN/Images/Case_A.PNG", "TRAIN/Masks/case_a_MASK.Tif", "Test/IMG/b.png", "Test/GT/B.png"
    )

    assert [case.id for case in find_cases(tmp_path).cases] == ["Case_A"]
    assert [case.id for case in find_cases(tmp_path, split="test").cases] == ["b"]


def test_an_image_whose_own_name_ends_like_a_mask_keeps_its_mask(tmp_path: Path) -> None:
    touch(tmp_path, "images/a_seg.png", "images/b.png", "masks/a_seg.png", "masks/b_seg.png")

    pairs = [(case.id, case.mask.name) for case in find_cases(tmp_path).cases]

    assert pairs == [("a_seg", "a_seg.png"), ("b", "b_seg.png")]


def test_the_double_ending_of_ome_tiff_belongs_to_no_name(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.ome.tif", "masks/a.png", "images/b.ome.tiff", "masks/b_mask.ome.tif")

    assert [case.id for case in find_cases(tmp_path).cases] == ["a", "b"]


def test_pictures_in_further_folders_below_are_not_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "images/deep/a.png", "masks/deep/a.png")

    with pytest.raises(DataError, match="No pairs of image and mask were found in"):
        find_cases(tmp_path)


def test_regions_of_one_patient_form_a_group_however_the_name_goes_on(tmp_path: Path) -> None:
    names = ("TCGA-21-5784_1", "tcga-21-5784-2", "TCGA-21-5784", "TCGA-21-57845")
    touch(tmp_path, *(f"{folder}/{name}.png" for folder in ("images", "masks") for name in names))

    groups = {case.id: case.group for case in find_cases(tmp_path).cases}

    assert {groups[name] for name in names[:3]} == {"TCGA-21-5784"}
    assert groups["TCGA-21-57845"] == "TCGA-21-57845"


def test_a_folder_without_pairs_names_what_lies_there(tmp_path: Path) -> None:
    touch(tmp_path, *(f"images/{name}.png" for name in "abcde"), "masks/z.png")

    with pytest.raises(
        DataError, match=r"\(Left out because it has no mask: a\.png, b\.png, c\.png and 2 more\)"
    ):
        find_cases(tmp_path)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/a.png", "train/masks/a.png")

    with pytest.raises(DataError, match=r"There is no split 'test' in .*; it has train"):
        find_cases(tmp_path, split="test")


@pytest.mark.parametrize(("split", "count"), [("train", 40), ("test", 12)])
def test_every_sample_image_has_its_mask(split: str, count: int) -> None:
    listing = find_cases(ROOT / "sample_data" / "nuclei", split=split)

    assert len(listing.cases) == count
    assert listing.problems == ()


@pytest.mark.parametrize(
    ("name", "count"), [("glas", 85), ("monuseg", 24), ("nuclei_cc0", 64), ("polyps", 40), ("skin", 24)]
)
def test_public_datasets_are_found_whole(name: str, count: int) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"needs the dataset {name} in {REAL}")

    listing = find_cases(REAL / name)

    assert len(listing.cases) == count
    assert listing.problems == ()
