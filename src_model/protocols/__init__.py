"""Named training protocols: one YAML file each, in which every key says where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from src_model.config import TrainConfig
from src_model.errors import ConfigError
from src_model.nested import merge, read_yaml

_FILES = Path(__file__).parent


def list_protocols() -> list[str]:
    """Names of the protocols, by alphabet."""
    return sorted(file.stem for file in _FILES.glob("*.yaml"))


def protocol_file(name: str) -> Path:
    """The file of a protocol; its first line says in a sentence what it is for.

    Raises
    ------
    ConfigError
        When there is no protocol of that name.
    """
    if name not in list_protocols():
        raise ConfigError(f"There is no protocol '{name}'; choose one of: {', '.join(list_protocols())}.")
    return _FILES / f"{name}.yaml"


def purpose(name: str) -> str:
    """What a protocol is for, in a sentence; errors as for :func:`protocol_file`."""
    return protocol_file(name).read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def protocol(name: str) -> dict[str, Any]:
    """Settings of a protocol, complete enough for the user's own to be laid over them.

    Raises
    ------
    ConfigError
        When there is no protocol of that name.
    """
    defaults = {
        stage: TrainConfig.model_fields[stage].default.model_dump()
        for stage in ("stage1", "stage2", "stage3")
    }
    return merge(defaults, read_yaml(protocol_file(name)))
