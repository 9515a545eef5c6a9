"""Evaluating images: what segment gives, scored against the masks, event by event."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from src_model import segment
from src_model.data.leakage import image_digest
from src_model.errors import CheckpointError, ConfigError, DataError, OutputError
from src_model.evaluation.compare import read_run
from src_model.evaluation.evaluate import evaluate
from src_model.evaluation.events import CaseScored, EvaluationFinished, EvaluationStarted, EvaluationStopped
from src_model.evaluation.judge import resize_mask
from src_model.evaluation.scores import Score
from src_model.events import Control, Event, SegmentationFinished, TileFinished, Warned
from src_model.inference.objects import to_objects
from src_model.metrics.instances import object_dice, object_f1
from src_model.metrics.pixel import dice
from src_model.metrics.surface import hd95
from src_model.models.checkpoint import Checkpoint

MakeCheckpoint = Callable[..., Checkpoint]
WritePair = Callable[..., None]

RESIZED = {"sampling": "resize", "image_size": 16}


def scene(seed: int, shape: tuple[int, int] = (40, 50)) -> tuple[np.ndarray, np.ndarray]:
    """A noisy grey image with bright squares, and a mask that is a little off."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 110, shape, dtype=np.uint8)
    mask = np.zeros(shape, np.uint8)
    for y, x in ((5, 5), (20, 25)):
        image[y : y + 12, x : x + 14] = 220
        mask[y + 1 : y + 13, x : x + 13] = 255
    return image, mask


@pytest.fixture
def data(tmp_path: Path, write_pair: WritePair) -> Path:
    """Three pairs."""
    for number, name in enumerate("abc"):
        write_pair(name, *scene(number))
    return tmp_path / "data"


def events_of(data: Path, checkpoint: Any, **options: Any) -> list[Event]:
    return list(evaluate(data, checkpoint, device="cpu", **options))


def finished(events: list[Event]) -> EvaluationFinished:
    last = events[-1]
    assert isinstance(last, EvaluationFinished)
    return last


def warnings_of(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned)]


def test_events_come_in_order_and_the_last_carries_the_table(data: Path, levels: MakeCheckpoint) -> None:
    events = events_of(data, levels())

    assert [event.kind for event in events] == [
        "evaluation_started",
        *["tile_finished", "case_scored"] * 3,
        "evaluation_finished",
    ]
    started, scored = events[0], [event for event in events if isinstance(event, CaseScored)]
    assert isinstance(started, EvaluationStarted)
    assert (started.cases, started.layout, started.split, started.labels) == (
        3,
        "pairs",
        None,
        ("foreground",),
    )
    assert [(event.case, event.done, event.total) for event in scored] == [
        ("a", 1, 3),
        ("b", 2, 3),
        ("c", 3, 3),
    ]
    assert scored[-1].seconds_left == 0
    assert finished(events).rows == tuple(score for event in scored for score in event.scores)
    assert finished(events).metrics is finished(events).report is None


def test_events_are_plain_data(data: Path, levels: MakeCheckpoint) -> None:
    events = events_of(data, levels())

    assert pickle.loads(pickle.dumps(events)) == events
    assert json.loads(json.dumps(events[-1].to_dict()))["rows"][0]["case"] == "a"


def test_the_scores_are_those_of_the_masks_that_segment_gives(data: Path, levels: MakeCheckpoint) -> None:
    checkpoint = levels(training=RESIZED)  # shrunk for the network, enlarged again

    rows = finished(events_of(data, checkpoint)).rows

    last = list(segment(data / "images" / "b.tif", checkpoint, device="cpu"))[-1]
    assert isinstance(last, SegmentationFinished)
    truth = scene(1)[1]
    mask = last.results[0].mask
    assert rows[1].dice == dice(mask, truth)
    assert rows[1].hd95 == hd95(mask, truth)
    assert 0.5 < rows[1].dice < 1


def test_at_the_training_resolution_image_and_mask_are_resized(data: Path, levels: MakeCheckpoint) -> None:
    checkpoint = levels(training=RESIZED)

    rows = finished(events_of(data, checkpoint, resolution="training")).rows

    image, truth = (torch.from_numpy(array)[None, None].float() for array in scene(0))
    small = interpolate(image, (16, 16), mode="bilinear", antialias=True, align_corners=False)
    small_truth = interpolate(truth, (16, 16), mode="nearest-exact")
    assert rows[0].dice == pytest.approx(dice((small > 127.5)[0, 0].numpy(), small_truth[0, 0].numpy()))
    assert rows[0].hd95_unit == "px"


@pytest.mark.parametrize("side", [7, 16, 32, 224])
def test_masks_are_resized_as_in_training(side: int) -> None:
    rng = np.random.default_rng(side)
    for shape in ((40, 50), (97, 33), (522, 775), (16, 17)):
        mask = rng.integers(0, 200, shape, dtype=np.uint8)

        as_trained = interpolate(torch.from_numpy(mask)[None, None], (side, side), mode="nearest-exact")

        np.testing.assert_array_equal(resize_mask(mask, side), as_trained[0, 0].numpy())


