"""Events are frozen, picklable, and turn into JSON; the control token holds and ends the work."""

import dataclasses
import json
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

from src_model import events as ev
from src_model.errors import Stopped

SEGMENTED = ev.ImageSegmented(
    source="a.png",
    mask=np.zeros((4, 5), np.uint8),
    probability=None,
    path=Path("a_mask.tif"),
    foreground=0.25,
    objects=None,
    seconds=1.5,
)


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SEGMENTED.foreground = 1.0  # type: ignore[misc]


def test_an_event_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(SEGMENTED))

    assert copy.path == SEGMENTED.path
    np.testing.assert_array_equal(copy.mask, SEGMENTED.mask)


def test_an_event_becomes_json_with_arrays_described() -> None:
    event = ev.SegmentationFinished(results=(SEGMENTED,), seconds=2.0)

    values = json.loads(json.dumps(event.to_dict()))

    assert values["event"] == "segmentation_finished"
    assert values["results"][0]["mask"] == {"shape": [4, 5], "dtype": "uint8"}
    assert values["results"][0]["path"] == "a_mask.tif"


def test_a_fresh_control_lets_the_work_run() -> None:
    control = ev.Control()

    control.check()

    assert control.state == "running"


def test_a_stopped_control_raises_also_when_it_was_paused() -> None:
    control = ev.Control()
    control.pause()

    control.stop()

    with pytest.raises(Stopped):
        control.check()


def test_a_paused_control_holds_the_work_until_it_is_resumed() -> None:
    control = ev.Control()
    control.pause()
    passed = threading.Event()
    worker = threading.Thread(target=lambda: (control.check(), passed.set()))
    worker.start()

    held = not passed.wait(0.1)
    control.resume()

    assert held
    assert passed.wait(5)
    worker.join()
