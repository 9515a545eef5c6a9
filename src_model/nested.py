"""Settings as nested dictionaries: read from YAML, laid over each other, given as key=value."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from src_model.errors import ConfigError


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises
    ------
    ConfigError
        When the file cannot be read, is not YAML, or does not hold a mapping.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read the configuration {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} is not valid YAML; mend or remove it.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"The configuration {path} must be a mapping of keys to values.")
    return values


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """A new nested dictionary: ``over`` laid on ``base``, key by key."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Nested dictionary from ``["stage1.epochs=3", ...]``; values are read as YAML.

    Raises
    ------
    ConfigError
        When an item is not ``key=value``.
    """
    values: dict[str, Any] = {}
    for text in assignments:
        key, separator, raw = text.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"Expected key=value but got '{text}'; write for example stage1.epochs=3.")
        try:
            value = yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise ConfigError(f"The value of '{key}' is not readable: '{raw}'.") from error
        if isinstance(value, str):
            value = _number(value)
        for part in reversed(key.strip().split(".")):
            value = {part: value}
        values = merge(values, value)
    return values


def _number(text: str) -> str | float:
    try:
        return float(text)  # YAML 1.1 reads "1e-3" as text
    except ValueError:
        return text