def test_a_network_trained_on_crops_has_no_training_resolution(data: Path, levels: MakeCheckpoint) -> None:
    with pytest.raises(ConfigError, match="no training resolution; choose the resolution 'native'"):
        events_of(data, levels(training={"sampling": "crop", "image_size": 16}), resolution="training")
    with pytest.raises(ConfigError, match="'native' or 'training' but got 'half'"):
        events_of(data, levels(), resolution="half")


def test_distances_are_in_micrometres_where_the_pixel_size_is_known(
    data: Path, levels: MakeCheckpoint
) -> None:
    pixels = finished(events_of(data, levels())).rows
    micrometres = finished(events_of(data, levels(pixel_size_um=0.25))).rows

    assert {row.hd95_unit for row in micrometres} == {"um"}
    assert [row.hd95 for row in micrometres] == pytest.approx([row.hd95 / 4 for row in pixels])


def test_at_the_training_resolution_distances_stay_in_pixels(data: Path, levels: MakeCheckpoint) -> None:
    rows = finished(events_of(data, levels(training=RESIZED, pixel_size_um=0.25), resolution="training")).rows

    assert {row.hd95_unit for row in rows} == {"px"}


def test_numbered_masks_are_scored_by_object_as_segment_separates_them(
    tmp_path: Path, levels: MakeCheckpoint, write_pair: WritePair
) -> None:
    image, mask = scene(0)
    numbered = np.zeros(mask.shape, np.uint16)
    numbered[:19][mask[:19] > 0], numbered[19:][mask[19:] > 0] = 300, 7
    write_pair("a", image, numbered)

    (row,) = finished(events_of(tmp_path / "data", levels())).rows

    objects = to_objects(image > 127)
    assert row.object_f1 == object_f1(objects, numbered) == 1.0
    assert row.object_dice == object_dice(objects, numbered) < 1.0
    assert row.dice == dice(image > 127, numbered)


def test_masks_of_0_and_255_have_no_objects(data: Path, levels: MakeCheckpoint) -> None:
    rows = finished(events_of(data, levels())).rows

    assert {(row.object_f1, row.object_dice) for row in rows} == {(None, None)}


def test_several_classes_have_a_row_each_under_their_names(
    tmp_path: Path, levels: MakeCheckpoint, write_pair: WritePair
) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (20, 24), dtype=np.uint8)
    image = np.array([0, 128, 255], np.uint8)[truth]
    image[:4] = 255  # the network takes these rows for class 2
    write_pair("a", image, truth)

    named = finished(events_of(tmp_path / "data", levels(3, names=("wall", "lumen"))))
    numbered = finished(events_of(tmp_path / "data", levels(3)))

    prediction = np.where(np.arange(20)[:, None] < 4, 2, truth)
    assert [row.label for row in named.rows] == ["wall", "lumen"]
    assert [row.label for row in numbered.rows] == ["class 1", "class 2"]
    assert [row.dice for row in named.rows] == [dice(prediction == c, truth == c) for c in (1, 2)]
    assert [row.label for row in named.summary if row.metric == "dice"] == ["wall", "lumen", "all classes"]


def test_what_cannot_be_used_is_left_out_and_named_and_the_rest_goes_on(
    data: Path, levels: MakeCheckpoint, write_pair: WritePair
) -> None:
    (data / "images" / "b.tif").write_bytes(b"II*\0 no picture")
    write_pair("d", scene(0)[0], scene(0, (41, 50))[1])

    events = events_of(data, levels())

    assert {row.case for row in finished(events).rows} == {"a", "c"}
    assert finished(events).left_out == ("b", "d")
    messages = warnings_of(events)
    assert any("b was left out" in message and "b.tif" in message for message in messages)
    assert any(
        "d was left out" in message and "40x50" in message and "41x50" in message for message in messages
    )
    scored = [event for event in events if isinstance(event, CaseScored)]
    assert (scored[-1].done, scored[-1].total) == (3, 4)


