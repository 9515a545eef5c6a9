"""The bounded pipeline: three steps that overlap or take turns, in order, and end together."""

import re
import threading
import time

import pytest
import torch

from src_model.inference.slides import pipeline

both_ways = pytest.mark.parametrize("apart", [False, True], ids=["overlapping", "in turns"])


def go():
    """Nothing asks for a stop."""


def flow(items, read, compute, write, *, readers=2, ahead=2, apart=False, check=go):
    """The pipeline, with a few threads."""
    return pipeline.flow(items, read, compute, write, readers=readers, ahead=ahead, apart=apart, check=check)


@both_ways
def test_items_pass_all_steps_in_their_order(apart):
    def read(item):
        time.sleep(0.001 * (item % 3))
        return item * 10

    found = list(
        flow(range(20), read, lambda i, r: r + 1, lambda i, m: (i, m), readers=3, ahead=4, apart=apart)
    )
    assert found == [(n, n * 10 + 1) for n in range(20)]


def noted(probe):
    """What ``probe`` gives in each of the three steps."""
    found = {"read": set(), "compute": set(), "write": set()}

    def note(step):
        found[step].add(probe())

    list(
        flow(
            range(9),
            lambda i: note("read"),
            lambda i, r: note("compute"),
            lambda i, m: note("write"),
        )
    )
    return found


def test_the_caller_computes_and_others_read_and_write():
    threads = noted(threading.get_ident)
    assert threads["compute"] == {threading.get_ident()}
    assert threading.get_ident() not in threads["read"] | threads["write"]
    assert len(threads["write"]) == 1


def test_only_the_caller_computes_with_helping_threads():
    chosen = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        threads = noted(torch.get_num_threads)
    finally:
        torch.set_num_threads(chosen)
    assert threads == {"read": {1}, "compute": {2}, "write": {1}}


@both_ways
def test_no_more_is_read_ahead_than_was_said(apart):
    read = []
    steps = flow(range(100), lambda i: read.append(i), lambda i, r: i, lambda i, m: m, ahead=3, apart=apart)
    next(steps)
    time.sleep(0.05)
    assert len(read) <= 5
    steps.close()


@both_ways
@pytest.mark.parametrize("where", ["read", "compute", "write"])
def test_an_error_of_a_step_ends_the_work_and_its_threads(where, apart):
    def step(name):
        def act(item, *_):
            if name == where and item == 4:
                raise ValueError(where)
            return item

        return act

    before = threading.active_count()
    with pytest.raises(ValueError, match=where):
        list(flow(range(9), step("read"), step("compute"), step("write"), apart=apart))
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


@both_ways
def test_what_was_computed_before_an_error_is_written(apart):
    written = []

    def compute(item, _read):
        if item == 3:
            raise ValueError("stop here")
        return item

    with pytest.raises(ValueError, match="stop here"):
        list(flow(range(9), lambda i: i, compute, lambda i, m: written.append(m), ahead=5, apart=apart))
    assert written == [0, 1, 2]


def test_in_turns_as_many_are_written_at_a_time_as_are_read():
    steps = []

    def step(name, seconds=0.0):
        def act(item, *_):
            time.sleep(seconds)
            steps.append(f"{name} {item}")
            return item

        return act

    found = list(flow(range(5), step("read"), step("compute", 0.05), step("write"), apart=True))

    assert found == [0, 1, 2, 3, 4]
    turns = re.split(r"compute \d, ", ", ".join(steps) + ", ")
    assert [sorted(turn.split(", ")[:-1]) for turn in turns] == [
        ["read 0"],
        ["read 1", "read 2", "write 0"],
        [],
        ["read 3", "read 4", "write 1", "write 2"],
        [],
        ["write 3", "write 4"],
    ]


class Steps:
    """Steps that take so long, and whether one was computing while another one read or wrote."""

    def __init__(self, *, beside, computing):
        self._seconds = {"beside": beside, "computing": computing}
        self._active = {"beside": 0, "computing": 0}
        self._lock = threading.Lock()
        self.overlapped = []

    def _act(self, kind):
        with self._lock:
            self._active[kind] += 1
        time.sleep(self._seconds[kind])
        with self._lock:
            self.overlapped.append(all(self._active.values()))
            self._active[kind] -= 1

    def run(self, *, apart):
        beside, compute = lambda *_: self._act("beside"), lambda *_: self._act("computing")
        list(flow(range(12), beside, compute, beside, apart=apart))
        return self.overlapped


def test_in_turns_nothing_is_read_or_written_while_an_item_is_computed():
    assert not any(Steps(beside=0.0, computing=0.05).run(apart=True))


def test_reading_that_is_slow_goes_on_while_items_are_computed():
    assert any(Steps(beside=0.05, computing=0.05).run(apart=True))


def test_steps_overlap_where_nothing_else_is_said():
    assert any(Steps(beside=0.02, computing=0.02).run(apart=False))


@both_ways
def test_a_stop_is_heard_while_a_slow_read_is_waited_for(apart):
    release = threading.Event()

    def check():
        raise InterruptedError

    begun = time.monotonic()
    with pytest.raises(InterruptedError):
        list(
            flow(
                [1],
                lambda i: release.wait(20),
                lambda i, r: r,
                lambda i, m: m,
                apart=apart,
                check=check,
            )
        )
    assert time.monotonic() - begun < 5
    release.set()
