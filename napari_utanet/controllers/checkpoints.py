"""What a checkpoint says about itself, read without its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from src_model.config import ClassInfo, named_classes


@dataclass(frozen=True)
class ModelRead:
    """The checkpoint's description was read."""

    classes: tuple[ClassInfo, ...]
    """All foreground classes, named where the file does not."""
    domains: Mapping[str, tuple[ClassInfo, ...]] = field(default_factory=dict)
    """Of a model that serves several domains (organs): the classes of each."""
    sees_volumes: bool = False
    """Whether it takes volumes as a whole instead of plane by plane."""
    has_experts: bool = True
    """Whether it mixes experts."""
    in_channels: int = 3
    """Channels of the images that it takes."""
    pixel_size_um: float | None = None
    """Of the images that it was trained on, micrometres."""

    def classes_of(self, domain: str | None) -> tuple[ClassInfo, ...]:
        """The foreground classes of a domain; of the only one where none is chosen."""
        return self.domains.get(domain or next(iter(self.domains), ""), self.classes)


def describe(checkpoint: Path) -> ModelRead:
    """Read the description of a checkpoint.

    Raises
    ------
    CheckpointError
        When the file is missing, damaged, a pickle, or newer than this version.
    """
    from src_model.models.header import read_checkpoint_info
    from src_model.models.registry import list_models

    info = read_checkpoint_info(checkpoint)
    known = info.config.get("options", {}).get("domains") or {}
    domains = {name: _named(info.domain(name).classes, sizes["num_classes"]) for name, sizes in known.items()}
    return ModelRead(
        _named(info.classes, info.config.get("num_classes", 1)),
        domains,
        sees_volumes=info.config.get("name") in list_models(dims=3),
        has_experts=info.config.get("stage", 2) == 2,
        in_channels=info.config.get("in_channels", 3),
        pixel_size_um=info.pixel_size_um,
    )


def _named(classes: Sequence[ClassInfo], outputs: int) -> tuple[ClassInfo, ...]:
    return named_classes(classes, max(outputs - 1, 1))
