"""A bounded pipeline: threads read ahead, the caller computes, one thread writes. The only threads here."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Read = TypeVar("Read")
Made = TypeVar("Made")
Written = TypeVar("Written")

_LOOK_UP = 0.1
"""Seconds after which one who waits looks whether to go on."""
_SLOW = 0.125
"""Of the time that computing takes: while waiting has taken more, as for a slow disk, steps overlap."""


def flow(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    compute: Callable[[Item, Read], Made],
    write: Callable[[Item, Made], Written],
    *,
    readers: int,
    ahead: int,
    apart: bool,
    check: Callable[[], None],
) -> Generator[Written, None, None]:
    """Pass items through three steps that overlap, or take turns, in their order.

    At most ``ahead`` items are read and not computed, and as many computed and not written, so memory
    does not grow with their number. An error of a step ends all; what was computed before it is still
    written. Abandoning the iterator does the same; a read that is under way is not waited for.

    Parameters
    ----------
    items
        What passes through.
    read
        Called in several threads, for items in their order.
    compute
        Called in the thread that asks for results.
    write
        Called in one thread, in the order of the items. Neither of them gets helping threads of torch.
    readers
        Number of threads that read.
    ahead
        How far reading and writing may be apart from computing, items.
    apart
        Whether nothing is read or written while an item is computed, unless reading is slow. For
        computing that takes all processors: a thread that reads holds up all that compute, for longer
        than it reads.
    check
        Called while items are waited for; what it raises ends the work.

    Yields
    ------
    Written
        What ``write`` returned, as soon as it is known.
    """
    source = iter(items)
    reading: deque[tuple[Item, Future[Read]]] = deque()
    unwritten: deque[tuple[Item, Made]] = deque()
    writing: deque[Future[Written]] = deque()
    readers_pool = ThreadPoolExecutor(readers, "utanet-read", _without_helpers)
    writer_pool = ThreadPoolExecutor(1, "utanet-write", _without_helpers)
    waited = computed = 0.0

    def wait_for(futures: Collection[Future[Any]]) -> None:
        nonlocal waited
        begun = time.perf_counter()
        while wait(futures, timeout=_LOOK_UP).not_done:
            check()
        waited += time.perf_counter() - begun

    def read_ahead(count: int) -> None:
        for item in islice(source, count - len(reading)):
            reading.append((item, readers_pool.submit(read, item)))

    def write_all() -> None:
        while unwritten:
            writing.append(writer_pool.submit(write, *unwritten.popleft()))

    try:
        first = True
        read_ahead(1 if apart else ahead)
        while reading:
            item, future = reading.popleft()
            wait_for([future])
            begun = time.perf_counter()
            made = compute(item, future.result())
            computed += time.perf_counter() - begun
            unwritten.append((item, made))
            in_turns = apart and waited < _SLOW * computed
            if not (in_turns and reading):  # several items are read at a time, and as many written
                read_ahead(ahead)
                write_all()
            if in_turns:
                wait_for([*writing, *(future for _, future in reading)])
            # Who looks on gets the first result at once; later ones need not hold up the next item.
            while writing and (first or writing[0].done() or len(writing) > ahead):
                yield writing.popleft().result()
                first = False
        while writing:
            yield writing.popleft().result()
    finally:
        write_all()
        readers_pool.shutdown(wait=False, cancel_futures=True)
        writer_pool.shutdown(wait=True)


def _without_helpers() -> None:
    """Let this thread compute alone.

    As long as there are more helping threads of OpenMP than cores, whoever they are of, those of the network
    sleep after each of its layers instead of waiting awake, and a fifth of the time is lost.
    """
    torch.get_num_threads()  # Torch chooses their number once in each thread, and would do so later.
    threadpool_limits(1, user_api="openmp")
