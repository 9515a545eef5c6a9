"""The only thread code of the plugin: event streams in the background, events on the main thread."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal, Protocol

from qtpy.QtCore import QObject, Qt, QTimer, Signal

from src_model.errors import Stopped, UTANetError
from src_model.events import (
    CaseChecked,
    Control,
    ControlState,
    Downloading,
    SlidePhase,
    SlideTileFinished,
    StepFinished,
    TileFinished,
)

logger = logging.getLogger("napari_utanet")

BACKGROUND_NICENESS = 10
_SHOWN_WITHIN = 1.0
"""Seconds after which the work goes on in any case."""
_LOOK_UP = 0.05
"""Seconds after which work that waits looks whether it was stopped."""

Work = Callable[[Control], Iterable[object]]
"""Makes the stream of events; called, and drained, in the background thread."""

_SUPERSEDED_BY_THE_NEXT = (
    CaseChecked,
    Downloading,
    SlidePhase,
    SlideTileFinished,
    StepFinished,
    TileFinished,
)


class Listener(Protocol):
    """Hears about one job, on the main thread."""

    def on_event(self, event: object) -> None:
        """One event of the stream, in order."""

    def on_error(self, message: str) -> None:
        """The work failed; ``message`` is one sentence."""

    def on_end(self) -> None:
        """The thread has ended; always called last, also after an error."""


@dataclass
class _Job:
    number: int
    listener: Listener
    control: Control = field(default_factory=Control)
    thread: threading.Thread | None = None


_Message = tuple[int, Literal["event", "shown", "error", "end"], Any]


class Worker(QObject):  # type: ignore[misc]
    """Runs one job at a time; results of a job that was superseded or abandoned are dropped.

    Progress events that have not been delivered yet are replaced by the next one, so a fast
    engine cannot flood the window. After any other event the job goes on when the window has drawn
    what came of it: both share Python's interpreter, and the window would be held up for twice as long.
    """

    _wake = Signal()

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._lock = threading.Lock()
        self._inbox: deque[_Message] = deque()
        self._awake = False
        self._closed = False
        self._count = 0
        self._job: _Job | None = None
        self._threads: list[threading.Thread] = []
        self._wake.connect(self._drain, Qt.ConnectionType.QueuedConnection)

    @property
    def running(self) -> bool:
        """Whether a job has not ended yet."""
        return self._job is not None

    @property
    def state(self) -> ControlState | Literal["idle"]:
        """What was last asked of the running job."""
        return "idle" if self._job is None else self._job.control.state

    def start(self, work: Work, listener: Listener, *, supersede: bool = False) -> bool:
        """Begin a job.

        Parameters
        ----------
        work
            Called with the job's control token in the background; returns an iterable of events.
        listener
            Hears the events on the main thread.
        supersede
            Stop a running job and drop what it still yields, instead of refusing.

        Returns
        -------
        bool
            False where a job is running already (or the worker is shut down): nothing was started.
        """
        if self._closed or (self.running and not supersede):
            return False
        self._abandon()
        self._count += 1
        job = _Job(self._count, listener)
        job.thread = threading.Thread(
            target=_run, args=(job, work, self._post), name=f"utanet-{self._name}-{job.number}"
        )
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(job.thread)
        self._job = job
        job.thread.start()
        return True

    def pause(self) -> None:
        """Hold the running job at its next step."""
        if self._job is not None:
            self._job.control.pause()

    def resume(self) -> None:
        """Let a paused job go on."""
        if self._job is not None:
            self._job.control.resume()

    def stop(self) -> None:
        """Ask the running job to end at its next step; its last events still arrive."""
        if self._job is not None:
            self._job.control.stop()

    def make_way(self) -> None:
        """Let the running job leave a processor to the window for a moment."""
        if self._job is not None:
            self._job.control.make_way()

    def shut_down(self, timeout: float = 5.0) -> bool:
        """Stop everything, deliver nothing any more, and wait for the threads.

        Parameters
        ----------
        timeout
            Seconds to wait at most, for all threads together.

        Returns
        -------
        bool
            Whether every thread has ended.
        """
        with self._lock:
            self._closed = True
            self._inbox.clear()
        self._abandon()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return not self._threads

    def _abandon(self) -> None:
        if self._job is not None:
            self._job.control.stop()
            self._job = None

    def _post(self, message: _Message) -> None:
        """Called in the background: queue a message and wake the main thread once."""
        with self._lock:
            if self._closed:
                return
            self._inbox.append(message)
            if not self._awake:
                self._awake = True
                with contextlib.suppress(RuntimeError):  # the window, and this object, are gone
                    self._wake.emit()

    def _drain(self) -> None:
        with self._lock:
            self._awake = False
            messages = list(self._inbox)
            self._inbox.clear()
        for number, kind, payload in _without_outdated(messages):
            job = self._job
            if job is None or number != job.number:
                continue
            self._deliver(job, kind, payload)

    def _deliver(self, job: _Job, kind: str, payload: Any) -> None:
        if kind == "end":
            self._job = None
        try:
            if kind == "event":
                job.listener.on_event(payload)
            elif kind == "shown":
                QTimer.singleShot(0, payload.set)  # comes after what is asked to be painted
            elif kind == "error":
                job.listener.on_error(payload)
            else:
                job.listener.on_end()
        except Exception as error:
            job.control.stop()
            job.listener.on_error(one_sentence(error))


def one_sentence(error: Exception) -> str:
    """What the user is told of ``error``; the traceback of an unexpected one goes to the log."""
    if isinstance(error, UTANetError):
        return str(error)
    logger.error("Unexpected error", exc_info=error)
    text = " ".join(str(error).split()) or type(error).__name__
    return f"Unexpected error: {text[:200]} (details are in the log)"


def _yield_to_the_window() -> None:
    """Let the window's thread go first on a busy processor, where the system can say so for a thread.

    The threads in which torch computes are started from this one and inherit its priority.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICENESS)


def _run(job: _Job, work: Work, post: Callable[[_Message], None]) -> None:
    """Body of the thread."""
    _yield_to_the_window()
    try:
        events = iter(work(job.control))
        try:
            for event in events:
                post((job.number, "event", event))
                if not isinstance(event, _SUPERSEDED_BY_THE_NEXT):
                    _wait_until_shown(job, post)
        finally:
            if close := getattr(events, "close", None):
                close()
    except Stopped:
        pass
    except Exception as error:
        post((job.number, "error", one_sentence(error)))
    finally:
        post((job.number, "end", None))


def _wait_until_shown(job: _Job, post: Callable[[_Message], None]) -> None:
    """Wait for the window, unless it takes too long or the job is to end."""
    shown = threading.Event()
    post((job.number, "shown", shown))
    latest = time.monotonic() + _SHOWN_WITHIN
    while not shown.wait(_LOOK_UP):
        if job.control.state == "stopping" or time.monotonic() > latest:
            return


def _without_outdated(messages: list[_Message]) -> Iterator[_Message]:
    """Leave out progress that another progress event of its kind directly follows."""
    for message, following in zip_longest(messages, messages[1:]):
        if (
            following is not None
            and isinstance(message[2], _SUPERSEDED_BY_THE_NEXT)
            and type(message[2]) is type(following[2])
        ):
            continue
        yield message
