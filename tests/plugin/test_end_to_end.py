"""The three docks with the real engines: train on drawn pairs, segment, look inside."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_utanet.shelf import Shelf
from napari_utanet.widgets.experts_dock import ExpertsDock
from napari_utanet.widgets.segment_dock import SegmentDock
from napari_utanet.widgets.train_dock import TrainDock
from src_model import train


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Five 48x48 images with a bright square each."""
    rng = np.random.default_rng(0)
    root = tmp_path / "squares"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(5):
        image, mask = make_image(rng)
        tifffile.imwrite(root / "images" / f"{number}.tif", image, photometric="rgb")
        tifffile.imwrite(root / "masks" / f"{number}.tif", mask)
    return root


def make_image(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    image = rng.integers(0, 60, (48, 48, 3), dtype=np.uint8)
    mask = np.zeros((48, 48), np.uint8)
    y, x = rng.integers(4, 20, 2)
    mask[y : y + 20, x : x + 20] = 255
    image[mask > 0] += 150
    return image, mask


def train_on_tiny_crops(config: Any, **options: Any) -> Iterator[Any]:
    """The real engine on 32x32 crops, so that the test takes seconds."""
    data = config.data.model_copy(update={"image_size": 32})
    return train(config.model_copy(update={"data": data, "precision": "float32"}), **options)


def test_a_model_trained_in_one_dock_segments_and_is_explained_in_the_others(
    viewer: Any, open_dock: Any, pairs: Path, qtbot: Any, shelf: Shelf
) -> None:
    trainer = open_dock(TrainDock, engine=train_on_tiny_crops)
    segmenter, experts = open_dock(SegmentDock), open_dock(ExpertsDock)

    def press(button: Any, worker: Any) -> None:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: not worker.running, timeout=120_000)

    trainer.fields.source.value = "folder"
    trainer.fields.folder.value = pairs
    trainer.state.device = "cpu"
    trainer.state.stage1_epochs = trainer.state.stage2_epochs = 1
    trainer.state.batch_size = 4
    press(trainer.start_button, trainer.workers["train"])
    assert not trainer.status.is_error, trainer.status.text()
    assert [path.name for path in shelf.paths] == ["model.safetensors"]

    image, _ = make_image(np.random.default_rng(1))
    layer = viewer.add_image(image, name="square", scale=(0.5, 0.5), translate=(3, 4), units=("um", "um"))
    segmenter.state.device = experts.state.device = "cpu"
    press(segmenter.button, segmenter.workers["segment"])
    assert segmenter.status.text().startswith("Done in"), segmenter.status.text()
    mask = viewer.layers["square mask"]
    assert mask.data.shape == (48, 48)
    assert np.allclose(mask.translate, layer.translate)
    assert mask.units == layer.units

    press(experts.button, experts.workers["experts"])
    assert not experts.status.is_error, experts.status.text()
    maps = [item for item in viewer.layers if item.name.startswith("square expert")]
    assert len(maps) == 4
    assert maps[0].data.shape == (24, 24)
    assert np.allclose(maps[0].data_to_world((0, 0)), layer.data_to_world((0.5, 0.5)))
    assert [sum("●" in cell for cell in row) for row in experts.table.texts()] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.full((32, 32), np.nan), "NaN"),
        (np.full((32, 32), 7, np.uint8), "value 7 everywhere"),
        (np.random.default_rng(0).random((1, 1)), "1"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_image_that_cannot_be_segmented_is_told_in_one_sentence(
    viewer: Any, open_dock: Any, qtbot: Any, real_checkpoint: Path, image: np.ndarray, expected: str
) -> None:
    dock = open_dock(SegmentDock)
    viewer.add_image(image, contrast_limits=(0, 1))

    qtbot.mouseClick(dock.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=60_000)

    assert dock.status.is_error
    assert expected in dock.status.text()
    assert "Unexpected" not in dock.status.text()
    assert len(viewer.layers) == 1


def test_five_channels_into_a_model_of_three_name_both_numbers(
    viewer: Any, open_dock: Any, qtbot: Any, real_checkpoint: Path
) -> None:
    dock = open_dock(SegmentDock)
    viewer.add_image(np.random.default_rng(0).random((5, 32, 32)))
    dock.stack.value = "channels"

    qtbot.mouseClick(dock.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.workers["segment"].running, timeout=60_000)

    assert "5" in dock.status.text()
    assert "3" in dock.status.text()
    assert dock.status.is_error


@pytest.fixture
def real_checkpoint(shelf: Shelf, tmp_path: Path) -> Path:
    from src_model import create_model, save_checkpoint

    path = save_checkpoint(tmp_path / "stage 1" / "model.safetensors", create_model("utanet", stage=1))
    shelf.add(path)
    return path
