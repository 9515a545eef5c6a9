"""The worker: order, main thread, stale results, errors in one sentence, an end in bounded time."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from napari_utanet.worker import Worker
from src_model.errors import DataError
from src_model.events import Control, TileFinished


class Ears:
    """Remembers what it heard, and on which thread."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.errors: list[str] = []
        self.ended = 0
        self.threads: set[threading.Thread] = set()

    def on_event(self, event: object) -> None:
        self.threads.add(threading.current_thread())
        self.events.append(event)

    def on_error(self, message: str) -> None:
        self.errors.append(message)

    def on_end(self) -> None:
        self.ended += 1


@pytest.fixture
def worker(qapp: Any) -> Iterator[Worker]:
    worker = Worker("test")
    yield worker
    assert worker.shut_down()


@pytest.fixture
def until_idle(qtbot: Any, worker: Worker) -> Callable[[], None]:
    return lambda: qtbot.waitUntil(lambda: not worker.running, timeout=5000)


def test_events_arrive_in_order_on_the_main_thread_and_the_end_comes_last(
    worker: Worker, until_idle: Any
) -> None:
    ears = Ears()

    worker.start(lambda control: iter([1, 2, 3]), ears)
    until_idle()

    assert (ears.events, ears.errors, ears.ended) == ([1, 2, 3], [], 1)
    assert ears.threads == {threading.main_thread()}


def test_work_goes_on_when_the_window_has_heard_of_a_result_and_drawn_it(
    worker: Worker, until_idle: Any
) -> None:
    ears, heard = Ears(), []

    def work(control: Control) -> Iterator[int]:
        for number in range(3):
            yield number
            heard.append(list(ears.events))

    worker.start(work, ears)
    until_idle()

    assert heard == [[0], [0, 1], [0, 1, 2]]


def test_work_waits_for_a_window_that_is_held_up_for_a_second_at_most(
    worker: Worker, until_idle: Any
) -> None:
    went_on = threading.Event()

    def work(control: Control) -> Iterator[int]:
        yield 1
        went_on.set()

    worker.start(work, Ears())

    assert not went_on.wait(0.2)
    assert went_on.wait(5)
    until_idle()


def test_a_job_that_waits_for_the_window_can_be_stopped(worker: Worker, until_idle: Any) -> None:
    ended = threading.Event()

    def work(control: Control) -> Iterator[int]:
        yield 1
        control.check()
        time.sleep(5)

    worker.start(lambda control: _then_set(work(control), ended), Ears())
    worker.stop()

    assert ended.wait(0.5)
    until_idle()


def _then_set(events: Iterator[int], ended: threading.Event) -> Iterator[int]:
    try:
        yield from events
    finally:
        ended.set()


def test_only_a_running_job_makes_way(worker: Worker, until_idle: Any) -> None:
    go, controls = threading.Event(), []

    def work(control: Control) -> Iterator[int]:
        controls.append(control)
        go.wait(5)
        yield 1

    worker.make_way()
    worker.start(work, Ears())
    worker.make_way()
    go.set()
    until_idle()

    assert controls[0].makes_way


def test_a_second_job_is_refused_while_one_runs(worker: Worker, until_idle: Any) -> None:
    go, first, second = threading.Event(), Ears(), Ears()

    def work(control: Control) -> Iterator[int]:
        go.wait(5)
        yield 1

    assert worker.start(work, first)
    assert not worker.start(lambda control: iter([2]), second)
    go.set()
    until_idle()

    assert (first.events, second.events) == ([1], [])


def test_what_a_superseded_job_still_yields_is_dropped(worker: Worker, until_idle: Any, qtbot: Any) -> None:
    go, stale, fresh = threading.Event(), Ears(), Ears()

    def slow(control: Control) -> Iterator[str]:
        go.wait(5)
        yield "stale"

    worker.start(slow, stale)
    worker.start(lambda control: iter(["fresh"]), fresh, supersede=True)
    until_idle()
    go.set()
    qtbot.wait(50)

    assert (stale.events, stale.ended, fresh.events) == ([], 0, ["fresh"])


