"""The stream of events: its order, its end, stopping, and memory that runs out."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Generator
from typing import Any, cast

import numpy as np
import pytest
import torch

from src_model import segment
from src_model.errors import ImageError
from src_model.events import (
    Control,
    Event,
    ImageSegmented,
    SegmentationFinished,
    SegmentationStopped,
    TileFinished,
    Warned,
)
from src_model.models.checkpoint import Checkpoint

MakeCheckpoint = Callable[..., Checkpoint]


def events_of(*arguments: Any, **options: Any) -> Generator[Event, None, None]:
    return cast(Generator[Event, None, None], segment(*arguments, device="cpu", **options))


def test_events_come_in_order_and_the_last_carries_the_results(
    bright: MakeCheckpoint, noise: np.ndarray
) -> None:
    events = list(events_of([noise, noise[:30, :30]], bright(1), tile=64, halo=0))

    assert [event.kind for event in events] == [
        "segmentation_started",
        *["tile_finished"] * 4,
        "image_segmented",
        "segmentation_started",
        "tile_finished",
        "image_segmented",
        "segmentation_finished",
    ]
    finished = events[-1]
    assert isinstance(finished, SegmentationFinished)
    assert [result.source for result in finished.results] == ["image 1", "image 2"]
    assert finished.results == (events[5], events[8])


def test_progress_rises_to_its_total_and_the_time_left_to_nothing(
    bright: MakeCheckpoint, noise: np.ndarray
) -> None:
    stack = np.stack([noise, np.zeros_like(noise), noise])

    tiles = [e for e in events_of(stack, bright(1), tile=64) if isinstance(e, TileFinished)]

    assert [tile.done for tile in tiles] == [1, 2, 3, 4, 8, 9, 10, 11, 12]
    assert {tile.total for tile in tiles} == {12}
    assert tiles[0].seconds_left is not None
    assert tiles[0].seconds_left > 0
    assert tiles[-1].seconds_left == 0


def test_events_can_be_pickled(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    events = list(events_of(noise, bright(1)))

    copies = pickle.loads(pickle.dumps(events))

    assert [copy.kind for copy in copies] == [event.kind for event in events]


def test_nothing_happens_before_the_first_event_is_asked_for() -> None:
    events_of("missing.png", "missing.safetensors", threshold=7).close()


def test_a_stop_between_tiles_ends_with_what_was_complete(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    control = Control()
    kinds = []

    for event in events_of([noise, noise], bright(1), tile=64, control=control):
        kinds.append(event.kind)
        if kinds.count("tile_finished") == 5:
            control.stop()

    assert kinds[-2:] == ["tile_finished", "segmentation_stopped"]
    assert isinstance(event, SegmentationStopped)
    assert len(event.results) == 1
    assert "1 of 2 images" in event.message


def test_a_stop_in_the_middle_of_the_network_does_not_wait_for_its_end(
    bright: MakeCheckpoint, noise: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, checkpoint, ended = Control(), bright(1), []
    real = type(checkpoint.model).forward

    def forward(self: Any, x: torch.Tensor, **options: Any) -> Any:
        control.stop()
        result = real(self, x, **options)
        ended.append(result)
        return result

    monkeypatch.setattr(type(checkpoint.model), "forward", forward)

    events = list(events_of(noise, checkpoint, control=control, precision="float32"))

    assert [event.kind for event in events] == ["segmentation_started", "segmentation_stopped"]
    assert ended == []


def test_a_stop_before_the_start_yields_only_the_end(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    control = Control()
    control.stop()

    assert [e.kind for e in events_of(noise, bright(1), control=control)] == ["segmentation_stopped"]


def test_closing_the_iterator_ends_the_work(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    events = events_of(noise, bright(1), tile=64)
    next(events)
    next(events)

    events.close()

    assert list(events) == []


def fails_on_large_inputs(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    real = type(checkpoint.model).forward

    def forward(self: Any, x: torch.Tensor, **options: Any) -> Any:
        if x.shape[0] * x.shape[2] * x.shape[3] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, x, **options)

    monkeypatch.setattr(type(checkpoint.model), "forward", forward)


def test_smaller_tiles_are_tried_when_memory_runs_out(
    bright: MakeCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (150, 200), dtype=np.uint8)
    checkpoint = bright(1)
    fails_on_large_inputs(checkpoint, monkeypatch, 100 * 100)

    events = list(events_of(image, checkpoint, halo=8, batch_size=2))

    warnings = [event.message for event in events if isinstance(event, Warned)]
    result = events[-1].results[0]  # type: ignore[attr-defined]
    assert [text.split("; ")[1] for text in warnings] == [
        "going on with tiles of 200 pixels, 1 at a time.",
        "going on with tiles of 100 pixels, 1 at a time.",
        "going on with tiles of 64 pixels, 1 at a time.",
    ]
    np.testing.assert_array_equal(result.mask, image > 127)
    assert next(e for e in reversed(events) if isinstance(e, TileFinished)).total == 12


def test_memory_that_never_suffices_is_an_error_with_a_remedy(
    bright: MakeCheckpoint, noise: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = bright(1)
    fails_on_large_inputs(checkpoint, monkeypatch, 0)

    with pytest.raises(
        ImageError, match=r"Memory ran out on cpu even for the smallest.*close other programs"
    ):
        list(events_of(noise, checkpoint))


def test_other_errors_of_a_network_are_not_hidden(
    bright: MakeCheckpoint, noise: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = bright(1)

    def broken(self: Any, x: torch.Tensor, **options: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(type(checkpoint.model), "forward", broken)

    with pytest.raises(RuntimeError, match="a bug"):
        list(events_of(noise, checkpoint))


def test_a_shared_network_is_neither_moved_nor_changed(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    checkpoint = bright(3)
    checkpoint.model.train()
    weight = checkpoint.model.get_parameter("average.weight")
    stride, values = weight.stride(), weight.clone()

    events = events_of(noise, checkpoint, tile=64)
    next(events)
    list(events_of(noise, checkpoint))
    events.close()

    assert checkpoint.model.training
    assert weight.stride() == stride
    assert weight.requires_grad
    assert torch.equal(weight, values)
    assert checkpoint.model.seen == []  # type: ignore[comparison-overlap]


def test_a_pause_holds_the_work_until_it_is_resumed(bright: MakeCheckpoint, noise: np.ndarray) -> None:
    control, kinds = Control(), []

    def work() -> None:
        for event in events_of(noise, bright(1), tile=64, control=control):
            kinds.append(event.kind)
            if len(kinds) == 2:
                control.pause()
                paused.set()

    paused = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    assert paused.wait(20)
    thread.join(0.2)
    held = thread.is_alive() and len(kinds) == 2
    control.resume()
    thread.join(20)

    assert held
    assert kinds[-1] == "segmentation_finished"


def test_results_count_foreground_and_objects(bright: MakeCheckpoint) -> None:
    image = np.zeros((40, 50), np.uint8)
    image[5:15, 5:15] = image[20:30, 30:40] = 255

    *_, result, _ = events_of(image, bright(1), instances=True)

    assert isinstance(result, ImageSegmented)
    assert result.foreground == pytest.approx(200 / 2000)
    assert result.objects == 2
    assert result.path is None
    assert result.probability is None
