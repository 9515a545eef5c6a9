"""A viewer, docks that must not leak, and small engines that stand in for the real ones."""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent
from safetensors.numpy import save_file

from napari_utanet import shelf as shelf_module
from napari_utanet.shelf import Shelf
from napari_utanet.widgets.dock import Dock
from src_model import events as ev
from src_model.config import ClassInfo, Normalisation
from src_model.errors import Stopped
from src_model.models.header import CheckpointInfo


def _stand_in_for_opengl() -> None:
    """Off screen there is no OpenGL to ask for its limits; nothing is drawn in these tests."""
    from vispy.gloo import gl
    from vispy.gloo.gl import _pyopengl2

    def limit(name: int) -> Any:
        return "" if name == gl.GL_EXTENSIONS else 2048

    gl.glGetParameter = _pyopengl2.glGetParameter = limit


if os.environ.get("QT_QPA_PLATFORM") == "offscreen":
    _stand_in_for_opengl()


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither read nor write the settings and runs of the person who runs the tests."""
    monkeypatch.setattr(shelf_module, "user_config_path", lambda name: tmp_path / "config" / name)
    monkeypatch.setattr(shelf_module, "user_data_path", lambda name: tmp_path / "data" / name)
    shelf_module.shared_shelf.cache_clear()


@pytest.fixture(autouse=True, scope="session")
def _collect_garbage_faster() -> None:
    """Leave what the imports made out of every later garbage collection."""
    import napari.qt  # noqa: F401
    import torch  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_is_left(qapp: Any) -> Iterator[None]:
    """Fail a test that leaves a thread or a dock behind, once its viewer is closed."""
    yield
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("utanet-")] == []
    assert [widget for widget in qapp.allWidgets() if isinstance(widget, Dock)] == []


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "models.json")


@pytest.fixture
def checkpoint(tmp_path: Path, shelf: Shelf) -> Path:
    """A checkpoint on the shelf with a description but no network; for fake engines."""
    path = tmp_path / "nuclei run" / "model.safetensors"
    path.parent.mkdir()
    info = CheckpointInfo(
        config={"name": "utanet", "num_classes": 1},
        classes=(ClassInfo(name="nucleus", color="#112233"),),
        normalisation=Normalisation(),
        pixel_size_um=None,
        history=(),
        versions={},
        training={},
    )
    save_file({"weight": np.zeros(1, np.float32)}, path, metadata=info.to_metadata())
    shelf.add(path)
    return path


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer()


@pytest.fixture
def open_dock(viewer: Any, shelf: Shelf) -> Callable[..., Any]:
    """Opens a dock in the viewer, as napari does."""

    def open_(dock_class: type, **options: Any) -> Any:
        dock = dock_class(viewer, shelf=shelf, **options)
        viewer.window.add_dock_widget(dock, name=dock_class.__name__)
        return dock

    return open_


class FakeSegmenter:
    """Segments by a threshold on brightness, in four steps, waiting where a test asks for it."""

    def __init__(self, *, classes: int = 1) -> None:
        self.go = threading.Event()
        self.go.set()
        self.started = threading.Event()
        self.calls: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.classes = classes
        self.warning: str | None = None
        self.fill: int | None = None
        self.control = ev.Control()
        """Of the last call."""

    def __call__(self, source: Any, checkpoint: Any, *, control: ev.Control, **options: Any) -> Iterator[Any]:
        self.control = control
        self.calls.append({"source": source, "checkpoint": checkpoint, **options})
        if self.error is not None:
            raise self.error
        yield ev.SegmentationStarted(source="array", tiles=4, device="cpu")
        if self.warning:
            yield ev.Warned(message=self.warning)
        self.started.set()
        try:
            for done in range(1, 5):
                self.go.wait(10)
                control.check()
                yield ev.TileFinished(source="array", done=done, total=4, seconds_left=None)
        except Stopped as stop:
            yield ev.SegmentationStopped(results=(), message=str(stop))
            return
        yield self._finished(np.asarray(source), options)

    def _finished(self, source: np.ndarray, options: dict[str, Any]) -> ev.SegmentationFinished:
        axes = options["axes"]
        plane = source.mean(axis=axes.index("C")) if "C" in axes else source
        foreground = plane > plane.mean()
        mask = foreground.astype(np.uint32 if options["instances"] else np.uint8)
        if self.fill is not None:
            mask[:] = self.fill
        probability = None
        if options["probability"]:
            probability = np.stack([foreground.astype(np.float32)] * self.classes)
        result = ev.ImageSegmented(
            source="array",
            mask=mask,
            probability=probability,
            path=None,
            foreground=float(foreground.mean()),
            objects=7 if options["instances"] else None,
            seconds=0.5,
        )
        return ev.SegmentationFinished(results=(result,), seconds=0.5)


class FakeTrainer:
    """Yields the events of a short run, two epochs a stage, waiting where a test asks for it."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.in_epoch = threading.Event()
        self.configs: list[Any] = []
        self.error: Exception | None = None
        self.closed = 0

    def __call__(self, config: Any, *, control: ev.Control) -> Iterator[Any]:
        self.configs.append(config)
        config.out.mkdir(parents=True, exist_ok=True)
        (config.out / "config.yaml").write_text(config.model_copy(update={"resume": False}).to_yaml())
        rows = ["stage,epoch"]
        yield ev.RunStarted(
            run=config.out, model="utanet", device="cpu", precision="float32", train_images=8,
            validation_images=2, stages=("1", "2"),
        )  # fmt: skip
        try:
            for stage, epochs in (("1", config.stage1.epochs), ("2", config.stage2.epochs)):
                for epoch in range(1, epochs + 1):
                    yield from self._epoch(stage, epoch, epochs, control)
                    rows.append(f"{stage},{epoch}")
                    (config.out / "history.csv").write_text("\n".join(rows) + "\n")
        except Stopped:
            yield ev.RunStopped(run=config.out, checkpoint=None, message="Stopped; resume it any time.")
            return
        finally:
            self.closed += 1
        model = config.out / "model.safetensors"
        model.write_bytes(b"weights")
        yield ev.RunFinished(run=config.out, checkpoint=model, dice=0.81, seconds=3.0)

    def _epoch(self, stage: str, epoch: int, epochs: int, control: ev.Control) -> Iterator[Any]:
        if self.error is not None:
            raise self.error
        for step in range(1, 4):
            yield ev.StepFinished(
                stage=stage, epoch=epoch, epochs=epochs, step=step, steps=3, loss=0.5, seconds_left=65.0
            )
            self.in_epoch.set()
            self.go.wait(10)
            control.check()
        yield ev.EpochFinished(
            stage=stage, epoch=epoch, epochs=epochs, train_loss=0.5, segmentation_loss=0.5,
            balance_loss=0.0, validation_loss=0.4, dice=0.7, iou=0.6, learning_rate=1e-3,
            expert_usage=((0.4, 0.3, 0.2, 0.1),) * 4 if stage == "2" else None,
            seconds=1.0, seconds_left=2.0,
        )  # fmt: skip


