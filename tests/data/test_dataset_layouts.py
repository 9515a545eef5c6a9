"""Each public dataset, written small but in its real format, is recognised and read back as it was."""

from __future__ import annotations

import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from src_model.config import DataConfig, ModelConfig
from src_model.data.layouts import Listing, find_cases, list_layouts, recognise
from src_model.data.read_case import read_case_image, read_case_mask
from src_model.data.store import load
from src_model.errors import DataError

Save = Callable[[str, NDArray[Any]], Path]
Pixels = NDArray[np.uint8]

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data"


@pytest.fixture
def picture(rng: np.random.Generator) -> Callable[[], Pixels]:
    """Makes one (24, 30, 3) picture after the other, all different."""
    return lambda: rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)


def two_objects(first: int = 1, second: int = 2) -> Pixels:
    """(24, 30): a square and a bar."""
    mask = np.zeros((24, 30), np.uint8)
    mask[2:9, 3:11], mask[14:20, 15:28] = first, second
    return mask


def assert_read_back(listing: Listing, images: dict[str, Any], masks: dict[str, Any]) -> None:
    """Every case gives exactly the pixels that were written."""
    assert sorted(case.id for case in listing.cases) == sorted(images)
    for case in listing.cases:
        image = read_case_image(case)
        np.testing.assert_array_equal(image, images[case.id])
        np.testing.assert_array_equal(read_case_mask(case, image.shape[:2]), masks[case.id])


# --- GlaS -----------------------------------------------------------------------------------

GRADES = """name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)
testA_1,5, benign, healthy
testB_1,3, malignant, poorly differentiated
train_1,1, benign, adenomatous
train_2,1, malignant , moderately differentiated
"""


@pytest.fixture
def glas(tmp_path: Path, save: Save, picture: Callable[[], Pixels]) -> tuple[Path, dict[str, Pixels]]:
    """The original flat folder of bitmaps, with its table of grades."""
    images = {name: picture() for name in ("train_1", "train_2", "testA_1", "testB_1")}
    for name, image in images.items():
        save(f"Warwick QU Dataset/{name}.bmp", image)
        save(f"Warwick QU Dataset/{name}_anno.bmp", two_objects())
    (tmp_path / "Warwick QU Dataset" / "Grade.csv").write_text(GRADES)
    return tmp_path, images


@pytest.mark.parametrize(
    ("split", "names"),
    [
        (None, ["train_1", "train_2"]),
        ("testA", ["testA_1"]),
        ("testb", ["testB_1"]),
        ("test", ["testA_1", "testB_1"]),
    ],
)
def test_the_original_glas_is_read_with_its_splits(
    glas: tuple[Path, dict[str, Pixels]], split: str | None, names: list[str]
) -> None:
    root, images = glas

    listing = find_cases(root, split=split)

    assert (listing.layout, listing.kind, listing.classes) == ("glas", "instances", ("gland",))
    assert listing.splits == ("train", "test", "testA", "testB")
    assert_read_back(listing, {name: images[name] for name in names}, dict.fromkeys(names, two_objects()))


def test_images_of_one_glas_patient_form_a_group_and_keep_their_grade(
    glas: tuple[Path, dict[str, Pixels]],
) -> None:
    cases = find_cases(glas[0]).cases

    assert {case.group for case in cases} == {"patient 1"}
    assert [dict(case.facts)["grade"] for case in cases] == ["benign", "malignant"]


def test_glas_without_its_table_of_grades_is_read_and_the_table_is_missed(
    glas: tuple[Path, dict[str, Pixels]],
) -> None:
    (glas[0] / "Warwick QU Dataset" / "Grade.csv").unlink()

    listing = find_cases(glas[0])

    assert [case.group for case in listing.cases] == ["train_1", "train_2"]
    assert [(problem.file.name, problem.severity) for problem in listing.findings if problem.file] == [
        ("Grade.csv", "note")
    ]


@pytest.mark.parametrize("part", ["", "Train_Folder/"])
def test_the_folders_img_and_labelcol_are_glas(
    tmp_path: Path, save: Save, picture: Callable[[], Pixels], part: str
) -> None:
    image = picture()
    save(f"{part}img/1.png", image)
    save(f"{part}labelcol/1.png", two_objects(255, 255))

    listing = find_cases(tmp_path)

    assert listing.layout == "glas"
    assert_read_back(listing, {"1": image}, {"1": two_objects(255, 255)})


# --- MoNuSeg --------------------------------------------------------------------------------

PATIENTS = ("TCGA-18-5592-01Z-00-DX1", "TCGA-38-6178-01Z-00-DX1")


