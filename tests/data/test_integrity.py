"""Whatever is wrong with a dataset is named in its report, by file, and what can go on goes on."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from src_model.data.integrity import Integrity, check_dataset
from src_model.errors import DataError, Stopped
from src_model.events import CaseChecked, Control, DatasetChecked

Save = Callable[[str, NDArray[Any]], Path]
Break = Callable[[Path], object]

RNG = np.random.default_rng(0)


def noise(*shape: int, bits: int = 8) -> NDArray[Any]:
    return np.random.default_rng(sum(shape)).integers(0, 2**bits, shape).astype(f"uint{bits}")


def objects(height: int = 24, width: int = 30, value: int = 1) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    mask[2:9, 3:11] = value
    return mask


@pytest.fixture
def pairs(tmp_path: Path, save: Save) -> Path:
    """Three good pairs, a to c."""
    rng = np.random.default_rng(1)
    for name in "abc":
        save(f"images/{name}.png", rng.integers(0, 256, (24, 30, 3), dtype=np.uint8))
        save(f"masks/{name}.png", objects())
    return tmp_path


def report_of(root: Path, **options: Any) -> Integrity:
    *_, last = check_dataset(root, **options)
    assert isinstance(last, DatasetChecked)
    return last.report


def named(report: Integrity, root: Path) -> dict[str, tuple[str, str]]:
    """What is said of each file."""
    return {
        str(problem.file.relative_to(root)): (problem.severity, problem.what)
        for problem in report.problems
        if problem.file is not None
    }


def test_a_good_folder_is_described_in_numbers(pairs: Path, save: Save) -> None:
    save("images/d.png", noise(40, 50, 3))
    save("masks/d.png", np.zeros((40, 50), np.uint8))

    report = report_of(pairs)

    assert (report.layout, report.recognised, report.kind, report.dims) == ("pairs", True, "semantic", 2)
    assert (report.cases, report.usable, report.groups) == (4, 4, 4)
    assert report.sizes == ((24, 30), (24, 30), (40, 50))
    assert report.distinct_sizes == 2
    assert report.pixels == (("3 channels, uint8", 4),)
    assert [(item.value, item.images) for item in report.classes] == [(0, 4), (1, 3)]
    assert report.classes[1].share == pytest.approx(3 * 56 / (3 * 720 + 2000))
    assert report.trainable


def region_of(vertices: list[tuple[float, float]]) -> str:
    corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in vertices)
    return f"<Region><Vertices>{corners}</Vertices></Region>"


# --- every bad input by its file ----------------------------------------------------------------


def _missing_mask(root: Path) -> None:
    (root / "masks" / "b.png").unlink()


def _missing_image(root: Path) -> None:
    (root / "images" / "b.png").unlink()


def _duplicate_name(root: Path) -> None:
    Image.fromarray(noise(24, 30, 3)).save(root / "images" / "b.bmp")


def _another_size(root: Path) -> None:
    Image.fromarray(objects(24, 40)).save(root / "masks" / "b.png")


def _extra_class(root: Path) -> None:
    Image.fromarray(objects(value=5)).save(root / "masks" / "b.png")


def _sixteen_bits(root: Path) -> None:
    Image.fromarray(noise(24, 30, bits=16)).save(root / "images" / "b.png")


def _print_colours(root: Path) -> None:
    (root / "images" / "b.png").unlink()
    Image.fromarray(noise(24, 30, 3)).convert("CMYK").save(root / "images" / "b.jpg")


def _palette(root: Path) -> None:
    Image.fromarray(noise(24, 30, 3)).quantize(16).save(root / "images" / "b.png")


def _turned(root: Path) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    (root / "images" / "b.png").unlink()
    Image.fromarray(noise(30, 24, 3)).save(root / "images" / "b.jpg", exif=tag)


def _truncated(root: Path) -> None:
    path = root / "images" / "b.png"
    path.write_bytes(path.read_bytes()[:80])


def _empty_mask(root: Path) -> None:
    Image.fromarray(np.zeros((24, 30), np.uint8)).save(root / "masks" / "b.png")


def _exchanged(root: Path) -> None:
    image, mask = root / "images" / "b.png", root / "masks" / "b.png"
    held = image.read_bytes()
    image.write_bytes(mask.read_bytes())
    mask.write_bytes(held)


def _copied(root: Path) -> None:
    with Image.open(root / "images" / "a.png") as picture:
        (root / "images" / "b.png").unlink()
        picture.save(root / "images" / "b.bmp")


@pytest.mark.parametrize(
    ("spoil", "file", "severity", "words"),
    [
        (_missing_mask, "images/b.png", "left out", "it has no mask"),
        (_missing_image, "masks/b.png", "left out", "it has no image"),
        (_duplicate_name, "images/b.bmp", "left out", "shares the name 'b' with another image"),
        (_another_size, "images/b.png", "left out", "24x30 pixels but its mask b.png has 24x40"),
        (_extra_class, "masks/b.png", "left out", "holds the number 5 but there are 3 classes, 0 to 2"),
        (_sixteen_bits, "images/b.png", "note", "16 bits"),
        (_print_colours, "images/b.jpg", "note", "print colours (CMYK)"),
        (_palette, "images/b.png", "note", "a palette"),
        (_turned, "images/b.jpg", "note", "EXIF tag"),
        (_truncated, "images/b.png", "left out", "truncated or damaged"),
        (_empty_mask, "masks/b.png", "note", "it is empty"),
        (_exchanged, "masks/b.png", "left out", "seem to be exchanged"),
        (_copied, "images/b.bmp", "note", "the same picture as a.png"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_pair_is_named_by_file_and_the_others_go_on(
    pairs: Path, spoil: Break, file: str, severity: str, words: str
) -> None:
    spoil(pairs)

    report = report_of(pairs, num_classes=3)

    found = named(report, pairs)
    assert found[file][0] == severity
    assert words in found[file][1]
    assert report.usable == (2 if severity == "left out" else 3)
    assert report.trainable


def test_an_empty_test_split_is_named(tmp_path: Path, save: Save) -> None:
    for name in "ab":
        save(f"train/images/{name}.png", noise(24, 30 + ord(name), 3))
        save(f"train/masks/{name}.png", objects(24, 30 + ord(name)))
    (tmp_path / "test" / "images").mkdir(parents=True)
    (tmp_path / "test" / "masks").mkdir()

    report = report_of(tmp_path)

    assert report.splits == ("train", "test")
    assert [problem.what for problem in report.problems] == ["its split 'test' holds no pair"]
    assert report.trainable


def test_an_image_of_the_test_split_that_is_also_trained_on_is_named(tmp_path: Path, save: Save) -> None:
    for name, width in (("train/{}/a", 30), ("train/{}/b", 31), ("test/{}/c", 30)):
        save(f"{name.format('images')}.png", noise(24, width, 3))
        save(f"{name.format('masks')}.png", objects(24, width))

    report = report_of(tmp_path)

    assert (
        "the same picture as a.png but in the split 'test'" in named(report, tmp_path)["test/images/c.png"][1]
    )


def test_fewer_cases_than_folds_is_an_error(pairs: Path) -> None:
    report = report_of(pairs, folds=5)

    assert not report.trainable
    assert "3 images of different origin, too few for 5 folds" in report.problems[-1].what


def test_a_dataset_of_which_nothing_can_be_used_is_reported_all_the_same(pairs: Path) -> None:
    for path in (pairs / "masks").iterdir():
        path.write_bytes(b"")

    report = report_of(pairs)

    assert (report.cases, report.usable) == (3, 0)
    assert not report.trainable
    assert set(named(report, pairs)) >= {"masks/a.png", "masks/b.png", "masks/c.png"}


@pytest.mark.parametrize(
    ("regions", "words", "highest"),
    [
        ([[(100, 100), (120, 100), (120, 120)]], "1 of its outlines lie outside of the image", 1),
        ([[(25, 20), (40, 20), (40, 40)]], "1 of its outlines reach over the border", 2),
        ([[(5, 5), (6, 6)]], "1 of its outlines enclose no pixel", 1),
    ],
    ids=["outside", "over the border", "a line"],
)
def test_an_outline_outside_of_its_image_is_named_and_the_others_are_drawn(
    tmp_path: Path, save: Save, regions: list[list[tuple[float, float]]], words: str, highest: int
) -> None:
    for width, name in ((30, "TCGA-18-5592"), (31, "TCGA-38-6178")):
        save(f"Tissue Images/{name}.tif", noise(24, width, 3))
        inside = [(3, 3), (15, 3), (15, 15), (3, 15)]
        written = "".join(
            region_of(vertices) for vertices in ([inside, *regions] if width == 30 else [inside])
        )
        path = tmp_path / "Annotations" / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<Annotations><Annotation><Regions>{written}</Regions></Annotation></Annotations>")

    report = report_of(tmp_path)

    assert report.layout == "monuseg"
    assert words in named(report, tmp_path)["Annotations/TCGA-18-5592.xml"][1]
    assert report.objects is not None
    assert report.objects[-1] == highest
    assert report.usable == 2


def _corrupt_header(path: Path) -> None:
    path.write_bytes(b"\x00" * 400)


def _no_unit(path: Path) -> None:
    image = nib.load(path)
    copy = nib.Nifti1Image(np.asarray(image.dataobj), np.eye(4))
    copy.header.set_xyzt_units("unknown")
    nib.save(copy, path)


def _no_spacing(path: Path) -> None:
    """Of image and mask."""
    for file in (path, path.parents[1] / "labelsTr" / path.name):
        content = bytearray(file.read_bytes())
        content[80:92] = np.zeros(3, "<f4").tobytes()  # pixdim of x, y, z
        content[252:256] = np.zeros(2, "<i2").tobytes()  # neither qform nor sform
        file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("spoil", "severity", "words"),
    [
        (_corrupt_header, "left out", "cannot be read as NIfTI"),
        (_no_unit, "note", "no unit of its voxel size, so 1 x 1 x 1"),
        (_no_spacing, "note", "no voxel size, so 1 x 1 x 1"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_volume_is_named_and_the_others_go_on(
    tmp_path: Path, spoil: Break, severity: str, words: str
) -> None:
    training = []
    for number in range(3):
        mask = np.zeros((8, 9, 10), np.uint8)
        mask[2:5, 2:5, 2:5] = 1
        image = RNG.normal(100, 10, mask.shape).astype(np.float32)
        for folder, values in (("imagesTr", image), ("labelsTr", mask)):
            written = nib.Nifti1Image(values, np.eye(4))
            written.header.set_xyzt_units("mm")
            (tmp_path / folder).mkdir(exist_ok=True)
            nib.save(written, tmp_path / folder / f"v{number}.nii")
        training.append({"image": f"./imagesTr/v{number}.nii", "label": f"./labelsTr/v{number}.nii"})
    description = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "cube"}, "training": training}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    spoil(tmp_path / "imagesTr" / "v1.nii")

    report = report_of(tmp_path)

    assert (report.layout, report.dims, report.spacing_mm) == ("decathlon", 3, (1.0, 1.0, 1.0))
    assert report.classes[1].name == "cube"
    found = named(report, tmp_path)["imagesTr/v1.nii"]
    assert found[0] == severity
    assert words in found[1]
    assert report.usable == (2 if severity == "left out" else 3)


# --- the report as data --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("masks", "kind"),
    [
        ([{1}, {1}, set()], "semantic"),
        ([{1, 2}, {2}, {1, 2}], "classes"),
        ([{1, 2, 3}, {1}, {1, 2}], "instances"),
        ([{300}, {1}, {1, 2}], "instances"),
    ],
    ids=["one number", "numbers that return", "numbers in a row", "many numbers"],
)
def test_of_a_folder_of_pairs_the_numbers_tell_what_the_masks_are(
    tmp_path: Path, save: Save, masks: list[set[int]], kind: str
) -> None:
    for place, numbers in enumerate(masks):
        mask = np.zeros((24, 30), np.uint16)
        for row, number in enumerate(numbers):
            mask[2 * row : 2 * row + 1] = number
        save(f"images/{place}.png", noise(24, 30, 3 + place % 2))
        save(f"masks/{place}.png", mask)

    assert report_of(tmp_path).kind == kind


def test_progress_is_told_and_the_report_is_plain_data(pairs: Path) -> None:
    events = list(check_dataset(pairs))

    assert [(e.done, e.total) for e in events if isinstance(e, CaseChecked)] == [(1, 3), (2, 3), (3, 3)]
    last = pickle.loads(pickle.dumps(events[-1]))
    assert isinstance(last, DatasetChecked)
    assert json.loads(json.dumps(last.to_dict()))["report"]["layout"] == "pairs"
    assert dataclasses.is_dataclass(last.report)


def test_a_check_can_be_stopped(pairs: Path) -> None:
    control = Control()
    events = check_dataset(pairs, control=control)
    next(events)
    control.stop()

    with pytest.raises(Stopped):
        next(events)


def test_a_folder_without_any_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No pairs of image and mask were found"):
        list(check_dataset(tmp_path))
