"""Facts that need torch, found in the background: devices of this machine, known architectures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from src_model.events import Control


@dataclass(frozen=True)
class Facts:
    """What the lists of a dock hold."""

    devices: tuple[str, ...]
    models: tuple[str, ...]


def find_facts(control: Control) -> Iterator[Facts]:
    """Work for a worker: one event with the facts."""
    from src_model.device import list_devices
    from src_model.models.registry import list_models

    control.check()
    yield Facts(devices=tuple(list_devices()), models=tuple(list_models()))


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
