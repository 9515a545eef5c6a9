"""The Experts dock by its real button, in a real viewer, with a small engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_utanet.widgets.experts_dock import ExpertsDock
from src_model.errors import ModelError
from src_model.models.checkpoint import save_checkpoint
from src_model.models.registry import create_model


@pytest.fixture
def show(qtbot: Any) -> Callable[[ExpertsDock], None]:
    """Press the button and wait until the work has ended."""

    def show_(dock: ExpertsDock) -> None:
        qtbot.mouseClick(dock.button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: not dock.workers["experts"].running, timeout=10_000)

    return show_


@pytest.fixture
def dock(open_dock: Any, checkpoint: Any, explainer: Any) -> ExpertsDock:
    return open_dock(ExpertsDock, engine=explainer)


def test_each_expert_gets_a_heat_map_and_all_share_one_contrast(
    viewer: Any, dock: ExpertsDock, show: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei, name="tissue")

    show(dock)

    maps = [viewer.layers["tissue expert 1"], viewer.layers["tissue expert 2"]]
    assert maps[0].contrast_limits == maps[1].contrast_limits
    assert {layer.blending for layer in maps} == {"additive"}
    assert [layer.visible for layer in maps] == [False, True]


def test_a_heat_map_lies_exactly_over_an_image_of_any_transform(
    viewer: Any, dock: ExpertsDock, show: Any
) -> None:
    affine = np.array([[1.0, 0.3, 5.0], [0.0, 1.2, -3.0], [0.0, 0.0, 1.0]])
    image = viewer.add_image(
        np.random.default_rng(0).random((32, 24)), scale=(0.5, 0.25), translate=(7, 9), rotate=30,
        shear=[0.2], affine=affine, units=("um", "um"), axis_labels=("row", "column"),
    )  # fmt: skip

    show(dock)

    layer = viewer.layers["Image expert 1"]
    for grid in ((0, 0), (15, 11), (3, 7)):
        pixel = 0.5 + 2 * np.array(grid)
        assert np.allclose(layer.data_to_world(grid), image.data_to_world(pixel))
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels


def test_of_a_stack_the_plane_that_is_shown_is_explained_and_lies_on_that_plane(
    viewer: Any, dock: ExpertsDock, show: Any
) -> None:
    stack = np.random.default_rng(0).random((5, 32, 24))
    image = viewer.add_image(stack, name="stack", scale=(3, 1, 1), translate=(10, 0, 0))
    viewer.dims.set_current_step(0, 2)

    show(dock)

    layer = viewer.layers["stack expert 1"]
    assert layer.data.shape == (1, 16, 12)
    assert np.allclose(layer.data_to_world((0, 0, 0)), image.data_to_world((2, 0.5, 0.5)))


def test_the_table_marks_the_chosen_experts(
    viewer: Any, dock: ExpertsDock, show: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei)

    show(dock)

    assert dock.table.texts() == [["● 25%", "● 75%"], ["0%", "● 100%"]]
    assert dock.table.horizontalHeaderItem(1).text() == "Expert 2"


def test_each_of_several_routers_has_its_number(
    viewer: Any, dock: ExpertsDock, show: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei)

    show(dock)

    assert [dock.table.verticalHeaderItem(row).text() for row in range(2)] == ["Router 1", "Router 2"]


def test_a_network_with_one_router_for_all_levels_fills_one_row_without_a_number(
    viewer: Any, open_dock: Any, show: Any, nuclei: np.ndarray, tmp_path: Path
) -> None:
    model = create_model("light-utanet-slim", base_channels=8, mixture_width=8)
    viewer.add_image(nuclei, name="tissue")
    dock = open_dock(ExpertsDock)
    dock.controller.open_checkpoint(save_checkpoint(tmp_path / "light.safetensors", model))

    show(dock)

    (row,) = dock.table.texts()
    assert [text.startswith("●") for text in row].count(True) == 2
    assert dock.table.verticalHeaderItem(0).text() == "Router"
    assert [layer.name for layer in viewer.layers][1:] == [f"tissue expert {n}" for n in (1, 2, 3, 4)]


def test_clicking_a_column_shows_that_expert_alone(
    viewer: Any, dock: ExpertsDock, show: Any, nuclei: np.ndarray
) -> None:
    viewer.add_image(nuclei, name="tissue")
    show(dock)

    dock.table.cellClicked.emit(1, 0)

    assert viewer.layers["tissue expert 1"].visible
    assert not viewer.layers["tissue expert 2"].visible


def test_raw_channels_are_a_stack_with_named_axes_over_the_image(
    viewer: Any, dock: ExpertsDock, show: Any, nuclei: np.ndarray
) -> None:
    image = viewer.add_image(nuclei, name="tissue", scale=(2, 3), units=("um", "um"))
    dock.raw.value = True

    show(dock)

    layer = viewer.layers["tissue expert channels"]
    assert layer.data.shape == (2, 3, 24, 20)
    assert layer.axis_labels[:2] == ("expert", "channel")
    assert np.allclose(layer.data_to_world((1, 2, 4, 5))[2:], image.data_to_world((8.5, 10.5)))


def test_a_second_run_updates_the_maps(viewer: Any, dock: ExpertsDock, show: Any, nuclei: np.ndarray) -> None:
    viewer.add_image(nuclei, name="tissue")
    show(dock)

    show(dock)

    assert len(viewer.layers) == 3


def test_a_network_without_a_mixture_is_told_in_one_sentence(
    viewer: Any, open_dock: Any, checkpoint: Any, show: Any, nuclei: np.ndarray
) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise ModelError("This network has no mixture of experts; train its stage 2.")

    viewer.add_image(nuclei)
    dock = open_dock(ExpertsDock, engine=refuse)

    show(dock)

    assert dock.status.text() == "This network has no mixture of experts; train its stage 2."
    assert dock.status.is_error


def test_without_an_image_it_says_what_to_do(dock: ExpertsDock, show: Any) -> None:
    show(dock)

    assert dock.status.text() == "There is no image to look into: open an image first."
