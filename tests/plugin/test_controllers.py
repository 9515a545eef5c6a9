"""Controllers without a window: specified mocks for the dock, a worker that works at once."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock, create_autospec

import numpy as np
import pytest
from napari.components import ViewerModel
from psygnal import Signal
from pydantic import ValidationError

from napari_utanet.adapters.pairs import Preview
from napari_utanet.controllers.experts import ExpertsController, ExpertsView
from napari_utanet.controllers.runs import new_run_folder, unfinished_epochs
from napari_utanet.controllers.segment import SegmentController, SegmentView
from napari_utanet.controllers.slide_view import SlideView
from napari_utanet.controllers.train import TrainController
from napari_utanet.controllers.train_listener import TrainListener
from napari_utanet.controllers.train_view import TrainView
from napari_utanet.shelf import Shelf
from napari_utanet.state import ExpertsState, SegmentState, SlideState, TrainState
from napari_utanet.worker import one_sentence
from src_model.config import TrainConfig
from src_model.evaluation.events import CaseScored
from src_model.events import Control, Downloading, RunFinished


class AtOnce:
    """Stands in for the worker: runs the whole work before ``start`` returns."""

    running = False
    state = "idle"

    def start(self, work: Any, listener: Any, *, supersede: bool = False) -> bool:
        self.running = True
        try:
            for event in work(Control()):
                listener.on_event(event)
        except Exception as error:
            listener.on_error(one_sentence(error))
        self.running = False
        listener.on_end()
        return True


class Signals:
    """The signals of a view."""

    run_clicked = Signal()
    cancel_clicked = Signal()
    expert_clicked = Signal(int)
    start_clicked = Signal()
    pause_clicked = Signal()
    stop_clicked = Signal()
    unfinished_clicked = Signal()
    check_clicked = Signal()
    objects_clicked = Signal()
    tissue_clicked = Signal()
    picture_clicked = Signal(str)


def mock_view(protocol: type) -> Any:
    view = create_autospec(protocol, instance=True)
    signals = Signals()
    named = {name for one in protocol.__mro__ for name in getattr(one, "__annotations__", {})}
    for name in named & set(vars(Signals)):
        setattr(view, name, getattr(signals, name))
    if "slide" in named:
        view.slide, view.slide_state = mock_view(SlideView), SlideState()
    return view


def controller_of(model: ViewerModel, state: SegmentState, view: Any, shelf: Shelf, **options: Any) -> Any:
    return SegmentController(model, state, view, AtOnce(), shelf, helper=AtOnce(), **options)  # type: ignore[arg-type]


def said(view: Any) -> tuple[str, bool]:
    call = view.set_status.call_args
    return call.args[0], call.kwargs.get("error", False)


@pytest.fixture
def model() -> ViewerModel:
    return ViewerModel()


def test_segment_refuses_a_labels_layer_named_by_a_program(
    model: ViewerModel, shelf: Shelf, checkpoint: Path, segmenter: Any
) -> None:
    view, state = mock_view(SegmentView), SegmentState(checkpoint=checkpoint)
    controller = controller_of(model, state, view, shelf, engine=segmenter)
    state.layer = str(model.add_labels(np.ones((8, 8), int), name="drawn").unique_id)

    controller.run()

    assert said(view) == ("The layer 'drawn' is a Labels layer; choose an image layer.", True)


def test_segment_adds_the_mask_without_any_window(
    model: ViewerModel, shelf: Shelf, checkpoint: Path, segmenter: Any, nuclei: np.ndarray
) -> None:
    view, state = mock_view(SegmentView), SegmentState(checkpoint=checkpoint)
    controller = controller_of(model, state, view, shelf, engine=segmenter)
    model.add_image(nuclei, name="a")

    view.run_clicked.emit()

    assert "a mask" in model.layers
    assert said(view)[0].startswith("Done in")
    controller.close()


def test_a_damaged_checkpoint_is_told_and_not_put_on_the_shelf(
    model: ViewerModel, shelf: Shelf, tmp_path: Path
) -> None:
    view = mock_view(SegmentView)
    controller = controller_of(model, SegmentState(), view, shelf)
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"\x80\x02 a pickle")

    controller.open_checkpoint(path)

    assert "could run code" in said(view)[0]
    assert shelf.paths == []


def test_experts_dims_the_image_and_gives_its_light_back(
    model: ViewerModel, shelf: Shelf, checkpoint: Path, explainer: Any, nuclei: np.ndarray
) -> None:
    view, state = mock_view(ExpertsView), ExpertsState(checkpoint=checkpoint)
    controller = ExpertsController(model, state, view, AtOnce(), shelf, engine=explainer)  # type: ignore[arg-type]
    image = model.add_image(nuclei, opacity=0.9)
    view.run_clicked.emit()
    assert image.opacity == 0.35

    state.dim = False

    assert image.opacity == 0.9
    controller.close()


def test_train_resolves_the_sample_set_into_a_frozen_configuration(
    model: ViewerModel, shelf: Shelf, trainer: Any
) -> None:
    view, state = mock_view(TrainView), TrainState(stage1_epochs=1, stage2_epochs=1, batch_size=3)
    preview = Mock(return_value=Preview(np.zeros((2, 2, 3), np.uint8), ""))
    controller = TrainController(
        model,
        state,
        view,
        AtOnce(),
        AtOnce(),
        shelf,
        engine=trainer,
        make_preview=preview,  # type: ignore[arg-type]
    )

    view.start_clicked.emit()

    config = trainer.configs[0]
    assert config.data.root.name == "nuclei"
    assert config.data.sampling == "crop"
    assert (config.stage1.epochs, config.stage2.epochs, config.batch_size) == (1, 1, 3)
    assert [info.name for info in config.classes] == ["nucleus"]
    controller.close()


def test_train_tells_how_much_of_the_weights_is_fetched() -> None:
    view = mock_view(TrainView)
    config = TrainConfig.parse({"data": {"root": "x"}, "out": "run"})
    listener = TrainListener(view, config, Mock(), Mock())

    for done, total in ((0, 0), (34, 100), (100, 100)):
        listener.on_event(Downloading(name="ImageNet weights", done=done, total=total))

    assert [call.args for call in view.set_progress.call_args_list] == [
        (0, 0, "Fetching ImageNet weights"),
        (340, 1000, "Fetching ImageNet weights, 34 %"),
        (0, 0, ""),
    ]


def test_train_shows_the_scoring_at_the_end_and_names_the_report_in_few_words(tmp_path: Path) -> None:
    view = mock_view(TrainView)
    config = TrainConfig.parse({"data": {"root": "x"}, "out": "run"})
    listener = TrainListener(view, config, Mock(), Mock())
    out = tmp_path / "nuclei"

    listener.on_event(CaseScored(case="a", done=2, total=8, scores=(), seconds_left=1.0))
    during = view.set_progress.call_args.args
    listener.on_event(
        RunFinished(
            run=out,
            checkpoint=out / "model.safetensors",
            dice=0.8,
            seconds=3.0,
            report=out / "report.html",
        )
    )

    assert during == (2, 8, "Scoring the images held out, 2 of 8")
    assert "report.html in the run folder 'nuclei'" in said(view)[0]
    assert str(tmp_path) not in said(view)[0]


def test_several_classes_ask_for_one_more_output_than_classes(
    model: ViewerModel, shelf: Shelf, trainer: Any
) -> None:
    view, state = mock_view(TrainView), TrainState(stage1_epochs=1, stage2_epochs=1, classes=3)
    preview = Mock(return_value=Preview(np.zeros((2, 2, 3), np.uint8), ""))
    controller = TrainController(
        model,
        state,
        view,
        AtOnce(),
        AtOnce(),
        shelf,
        engine=trainer,
        make_preview=preview,  # type: ignore[arg-type]
    )

    view.start_clicked.emit()

    assert trainer.configs[0].model.num_classes == 4
    assert len(trainer.configs[0].classes) == 3
    controller.close()


@pytest.mark.parametrize(
    ("state", "name", "value"),
    [(SegmentState, "threshold", 1.5), (TrainState, "batch_size", 0), (ExpertsState, "top_k", 0)],
)
def test_a_state_refuses_values_out_of_bounds(state: type, name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        setattr(state(), name, value)


def test_a_state_refuses_unknown_fields() -> None:
    with pytest.raises(ValidationError):
        SegmentState(thresold=0.5)  # type: ignore[call-arg]


def test_a_run_folder_is_never_one_that_exists(tmp_path: Path) -> None:
    first = new_run_folder(tmp_path, "nuclei")
    first.mkdir()

    second = new_run_folder(tmp_path, "nuclei")

    assert second != first
    assert second.name.endswith("(2)")


def test_a_folder_counts_as_unfinished_until_all_epochs_are_in_its_history(tmp_path: Path) -> None:
    assert unfinished_epochs(tmp_path) is None
    config = TrainConfig.parse(
        {
            "data": {"root": "x"},
            "out": str(tmp_path),
            "stage1": {"epochs": 2, "learning_rate": 1e-3, "weight_decay": 0},
            "stage": "first",
        }
    )
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    (tmp_path / "history.csv").write_text("stage,epoch\n1,1\n")
    assert unfinished_epochs(tmp_path) == (1, 2)

    (tmp_path / "history.csv").write_text("stage,epoch\n1,1\n1,2\n")

    assert unfinished_epochs(tmp_path) is None
