"""The trained models that the docks offer, remembered from one session to the next."""

from __future__ import annotations

import json
import logging
from functools import cache
from pathlib import Path

from platformdirs import user_config_path, user_data_path
from psygnal import Signal

from src_model.errors import OutputError
from src_model.files import atomic_write_text

logger = logging.getLogger("napari_utanet")

KEPT = 12
"""So many models are remembered, newest first."""


class Shelf:
    """Recently used checkpoints, newest first, in a small JSON file.

    A damaged or unwritable file never stops the work: the shelf then lives in memory only.
    """

    changed = Signal()
    """The list is another one now."""
    chosen = Signal(Path)
    """This model should be used next: it was just trained, or opened."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._paths = _read(file)

    @property
    def paths(self) -> list[Path]:
        """Checkpoints that still exist, newest first."""
        return [path for path in self._paths if path.is_file()]

    def choices(self) -> list[tuple[str, Path]]:
        """Name and path of each checkpoint, for a list on screen; no two names are equal."""
        names: dict[str, Path] = {}
        for path in self.paths:
            name = display_name(path)
            names[f"{name} ({path.parent})" if name in names else name] = path
        return list(names.items())

    def add(self, path: Path) -> None:
        """Put a checkpoint in front and choose it."""
        path = path.resolve()
        self._paths = [path, *(p for p in self._paths if p != path)][:KEPT]
        try:
            atomic_write_text(self._file, json.dumps([str(p) for p in self._paths], indent=1))
        except OutputError as error:
            logger.warning("The list of recent models was not saved: %s", error)
        self.changed.emit()
        self.chosen.emit(path)


@cache
def shared_shelf() -> Shelf:
    """The one shelf of this process, so that a model trained in one dock appears in the others."""
    return Shelf(user_config_path("napari-utanet") / "models.json")


def runs_folder() -> Path:
    """Where training runs go unless the user says otherwise."""
    return Path(user_data_path("napari-utanet")) / "runs"


def display_name(path: Path) -> str:
    """A short name: the run's folder for ``<run>/model.safetensors``, else the file's stem."""
    return path.parent.name if path.stem == "model" else path.stem


def _read(file: Path) -> list[Path]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        logger.warning("The list of recent models %s was not read: %s", file, error)
        return []
    return [Path(value) for value in values if isinstance(value, str)] if isinstance(values, list) else []
