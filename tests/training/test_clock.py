"""The clock: pauses do not count, and the estimate covers the rest of the run."""

from __future__ import annotations

import pytest

from src_model.config import StageConfig
from src_model.events import Control
from src_model.training import clock as clock_module
from src_model.training.clock import Clock
from src_model.training.history import History
from src_model.training.stages import Stage

SETTINGS = StageConfig(epochs=3, learning_rate=1e-3, weight_decay=0.0)
FIRST, SECOND = Stage("1", 1, SETTINGS), Stage("2", 2, SETTINGS)


class FakeTime:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(clock_module, "time", fake)
    return fake


def _step(clock: Clock, time: FakeTime, seconds: float) -> None:
    clock.start_step()
    time.now += seconds
    clock.end_step()


def test_there_is_no_estimate_before_two_steps(time: FakeTime) -> None:
    clock = Clock([FIRST, SECOND], History())
    clock.start_epoch()
    _step(clock, time, 5.0)

    assert clock.left(FIRST, 1, 1, 10) is None
    _step(clock, time, 1.0)
    assert clock.left(FIRST, 1, 2, 10) is not None


def test_after_an_epoch_the_rest_is_counted_in_epochs_of_both_stages(time: FakeTime) -> None:
    clock = Clock([FIRST, SECOND], History())
    clock.start_epoch()
    for _ in range(4):
        _step(clock, time, 2.0)
    time.now += 2.0  # validation and saving
    clock.end_epoch(FIRST)

    assert clock.left_after(FIRST, 1) == pytest.approx(2 * 10.0 + 3 * 10.0 * clock_module._RATIO)


def test_nothing_is_left_after_the_last_epoch(time: FakeTime) -> None:
    clock = Clock([FIRST, SECOND], History())
    clock.start_epoch()
    time.now += 10.0
    clock.end_epoch(SECOND)

    assert clock.left_after(SECOND, 3) == 0.0


def test_a_pause_does_not_count(time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    control = Control()
    clock = Clock([FIRST], History())
    clock.start_epoch()

    def wait_an_hour() -> None:
        time.now += 3600.0

    monkeypatch.setattr(control, "check", wait_an_hour)
    time.now += 1.0
    clock.wait(control)

    assert clock.epoch_seconds() == pytest.approx(1.0)
