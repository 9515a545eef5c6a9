"""What a checkpoint says about itself, read without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_utanet.adapters.to_layer import named_classes
from src_model.config import ClassInfo


@dataclass(frozen=True)
class ModelRead:
    """The checkpoint's description was read."""

    classes: tuple[ClassInfo, ...]
    """All foreground classes, named where the file does not."""


def describe(checkpoint: Path) -> ModelRead:
    """Read the description of a checkpoint.

    Raises
    ------
    CheckpointError
        When the file is missing, damaged, a pickle, or newer than this version.
    """
    from src_model.models.header import read_checkpoint_info

    info = read_checkpoint_info(checkpoint)
    outputs = int(info.config.get("num_classes", 1))
    return ModelRead(named_classes(info.classes, 1 if outputs == 1 else outputs - 1))
