"""What needs torch is found and loaded in the background, while the user is still choosing."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module

from src_model.events import Control


@dataclass(frozen=True)
class Facts:
    """What the lists of a dock hold."""

    devices: tuple[str, ...]
    models: tuple[str, ...]


SEGMENTING = (
    "src_model.inference.predictor",
    "src_model.inference.explain",
    "src_model.inference.slides.run",
    "src_model.inference.slides.tissue",
    "skimage.segmentation",
    "pandas",  # which napari loads for its first layer of labels, and holds the window up for that long
)
"""Modules that a segmentation needs."""

TRAINING = (
    "src_model.training.trainer",
    "monai.transforms",
    "torch._dynamo",  # which torch's optimisers load at their first step
)
"""Modules that a training needs."""


def find_facts(control: Control, soon: Sequence[str]) -> Iterator[Facts]:
    """Work for a worker: one event with the facts; then load the modules that are needed ``soon``.

    Loading them here takes the wait, and its small stutters, away from the moment of the click.
    """
    from src_model.device import list_devices
    from src_model.models.registry import list_models

    control.check()
    yield Facts(devices=tuple(list_devices()), models=tuple(list_models()))
    for module in soon:
        control.check()
        import_module(module)
    # Python looks through all objects once a quarter more of them are there, and holds the window up for a
    # fifth of a second: better now than after the click.
    gc.collect()


class FactsListener:
    """Hands the facts on; where they cannot be found, ``on_error`` says why."""

    def __init__(self, on_facts: Callable[[Facts], None], on_error: Callable[[str], None]) -> None:
        self._on_facts = on_facts
        self.on_error = on_error

    def on_event(self, event: object) -> None:
        """The facts have come."""
        if isinstance(event, Facts):
            self._on_facts(event)

    def on_end(self) -> None:
        """Nothing to do."""