def test_an_error_for_the_user_is_its_own_sentence_and_the_end_still_comes(
    worker: Worker, until_idle: Any
) -> None:
    ears = Ears()

    def work(control: Control) -> Iterator[int]:
        yield 1
        raise DataError("The file a.png is empty; replace it.")

    worker.start(work, ears)
    until_idle()

    assert (ears.events, ears.errors, ears.ended) == ([1], ["The file a.png is empty; replace it."], 1)


def test_an_unexpected_error_is_one_sentence_and_its_traceback_is_logged(
    worker: Worker, until_idle: Any, caplog: Any
) -> None:
    ears = Ears()

    def work(control: Control) -> Iterator[int]:
        raise KeyError("gone")
        yield 1

    worker.start(work, ears)
    until_idle()

    assert ears.errors == ["Unexpected error: 'gone' (details are in the log)"]
    assert "KeyError" in caplog.text


def test_an_error_while_showing_a_result_is_told_and_stops_the_work(worker: Worker, until_idle: Any) -> None:
    ears = Ears()
    ears.on_event = lambda event: 1 / 0  # type: ignore[method-assign, assignment]

    worker.start(lambda control: iter([1]), ears)
    until_idle()

    assert ears.errors == ["Unexpected error: division by zero (details are in the log)"]
    assert ears.ended == 1


def test_pause_holds_and_stop_ends_a_paused_job(worker: Worker, until_idle: Any, qtbot: Any) -> None:
    ears, steps = Ears(), []

    def work(control: Control) -> Iterator[int]:
        while True:
            control.check()
            steps.append(1)
            time.sleep(0.005)
            yield 1

    worker.start(work, ears)
    qtbot.waitUntil(lambda: len(steps) > 2, timeout=5000)
    worker.pause()
    qtbot.wait(30)
    held = len(steps)
    qtbot.wait(50)
    assert len(steps) == held
    assert worker.state == "paused"

    worker.stop()
    until_idle()

    assert ears.ended == 1
    assert ears.errors == []


def test_a_flood_of_progress_is_thinned_out_but_its_last_event_arrives(
    worker: Worker, until_idle: Any
) -> None:
    ears = Ears()

    def work(control: Control) -> Iterator[object]:
        for done in range(1, 5001):
            yield TileFinished(source="a", done=done, total=5000, seconds_left=None)
        yield "result"

    worker.start(work, ears)
    time.sleep(0.2)
    until_idle()

    assert len(ears.events) < 1000
    assert isinstance(ears.events[-2], TileFinished)
    assert ears.events[-2].done == 5000
    assert ears.events[-1] == "result"


def test_shutting_down_ends_the_job_closes_its_generator_and_says_nothing_more(qapp: Any, qtbot: Any) -> None:
    worker, ears, closed = Worker("test"), Ears(), threading.Event()

    def work(control: Control) -> Iterator[int]:
        try:
            while True:
                control.check()
                time.sleep(0.001)
                yield 1
        finally:
            closed.set()

    worker.start(work, ears)
    qtbot.waitUntil(lambda: len(ears.events) > 0, timeout=5000)

    assert worker.shut_down()
    heard = len(ears.events)
    qtbot.wait(30)

    assert closed.is_set()
    assert (len(ears.events), ears.ended) == (heard, 0)
    assert not worker.start(work, ears)


def test_shutting_down_does_not_wait_for_ever(qapp: Any) -> None:
    worker, go = Worker("test"), threading.Event()

    def work(control: Control) -> Iterator[int]:
        go.wait(5)
        yield 1

    worker.start(work, Ears())
    begin = time.monotonic()
    assert not worker.shut_down(timeout=0.1)
    assert time.monotonic() - begin < 1.0
    go.set()

    assert worker.shut_down()