def test_a_class_that_the_network_does_not_have_is_named(
    tmp_path: Path, levels: MakeCheckpoint, write_pair: WritePair
) -> None:
    image, mask = scene(0)
    write_pair("a", image, mask // 255)
    write_pair("b", image, mask // 51)

    events = events_of(tmp_path / "data", levels(3))

    assert finished(events).left_out == ("b",)
    assert "b.tif holds the class 5 but the model has 0 to 2" in warnings_of(events)[0]


def test_where_no_case_can_be_used_there_is_an_error(data: Path, levels: MakeCheckpoint) -> None:
    for name in "abc":
        (data / "masks" / f"{name}.tif").write_bytes(b"")

    with pytest.raises(
        DataError, match=r"None of the 3 cases of .*; the first one's reason: .*a\.tif is empty"
    ):
        events_of(data, levels())


def test_an_image_without_contrast_holds_nothing(
    tmp_path: Path, levels: MakeCheckpoint, write_pair: WritePair
) -> None:
    mask = scene(0)[1]
    write_pair("empty", np.full(mask.shape, 90, np.uint8), np.zeros_like(mask))
    write_pair("missed", np.full(mask.shape, 255, np.uint8), mask)

    rows = finished(events_of(tmp_path / "data", levels())).rows

    assert [(row.case, row.dice) for row in rows] == [("empty", 1.0), ("missed", 0.0)]


def test_images_that_the_network_was_trained_on_are_named(data: Path, levels: MakeCheckpoint) -> None:
    learned = [image_digest(scene(1)[0]), "0" * 16]

    events = events_of(data, levels(training={"image_hashes": learned}))

    assert finished(events).trained_on == ("b",)
    assert "trained on 1 of these 3 cases (b)" in warnings_of(events)[0]
    assert finished(events_of(data, levels())).trained_on == ()


def test_a_divided_dataset_is_scored_on_its_test_part(
    tmp_path: Path, levels: MakeCheckpoint, write_pair: WritePair
) -> None:
    for part, name in (("train", "a"), ("test", "b")):
        write_pair(name, *scene(0), folder=f"data/{part}")

    default = events_of(tmp_path / "data", levels())
    asked = events_of(tmp_path / "data", levels(), split="train")

    assert [row.case for row in finished(default).rows] == ["b"]
    assert [row.case for row in finished(asked).rows] == ["a"]
    assert isinstance(default[0], EvaluationStarted)
    assert default[0].split == "test"


def test_only_some_cases_are_scored_where_asked_for(data: Path, levels: MakeCheckpoint) -> None:
    rows = finished(events_of(data, levels(), cases=["c", "a"])).rows

    assert [row.case for row in rows] == ["a", "c"]
    with pytest.raises(DataError, match="There is no case 'z'"):
        events_of(data, levels(), cases=["a", "z"])


def test_the_table_and_the_report_are_written(data: Path, levels: MakeCheckpoint, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"

    last = finished(events_of(data, levels(names=("square",)), out=out))

    assert sorted(path.name for path in out.iterdir()) == ["metrics.csv", "report.html"]
    assert (last.metrics, last.report) == (out / "metrics.csv", out / "report.html")
    assert read_run(out).rows == last.rows
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "square" in page
    assert "a.tif" not in page  # cases are named, not files
    assert page.count("data:image/jpeg") == 6  # best, median, worst: truth and prediction


def test_what_the_user_was_told_stands_in_the_report(
    data: Path, levels: MakeCheckpoint, tmp_path: Path
) -> None:
    (data / "images" / "b.tif").write_bytes(b"")

    events_of(data, levels(), out=tmp_path / "out")

    assert "b was left out" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_stop_keeps_what_was_scored_and_writes_nothing(
    data: Path, levels: MakeCheckpoint, tmp_path: Path
) -> None:
    control, events = Control(), []
    for event in evaluate(data, levels(), device="cpu", control=control, out=tmp_path / "out"):
        events.append(event)
        if isinstance(event, CaseScored):
            control.stop()

    last = events[-1]
    assert isinstance(last, EvaluationStopped)
    assert [row.case for row in last.rows] == ["a"]
    assert last.message == "Stopped on request; 1 of 3 cases were scored and nothing was written."
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_happens_before_the_first_event_is_asked_for(tmp_path: Path) -> None:
    stream = evaluate("missing", "missing.safetensors", threshold=7, out=tmp_path / "out")

    stream.close()  # type: ignore[attr-defined]

    assert not (tmp_path / "out").exists()


def test_settings_and_files_that_cannot_be_used_are_refused(
    data: Path, levels: MakeCheckpoint, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="threshold must be from 0 to 1 but got 2"):
        events_of(data, levels(), threshold=2)
    with pytest.raises(DataError, match="There is no folder"):
        events_of(tmp_path / "nowhere", levels())
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        events_of(data, tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="got int"):
        events_of(data, 3)
    with pytest.raises(OutputError, match="file"):
        events_of(data, levels(), out=tmp_path / "file")


def test_flips_of_a_network_without_direction_change_nothing(data: Path, levels: MakeCheckpoint) -> None:
    plain, flipped = (finished(events_of(data, levels(), flips=flips)).rows for flips in (False, True))

    assert plain == flipped
    assert all(isinstance(row, Score) for row in plain)


def test_progress_within_an_image_is_told(data: Path, levels: MakeCheckpoint) -> None:
    tiles = [event for event in events_of(data, levels()) if isinstance(event, TileFinished)]

    assert [Path(tile.source).name for tile in tiles] == ["a.tif", "b.tif", "c.tif"]
