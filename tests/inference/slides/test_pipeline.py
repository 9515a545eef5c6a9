"""The bounded pipeline: three overlapping steps, in order, that end together."""

import threading
import time

import pytest
import torch

from src_model.inference.slides.pipeline import flow


def go():
    """Nothing asks for a stop."""


def test_items_pass_all_steps_in_their_order():
    def read(item):
        time.sleep(0.001 * (item % 3))
        return item * 10

    found = list(flow(range(20), read, lambda i, r: r + 1, lambda i, m: (i, m), readers=3, ahead=4, check=go))
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
            readers=2,
            ahead=2,
            check=go,
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


def test_no_more_is_read_ahead_than_was_said():
    read = []
    steps = flow(
        range(100), lambda i: read.append(i), lambda i, r: i, lambda i, m: m, readers=2, ahead=3, check=go
    )
    next(steps)
    time.sleep(0.05)
    assert len(read) <= 5
    steps.close()


@pytest.mark.parametrize("where", ["read", "compute", "write"])
def test_an_error_of_a_step_ends_the_work_and_its_threads(where):
    def step(name):
        def act(item, *_):
            if name == where and item == 4:
                raise ValueError(where)
            return item

        return act

    before = threading.active_count()
    with pytest.raises(ValueError, match=where):
        list(flow(range(9), step("read"), step("compute"), step("write"), readers=2, ahead=2, check=go))
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_what_was_computed_before_an_error_is_written():
    written = []

    def compute(item, _read):
        if item == 3:
            raise ValueError("stop here")
        return item

    with pytest.raises(ValueError, match="stop here"):
        list(
            flow(range(9), lambda i: i, compute, lambda i, m: written.append(m), readers=1, ahead=5, check=go)
        )
    assert written == [0, 1, 2]


def test_a_stop_is_heard_while_a_slow_read_is_waited_for():
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
                readers=1,
                ahead=1,
                check=check,
            )
        )
    assert time.monotonic() - begun < 5
    release.set()
