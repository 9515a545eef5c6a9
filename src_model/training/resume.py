"""Which settings of a run may change when it is resumed."""

from __future__ import annotations

from typing import Any

from src_model.config import TrainConfig
from src_model.errors import ConfigError

_FREE = {"out", "resume", "device", "stage1.epochs", "stage2.epochs", "stage3.epochs", "report"}


def frozen_settings(config: TrainConfig) -> dict[str, Any]:
    """The configuration, JSON-ready, as it is saved with the state (paths to read from absolute)."""
    return config.with_absolute_inputs().model_dump(mode="json")


def check_same_run(saved: dict[str, Any], config: TrainConfig) -> None:
    """Refuse to resume with other settings than the run was begun with.

    Free are the numbers of epochs, the device, the report, and where the run folder lies.

    Raises
    ------
    ConfigError
        Naming the first setting that differs, both values and the remedy.
    """
    before = _flat(frozen_settings(TrainConfig.parse(saved)))
    now = _flat(frozen_settings(config))
    for key in before | now:
        if key not in _FREE and before.get(key) != now.get(key):
            raise ConfigError(
                f"This run was begun with {key} = {before.get(key)!r} but is to be resumed with "
                f"{now.get(key)!r}; resume it with the settings in its config.yaml, or start a new run in "
                "another folder."
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