def fake_explain(source: Any, checkpoint: Any, *, raw: bool = False, **options: Any) -> Any:
    """Two experts on a grid at stride 2; the second one weighs more."""
    height, width = (np.asarray(source).shape[n] for n in (0, 1))
    grid = (2, -(-height // 2), -(-width // 2))
    maps = np.random.default_rng(0).random(grid, dtype=np.float32)
    return SimpleNamespace(
        expert_maps=maps,
        raw_maps=np.stack([maps, -maps, maps], axis=1) if raw else None,
        routing_weights=np.array([[0.25, 0.75], [0.0, 1.0]]),
        routing_probabilities=np.array([[0.25, 0.75], [0.1, 0.9]]),
        selected=np.array([[True, True], [False, True]]),
        mask=np.zeros((height, width), np.uint8),
        grid_scale=(2.0, 2.0),
        grid_offset=(0.5, 0.5),
    )


@pytest.fixture
def segmenter() -> FakeSegmenter:
    return FakeSegmenter()


@pytest.fixture
def explainer() -> Callable[..., Any]:
    return fake_explain


@pytest.fixture
def trainer() -> FakeTrainer:
    return FakeTrainer()


@pytest.fixture
def nuclei() -> np.ndarray:
    """(48, 40, 3) uint8 with bright squares."""
    image = np.random.default_rng(0).integers(0, 20, (48, 40, 3), dtype=np.uint8)
    image[10:25, 8:20] += 150
    return image
