"""Run folders as the Train dock sees them: a name for a new one, and what an old one holds."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

from src_model.config import TrainConfig
from src_model.errors import UTANetError


def new_run_folder(parent: Path, what: str, now: datetime | None = None) -> Path:
    """A folder below ``parent`` that does not exist yet, named by ``what``, date and time."""
    stamp = (now or datetime.now()).strftime("%Y-%m-%d %H.%M")
    folder = parent / f"{what} {stamp}"
    number = 2
    while folder.exists():
        folder = parent / f"{what} {stamp} ({number})"
        number += 1
    return folder


def unfinished_epochs(folder: Path | None) -> tuple[int, int] | None:
    """Epochs done and planned of a run that was stopped or killed; ``None`` for any other folder."""
    if folder is None or not (folder / "config.yaml").is_file():
        return None
    try:
        config = TrainConfig.from_yaml(folder / "config.yaml")
    except UTANetError:
        return None
    planned = config.stage1.epochs + (config.stage2.epochs if config.stage == "both" else 0)
    done = _rows(folder / "history.csv")
    return (done, planned) if done < planned else None


def resumed(folder: Path, device: str) -> TrainConfig:
    """The configuration of an unfinished run, to go on with on ``device``.

    Raises
    ------
    ConfigError
        When its ``config.yaml`` cannot be used.
    """
    overrides = {"device": device, "out": str(folder), "resume": True}
    return TrainConfig.from_yaml(folder / "config.yaml", overrides)


def _rows(path: Path) -> int:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return sum(1 for _ in csv.DictReader(stream))
    except OSError:
        return 0


def latest_unfinished(parent: Path) -> Path | None:
    """The newest run below ``parent``, where that one was not finished."""
    try:
        folders = [folder for folder in parent.iterdir() if (folder / "config.yaml").is_file()]
    except OSError:
        return None
    newest = max(folders, key=lambda folder: (folder / "config.yaml").stat().st_mtime, default=None)
    return newest if newest is not None and unfinished_epochs(newest) is not None else None
