"""The models that the docks offer: those that come with the plugin, and the user's own, remembered."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from platformdirs import user_config_path, user_data_path
from psygnal import Signal

from napari_utanet.samples import sample_folder
from src_model.errors import CheckpointError, DataError, OutputError
from src_model.files import atomic_write_text

logger = logging.getLogger("napari_utanet")

KEPT = 12
"""So many of the user's models are remembered, newest first."""


class Shelf:
    """The user's recently used checkpoints, newest first, in a small JSON file.

    A damaged or unwritable file never stops the work: the shelf then lives in memory only.

    Parameters
    ----------
    file
        The JSON file.
    included
        Checkpoints that come with the plugin: offered first, and never among the remembered.
    """

    changed = Signal()
    """The list is another one now."""
    chosen = Signal(Path)
    """This model should be used next: it was just trained, or opened."""

    def __init__(self, file: Path, included: Iterable[Path] = ()) -> None:
        self._file = file
        self._included = [path.resolve() for path in included]
        self._paths = _read(file)

    @property
    def paths(self) -> list[Path]:
        """The user's own checkpoints that still exist, newest first."""
        return [path for path in self._paths if path.is_file() and path not in self._included]

    @property
    def included(self) -> list[Path]:
        """Those that came with the plugin and still exist."""
        return [path for path in self._included if path.is_file()]

    @property
    def preferred(self) -> Path | None:
        """What to use unless the user chooses: the newest own model, else the first included one."""
        return next(iter([*self.paths, *self.included]), None)

    def choices(self) -> list[tuple[str, Path]]:
        """Name and path of each checkpoint, for a list on screen; no two names are equal."""
        names = {f"{path.stem.capitalize()} (included)": path for path in self.included}
        for path in self.paths:
            name = display_name(path)
            names[f"{name} ({path.parent})" if name in names else name] = path
        return list(names.items())

    def add(self, path: Path) -> None:
        """Put a checkpoint in front of the user's own and choose it; an included one is only chosen."""
        path = path.resolve()
        if path not in self._included:
            self._remember(path)
        self.chosen.emit(path)

    def _remember(self, path: Path) -> None:
        self._paths = [path, *(p for p in self._paths if p != path)][:KEPT]
        try:
            atomic_write_text(self._file, json.dumps([str(p) for p in self._paths], indent=1))
        except OutputError as error:
            logger.warning("The list of recent models was not saved: %s", error)
        self.changed.emit()


@cache
def shared_shelf() -> Shelf:
    """The one shelf of this process, so that a model trained in one dock appears in the others."""
    return Shelf(user_config_path("napari-utanet") / "models.json", included_models())


def included_models() -> list[Path]:
    """The models in the sample data, by name; one that is damaged is left out."""
    try:
        files = sorted((sample_folder() / "models").glob("*.safetensors"))
    except DataError as error:
        logger.warning("No model is included: %s", error)
        return []
    return [file for file in files if _opens(file)]


def runs_folder() -> Path:
    """Where training runs go unless the user says otherwise."""
    return Path(user_data_path("napari-utanet")) / "runs"


def results_folder() -> Path:
    """Where results of slides go that lie in no folder of their own."""
    return Path(user_data_path("napari-utanet")) / "slides"


def display_name(path: Path) -> str:
    """A short name: the run's folder for ``<run>/model.safetensors``, else the file's stem."""
    return path.parent.name if path.stem == "model" else path.stem


def _opens(checkpoint: Path) -> bool:
    from src_model.models.header import read_checkpoint_info

    try:
        read_checkpoint_info(checkpoint)
    except CheckpointError as error:
        logger.warning("The included model is not offered: %s", error)
        return False
    return True


def _read(file: Path) -> list[Path]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        logger.warning("The list of recent models %s was not read: %s", file, error)
        return []
    return [Path(value) for value in values if isinstance(value, str)] if isinstance(values, list) else []