def write_outlines(path: Path, *annotations: list[list[tuple[float, float]]]) -> Path:
    """XML as Aperio ImageScope writes it: annotations with regions with vertices."""
    root = ElementTree.Element("Annotations", MicronsPerPixel="0.252000")
    for number, regions in enumerate(annotations, start=1):
        annotation = ElementTree.SubElement(root, "Annotation", Id=str(number), Name="", LineColor="65280")
        ElementTree.SubElement(
            ElementTree.SubElement(annotation, "Attributes"), "Attribute", Name="Description"
        )
        parent = ElementTree.SubElement(annotation, "Regions")
        ElementTree.SubElement(parent, "RegionAttributeHeaders")
        for place, vertices in enumerate(regions, start=1):
            region = ElementTree.SubElement(parent, "Region", Id=str(place), Type="0", NegativeROA="0")
            corners = ElementTree.SubElement(region, "Vertices")
            for x, y in vertices:
                ElementTree.SubElement(corners, "Vertex", X=f"{x:.6f}", Y=f"{y:.6f}", Z="0")
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    return path


def rectangle(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


TWO_OBJECTS = [rectangle(2.6, 1.6, 10.4, 8.4), rectangle(14.6, 13.6, 27.4, 19.4)]
"""The outlines of ``two_objects``."""


def test_the_original_monuseg_is_read_with_its_outlines_as_objects(
    tmp_path: Path, save: Save, picture: Callable[[], Pixels]
) -> None:
    images = {name: picture() for name in PATIENTS}
    for name, image in images.items():
        save(f"MoNuSeg 2018 Training Data/MoNuSeg 2018 Training Data/Tissue Images/{name}.tif", image)
        folder = tmp_path / "MoNuSeg 2018 Training Data" / "MoNuSeg 2018 Training Data" / "Annotations"
        write_outlines(folder / f"{name}.xml", TWO_OBJECTS[:1], TWO_OBJECTS[1:])
    save(f"MoNuSegTestData/{PATIENTS[0]}.tif", picture())
    write_outlines(tmp_path / "MoNuSegTestData" / f"{PATIENTS[0]}.xml", TWO_OBJECTS)

    listing = find_cases(tmp_path)

    assert (listing.layout, listing.kind, listing.splits) == ("monuseg", "instances", ("train", "test"))
    assert [case.group for case in listing.cases] == ["TCGA-18-5592", "TCGA-38-6178"]
    assert_read_back(listing, images, dict.fromkeys(PATIENTS, two_objects()))
    assert len(find_cases(tmp_path, split="test").cases) == 1


@pytest.mark.parametrize(("bits", "kind"), [(8, "semantic"), (16, "instances")])
def test_pairs_that_are_named_after_patients_are_monuseg(
    tmp_path: Path, save: Save, picture: Callable[[], Pixels], bits: int, kind: str
) -> None:
    images = {name: picture() for name in PATIENTS}
    mask = two_objects().astype(f"uint{bits}")
    for name, image in images.items():
        save(f"train/images/{name}.png", image)
        save(f"train/labels/{name}.png", mask)

    listing = find_cases(tmp_path)

    assert (listing.layout, listing.kind, listing.split) == ("monuseg", kind, "train")
    assert_read_back(listing, images, dict.fromkeys(PATIENTS, mask))


def test_a_pixel_in_two_outlines_belongs_to_the_first(tmp_path: Path, save: Save) -> None:
    save("a.tif", np.zeros((24, 30, 3), np.uint8))
    write_outlines(tmp_path / "a.xml", [rectangle(2, 2, 10, 10), rectangle(6, 6, 20, 20)])
    (case,) = find_cases(tmp_path, "monuseg").cases

    mask = read_case_mask(case)

    assert mask[8, 8] == 1
    assert mask[15, 15] == 2


# --- ISIC -----------------------------------------------------------------------------------


def write_jpeg(path: Path, image: Pixels) -> Pixels:
    """Written as JPEG; gives the pixels that a reader gets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)
    return np.asarray(Image.open(path))


@pytest.mark.parametrize(
    ("images", "masks", "test_images", "test_masks"),
    [
        (
            "ISBI2016_ISIC_Part1_Training_Data/ISIC_0000000.jpg",
            "ISBI2016_ISIC_Part1_Training_GroundTruth/ISIC_0000000_Segmentation.png",
            "ISBI2016_ISIC_Part1_Test_Data/ISIC_0000003.jpg",
            "ISBI2016_ISIC_Part1_Test_GroundTruth/ISIC_0000003_Segmentation.png",
        ),
        (
            "ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg",
            "ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png",
            "ISIC2018_Task1-2_Test_Input/ISIC_0000003.jpg",
            "ISIC2018_Task1_Test_GroundTruth/ISIC_0000003_segmentation.png",
        ),
    ],
    ids=["2016", "2018"],
)
def test_isic_is_read_with_its_splits(
    tmp_path: Path,
    save: Save,
    picture: Callable[[], Pixels],
    images: str,
    masks: str,
    test_images: str,
    test_masks: str,
) -> None:
    train = write_jpeg(tmp_path / images, picture())
    test = write_jpeg(tmp_path / test_images, picture())
    for name in (masks, test_masks):
        save(name, two_objects(255, 255))
    (tmp_path / images).with_name("ATTRIBUTION.txt").write_text("names")
    (tmp_path / images).with_name("LICENSE.txt").write_text("CC-0")

    listing, held_out = find_cases(tmp_path), find_cases(tmp_path, split="test")

    assert (listing.layout, listing.classes, listing.splits) == ("isic", ("lesion",), ("train", "test"))
    assert listing.problems == ()
    assert_read_back(listing, {"ISIC_0000000": train}, {"ISIC_0000000": two_objects(255, 255)})
    assert_read_back(held_out, {"ISIC_0000003": test}, {"ISIC_0000003": two_objects(255, 255)})


def test_the_attributes_of_isic_2018_are_not_taken_for_lesions(tmp_path: Path, save: Save) -> None:
    for name in ("Training_Input/ISIC_1.jpg", "Training_GroundTruth/ISIC_1_segmentation.png"):
        task = "1-2" if "Input" in name else "1"
        save(f"ISIC2018_Task{task}_{name}", two_objects())
    save("ISIC2018_Task2_Training_GroundTruth_v3/ISIC_1_attribute_globules.png", two_objects())

    listing = find_cases(tmp_path)

    assert [case.mask.name for case in listing.cases] == ["ISIC_1_segmentation.png"]
    assert listing.problems == ()


# --- Kvasir-SEG -----------------------------------------------------------------------------


def test_kvasir_masks_are_read_without_the_noise_of_their_jpeg(
    tmp_path: Path, picture: Callable[[], Pixels]
) -> None:
    image = write_jpeg(tmp_path / "images" / "cju0qkwl35piu0993l0dewei2.jpg", picture())
    mask = two_objects(255, 255)
    noisy = write_jpeg(tmp_path / "masks" / "cju0qkwl35piu0993l0dewei2.jpg", np.stack([mask] * 3, -1))
    (tmp_path / "kavsir_bboxes.json").write_text("{}")

    listing = find_cases(tmp_path)

    assert len(np.unique(noisy)) > 2
    assert (listing.layout, listing.classes) == ("kvasir", ("polyp",))
    name = "cju0qkwl35piu0993l0dewei2"
    assert_read_back(listing, {name: image}, {name: two_objects(1, 1)})


# --- Synapse --------------------------------------------------------------------------------


@pytest.fixture
def synapse(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, NDArray[Any], NDArray[Any]]:
    """Two slices to train on and one volume to test on, of the usual preparation: (3, 24, 30)."""
    values = rng.random((3, 24, 30)).astype(np.float32)
    organs = np.stack([two_objects(1, 8), two_objects(6, 7), two_objects(0, 0)]).astype(np.float32)
    (tmp_path / "train_npz").mkdir()
    for number in range(2):
        path = tmp_path / "train_npz" / f"case0005_slice{number:03}.npz"
        np.savez(path, image=values[number], label=organs[number])
    (tmp_path / "test_vol_h5").mkdir()
    with h5py.File(tmp_path / "test_vol_h5" / "case0001.npy.h5", "w") as file:
        file["image"], file["label"] = values, organs
    return tmp_path, values, organs


def test_the_slices_of_synapse_are_read(synapse: tuple[Path, NDArray[Any], NDArray[Any]]) -> None:
    root, values, organs = synapse

    listing = find_cases(root)

    assert (listing.layout, listing.kind, listing.splits) == ("synapse", "classes", ("train", "test"))
    assert listing.classes[0] == "aorta"
    assert listing.classes[7] == "stomach"
    assert {case.group for case in listing.cases} == {"case0005"}
    names = ["case0005_slice000", "case0005_slice001"]
    assert_read_back(listing, dict(zip(names, values, strict=False)), dict(zip(names, organs, strict=False)))


def test_the_volumes_of_synapse_are_read_plane_by_plane(
    synapse: tuple[Path, NDArray[Any], NDArray[Any]],
) -> None:
    root, values, organs = synapse

    listing = find_cases(root, split="test")

    assert {case.group for case in listing.cases} == {"case0001"}
    names = [f"case0001_slice{plane:03}" for plane in range(3)]
    assert_read_back(listing, dict(zip(names, values, strict=True)), dict(zip(names, organs, strict=True)))


def test_prepared_intensities_are_not_stretched_again(
    synapse: tuple[Path, NDArray[Any], NDArray[Any]],
) -> None:
    root, values, _ = synapse
    case = find_cases(root).cases[0]

    stored = load(case, ModelConfig(in_channels=1, num_classes=9))

    np.testing.assert_array_equal(stored.unit()[..., 0], values[0])


def test_the_lists_of_synapse_say_which_slices_are_used(
    synapse: tuple[Path, NDArray[Any], NDArray[Any]],
) -> None:
    folder = synapse[0] / "lists" / "lists_Synapse"
    folder.mkdir(parents=True)
    (folder / "train.txt").write_text("case0005_slice001\ncase0009_slice000\n")

    listing = find_cases(synapse[0])

    assert [case.id for case in listing.cases] == ["case0005_slice001"]
    assert listing.problems == ("Left out because it is listed but missing: case0009_slice000.npz.",)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("RawData/Training/img/img0001.nii.gz", "RawData/Training/label/label0001.nii.gz"),
        (
            "averaged-training-images/DET0000101_avg.nii.gz",
            "averaged-training-labels/DET0000101_avg_seg.nii.gz",
        ),
    ],
)
def test_raw_synapse_is_windowed_and_its_organs_are_renumbered(
    tmp_path: Path, rng: np.random.Generator, image: str, label: str
) -> None:
    hounsfield = rng.integers(-1000, 1000, (30, 24, 4)).astype(np.int16)
    numbers = np.zeros((30, 24, 4), np.uint8)
    numbers[:14, 0, 2] = np.arange(14)
    for name, values in ((image, hounsfield), (label, numbers)):
        (tmp_path / name).parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / name)

    listing = find_cases(tmp_path)

    assert (listing.layout, len(listing.cases), len({case.group for case in listing.cases})) == (
        "synapse",
        4,
        1,
    )
    stored = load(listing.cases[2], ModelConfig(in_channels=1, num_classes=9))
    expected = np.clip((hounsfield[:, :, 2].T + 125.0) / 400.0, 0, 1)
    np.testing.assert_allclose(stored.unit()[..., 0], expected, atol=1e-6)
    organs = ["", "spleen", "right kidney", "left kidney", "gallbladder", "", "liver", "stomach", "aorta"]
    organs += ["", "", "pancreas", "", ""]
    read = stored.mask[0, :14].tolist()
    assert [listing.classes[number - 1] if number else "" for number in read] == organs


# --- what all have in common ------------------------------------------------------------------


def test_a_configuration_may_ask_for_every_layout_and_no_other() -> None:
    field = DataConfig.model_fields["layout"].annotation

    assert sorted(typing.get_args(field)) == sorted(["auto", *list_layouts()])


def test_a_folder_of_no_known_layout_is_told_which_are_known(tmp_path: Path, save: Save) -> None:
    save("notes/picture.png", two_objects())

    assert recognise(tmp_path) is None
    with pytest.raises(
        DataError, match=r"\(it holds notes\), nor is it laid out as one of: decathlon, synapse"
    ):
        find_cases(tmp_path)


def test_a_layout_that_does_not_fit_says_what_it_expects(tmp_path: Path, save: Save) -> None:
    save("images/a.png", two_objects())
    save("masks/a.png", two_objects())

    with pytest.raises(DataError, match=r"expected 'train_npz' with \*\.npz"):
        find_cases(tmp_path, "synapse")


def test_own_endings_of_mask_names_replace_the_usual_ones(tmp_path: Path, save: Save) -> None:
    for name in ("a", "a_truth", "b", "b_mask"):
        save(f"{name}.png", two_objects())

    listing = find_cases(tmp_path, mask_endings=("_TRUTH",))

    assert [(case.id, case.mask.name) for case in listing.cases] == [("a", "a_truth.png")]


@pytest.mark.parametrize(
    ("folder", "layout", "count"),
    [
        ("glas", "glas", 85),
        ("glas/train", "pairs", 85),
        ("monuseg", "monuseg", 24),
        ("nuclei_cc0", "pairs", 64),
        ("polyps", "kvasir", 40),
        ("skin", "isic", 24),
        ("Task04_Hippocampus", "decathlon", 120),
    ],
)
def test_public_datasets_are_recognised(folder: str, layout: str, count: int) -> None:
    if not (REAL / folder).is_dir():
        pytest.skip(f"needs the dataset {folder} in {REAL}")

    listing = find_cases(REAL / folder)

    assert (listing.layout, len(listing.cases), listing.problems) == (layout, count, ())
