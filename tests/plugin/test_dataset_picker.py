"""The Train dock takes a folder of any layout, says what it holds, and trains by any protocol."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_utanet.adapters.dataset_summary import class_count, summarise_report
from napari_utanet.adapters.pairs import Preview
from napari_utanet.controllers.train_request import resolve
from napari_utanet.state import TrainState
from napari_utanet.widgets.train_dock import TrainDock
from src_model.data.integrity import ClassShare, Integrity
from src_model.data.layouts.synapse import ORGANS
from src_model.data.problems import Problem
from src_model.errors import DataError
from src_model.events import CaseChecked, Control, DatasetChecked
from src_model.protocols import list_protocols, purpose

ROOT = Path("folder")


def report(**changes: Any) -> Integrity:
    """Of three pairs with one class, changed where a test needs it."""
    values: dict[str, Any] = {
        "root": ROOT, "layout": "pairs", "title": "folder of pairs", "recognised": True, "kind": "semantic",
        "dims": 2, "split": None, "splits": (), "cases": 3, "usable": 3, "groups": 3,
        "sizes": ((20, 24), (20, 24), (20, 24)), "distinct_sizes": 1, "pixels": (("1 channel, uint8", 3),),
        "classes": (ClassShare(0, "background", 3, 0.8), ClassShare(1, "", 3, 0.2)), "objects": None,
        "spacing_mm": None, "mask_endings": (), "problems": (),
    }  # fmt: skip
    return Integrity(**values | changes)


def write_pairs(folder: Path, names: str) -> None:
    """Images of noise, each with a square object, as ``images`` and ``masks``."""
    mask = np.zeros((40, 48), np.uint8)
    mask[6:14, 7:17] = 1
    for number, name in enumerate(names):
        image = np.random.default_rng(number).integers(0, 255, (40, 48, 3), dtype=np.uint8)
        for kind, array in (("images", image), ("masks", mask)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / kind / f"{name}.tif", array)


def write_decathlon(folder: Path) -> None:
    """Two volumes with two named classes."""
    cases = []
    for number in range(2):
        image = np.random.default_rng(number).normal(size=(12, 10, 8)).astype(np.float32)
        mask = np.zeros((12, 10, 8), np.uint8)
        mask[2:6, 2:6, 2:6], mask[7:9, 7:9, 2:6] = 1, 2
        for kind, array in (("imagesTr", image), ("labelsTr", mask)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            volume = nib.Nifti1Image(array, np.eye(4))
            volume.header.set_xyzt_units("mm")
            nib.save(volume, folder / kind / f"v{number}.nii")
        cases.append({"image": f"./imagesTr/v{number}.nii", "label": f"./labelsTr/v{number}.nii"})
    description = {
        "name": "Cubes",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "head", "2": "tail"},
        "training": cases,
    }
    (folder / "dataset.json").write_text(json.dumps(description))


@pytest.fixture
def dock(open_dock: Any, trainer: Any) -> TrainDock:
    """A dock with a small engine that really looks into folders."""
    return open_dock(TrainDock, engine=trainer)


@pytest.fixture
def choose(dock: TrainDock, qtbot: Any) -> Any:
    """Chooses a folder and waits until it is checked."""

    def choose_(folder: Path) -> None:
        dock.fields.source.value = "folder"
        dock.fields.folder.value = folder
        qtbot.waitUntil(lambda: not dock.workers["preview"].running, timeout=20_000)

    return choose_


@pytest.fixture
def press(qtbot: Any) -> Any:
    return lambda button: qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def start(dock: TrainDock, press: Any, qtbot: Any) -> Any:
    """Presses Start and waits until nothing runs."""

    def start_() -> None:
        dock.state.stage1_epochs, dock.state.stage2_epochs = 1, 1
        press(dock.start_button)
        qtbot.waitUntil(lambda: not dock.workers["train"].running, timeout=20_000)

    return start_


def test_a_folder_with_a_bad_pair_is_described_and_the_file_named(
    dock: TrainDock, choose: Any, press: Any, tmp_path: Path
) -> None:
    write_pairs(tmp_path, "abcd")
    (tmp_path / "masks" / "b.tif").unlink()

    choose(tmp_path)
    folded = dock.dataset.details.isHidden()
    press(dock.dataset.details_button)

    assert dock.dataset.line.text() == "Folder of pairs: 3 pairs, one class, 40 x 48 pixels"
    assert dock.dataset.trouble.text() == "1 file left out"
    assert folded
    assert not dock.dataset.details.isHidden()
    assert dock.dataset.details.isReadOnly()
    assert f"{Path('images') / 'b.tif'}: it has no mask" in dock.dataset.details.toPlainText()
    assert not dock.status.text()


def test_a_mended_file_is_found_by_checking_again(
    dock: TrainDock, choose: Any, press: Any, tmp_path: Path, qtbot: Any
) -> None:
    write_pairs(tmp_path, "abcd")
    (tmp_path / "images" / "b.tif").write_bytes(b"not an image")
    choose(tmp_path)
    before = dock.dataset.trouble.text()
    write_pairs(tmp_path, "abcd")

    press(dock.dataset.check_button)
    qtbot.waitUntil(lambda: "4 pairs" in dock.dataset.line.text(), timeout=20_000)

    assert before == "1 file left out"
    assert dock.dataset.trouble.text() == ""
    assert dock.dataset.details.isHidden()


def test_an_unreadable_first_image_does_not_keep_the_next_from_being_shown(
    dock: TrainDock, choose: Any, tmp_path: Path
) -> None:
    write_pairs(tmp_path, "abc")
    (tmp_path / "images" / "a.tif").write_bytes(b"not an image")

    choose(tmp_path)

    assert not dock.picture.image.isHidden()
    assert dock.picture.caption.text() == "b.tif"


def test_a_folder_that_is_not_laid_out_as_asked_is_told_in_red(
    dock: TrainDock, choose: Any, tmp_path: Path, qtbot: Any
) -> None:
    write_pairs(tmp_path, "abc")
    choose(tmp_path)

    dock.fields.layout.value = "decathlon"
    qtbot.waitUntil(lambda: bool(dock.dataset.error.text()), timeout=20_000)

    assert "dataset.json" in dock.dataset.error.text()
    assert dock.dataset.error.is_error
    assert dock.picture.isHidden()


def test_the_layout_that_is_asked_for_is_trained_on(
    dock: TrainDock, choose: Any, start: Any, trainer: Any, tmp_path: Path
) -> None:
    write_pairs(tmp_path, "abc")
    dock.fields.layout.value = "kvasir"
    choose(tmp_path)

    start()

    assert trainer.configs[0].data.layout == "kvasir"


def test_what_an_earlier_folder_would_say_is_dropped(
    open_dock: Any, trainer: Any, tmp_path: Path, qtbot: Any
) -> None:
    begun, go = threading.Event(), threading.Event()

    def check(root: Path, layout: str, *, control: Control) -> Iterator[object]:
        yield CaseChecked(done=1, total=2)
        if root.name == "slow":
            begun.set()
            go.wait(10)
        yield DatasetChecked(report=report(root=root, title=root.name))

    for name in ("slow", "quick"):
        (tmp_path / name).mkdir()
    picture = Preview(np.zeros((8, 8, 3), np.uint8), "a.png")
    dock = open_dock(TrainDock, engine=trainer, make_preview=lambda request: picture, check=check)
    dock.fields.source.value = "folder"
    dock.fields.folder.value = tmp_path / "slow"
    assert begun.wait(10)
    qtbot.waitUntil(lambda: dock.dataset.line.text() == "Reading the files: 1 of 2", timeout=10_000)

    dock.fields.folder.value = tmp_path / "quick"
    go.set()
    qtbot.waitUntil(lambda: not dock.workers["preview"].running, timeout=10_000)
    qtbot.wait(60)

    assert dock.dataset.line.text().startswith("Quick: 3 pairs")


def test_neither_the_sample_nor_drawn_layers_are_checked(open_dock: Any, trainer: Any, viewer: Any) -> None:
    def check(*_: Any, **__: Any) -> Iterator[object]:
        raise DataError("It was checked.")

    viewer.add_image(np.zeros((160, 200)))
    viewer.add_labels(np.ones((160, 200), int))
    picture = Preview(np.zeros((8, 8, 3), np.uint8), "1 pair")
    dock = open_dock(TrainDock, engine=trainer, make_preview=lambda request: picture, check=check)

    dock.fields.source.value = "layers"

    assert dock.dataset.isHidden()
    assert dock.fields.layout.native.isHidden()


def test_volumes_are_refused_before_the_start_until_a_network_for_them_is_chosen(
    dock: TrainDock, choose: Any, press: Any, start: Any, trainer: Any, tmp_path: Path, qtbot: Any
) -> None:
    write_decathlon(tmp_path)
    dock.look_up()
    qtbot.waitUntil(lambda: "u2net3d" in dock.fields.model.choices, timeout=60_000)
    choose(tmp_path)
    expected = (
        "These are volumes but the network 'utanet' takes flat images; choose another architecture, "
        "such as u2net3d."
    )
    assert dock.dataset.error.text() == expected
    press(dock.start_button)
    assert (dock.status.text(), trainer.configs) == (expected, [])

    dock.fields.protocol.value = "u2net3d-decathlon"
    told = dock.status.text()
    start()

    config = trainer.configs[0]
    assert told == ""
    assert dock.dataset.error.text() == ""
    assert (config.model.name, config.data.layout, config.stage) == ("u2net3d", "decathlon", "first")
    assert config.classes == ()


def test_a_network_for_volumes_is_refused_for_the_sample_images(dock: TrainDock, start: Any) -> None:
    dock.state.model = "u2net3d"

    start()

    assert dock.status.text().startswith("These are images but the network 'u2net3d' takes volumes")


def test_classes_that_a_dataset_names_are_taken_over(
    dock: TrainDock, choose: Any, start: Any, trainer: Any, tmp_path: Path
) -> None:
    (tmp_path / "train_npz").mkdir()
    for number in (5, 6):
        label = np.zeros((40, 48), np.uint8)
        label[6:14, 7:17] = 3
        image = np.random.default_rng(number).random((40, 48), dtype=np.float32)
        np.savez(tmp_path / "train_npz" / f"case000{number}_slice000.npz", image=image, label=label)

    choose(tmp_path)
    start()

    config = trainer.configs[0]
    assert dock.fields.classes.value == 8
    assert "8 classes" in dock.dataset.line.text()
    assert config.model.num_classes == 9
    assert tuple(info.name for info in config.classes) == ORGANS


def test_a_number_of_classes_of_ones_own_is_kept_without_the_names(tmp_path: Path) -> None:
    state = TrainState(source="folder", folder=tmp_path, classes=2, out=tmp_path / "run")

    config = resolve(state, None, None, ORGANS).config

    assert [info.name for info in config.classes] == ["class 1", "class 2"]


@pytest.mark.parametrize("name", list_protocols())
def test_every_protocol_becomes_one_run_that_keeps_its_best_epoch(
    dock: TrainDock, name: str, tmp_path: Path
) -> None:
    dock.fields.protocol.value = name
    dock.state.out = tmp_path / "run"

    config = resolve(dock.state, None, None).config

    assert config.data.folds is None
    assert config.keep == "best"
    assert config.stage1.epochs == dock.fields.stage1_epochs.value


def test_a_protocol_of_a_dataset_sets_network_layout_and_classes(dock: TrainDock) -> None:
    dock.fields.protocol.value = "paper-synapse"

    state = dock.state
    assert (state.model, state.layout, state.classes, state.batch_size) == ("utanet", "synapse", 8, 24)


def test_each_protocol_says_what_it_is_for_the_general_ones_first(dock: TrainDock) -> None:
    field = dock.fields.protocol

    tips = [field.native.itemData(row, Qt.ItemDataRole.ToolTipRole) for row in range(len(field.choices))]

    assert field.choices[:3] == ("quick", "paper", "native")
    assert sorted(field.choices) == list_protocols()
    assert tips == [purpose(name) for name in field.choices]


def test_the_line_tells_split_objects_and_the_range_of_sizes() -> None:
    sizes = ((430, 567), (522, 775), (522, 775))
    glas = report(title="GlaS", split="train", kind="instances", usable=85, sizes=sizes, distinct_sizes=2)

    assert summarise_report(glas).line == "GlaS (train): 85 pairs, objects, 430 x 567 to 522 x 775 pixels"


def test_a_dataset_that_cannot_be_trained_on_says_why() -> None:
    problem = Problem(None, "it has 1 usable images of different origin but at least 2 are needed", "error")

    summary = summarise_report(report(problems=(problem,)))

    assert summary.error.startswith("This dataset cannot be trained on: it has 1 usable images")
    assert "the whole folder: it has 1 usable images" in summary.details


def test_a_file_left_out_for_two_reasons_is_counted_once() -> None:
    file = ROOT / "a.png"
    problems = (Problem(file, "it is small"), Problem(file, "it is dark"), Problem(file, "it is odd", "note"))

    assert summarise_report(report(problems=problems)).trouble == "1 file left out, 1 note"


@pytest.mark.parametrize(
    ("kind", "values", "names", "expected"),
    [
        ("semantic", (0, 255), (), 1),
        ("instances", (0, 1), (), 1),
        ("classes", (0, 1, 2, 3), (), 3),
        ("classes", (0, 128, 255), (), None),
        ("classes", (0, 3), ("liver", "spleen", "kidney"), 3),
    ],
)
def test_the_number_of_classes_is_told_by_names_or_else_by_consecutive_numbers(
    kind: str, values: tuple[int, ...], names: tuple[str, ...], expected: int | None
) -> None:
    classes = tuple(ClassShare(value, "", 3, 0.1) for value in values)

    assert class_count(report(kind=kind, classes=classes, class_names=names)) == expected
