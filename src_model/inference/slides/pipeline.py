"""A bounded pipeline: threads read ahead, the caller computes, one thread writes. The only threads here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Read = TypeVar("Read")
Made = TypeVar("Made")
Written = TypeVar("Written")
Result = TypeVar("Result")

_LOOK_UP = 0.1
"""Seconds after which one who waits looks whether to go on."""


def flow(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    compute: Callable[[Item, Read], Made],
    write: Callable[[Item, Made], Written],
    *,
    readers: int,
    ahead: int,
    check: Callable[[], None],
) -> Generator[Written, None, None]:
    """Pass items through three steps that overlap, in their order.

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
    check
        Called while the next item is waited for; what it raises ends the work.

    Yields
    ------
    Written
        What ``write`` returned, as soon as it is known.
    """
    source = iter(items)
    reading: deque[tuple[Item, Future[Read]]] = deque()
    writing: deque[Future[Written]] = deque()
    readers_pool = ThreadPoolExecutor(readers, "utanet-read", _without_helpers)
    writer_pool = ThreadPoolExecutor(1, "utanet-write", _without_helpers)

    def read_ahead() -> None:
        while len(reading) < ahead:
            try:
                item = next(source)
            except StopIteration:
                return
            reading.append((item, readers_pool.submit(read, item)))

    try:
        read_ahead()
        first = True
        while reading:
            item, future = reading.popleft()
            made = compute(item, _result(future, check))
            writing.append(writer_pool.submit(write, item, made))
            read_ahead()
            # Who looks on gets the first result at once; later ones need not hold up the next item.
            while writing and (first or writing[0].done() or len(writing) > ahead):
                yield writing.popleft().result()
                first = False
        while writing:
            yield writing.popleft().result()
    finally:
        readers_pool.shutdown(wait=False, cancel_futures=True)
        writer_pool.shutdown(wait=True)


def _without_helpers() -> None:
    """Let this thread compute alone.

    As long as there are more helping threads of OpenMP than cores, whoever they are of, those of the network
    sleep after each of its layers instead of waiting awake, and a fifth of the time is lost.
    """
    torch.get_num_threads()  # Torch chooses their number once in each thread, and would do so later.
    threadpool_limits(1, user_api="openmp")


def _result(future: Future[Result], check: Callable[[], None]) -> Result:
    while not wait([future], timeout=_LOOK_UP).done:
        check()
    return future.result()
