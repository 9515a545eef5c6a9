"""The description inside a checkpoint, read without torch and without the weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from src_model.config import ClassInfo, DomainInfo, Normalisation
from src_model.errors import CheckpointError

FORMAT = "utanet-checkpoint"
FORMAT_VERSION = 1
_LENGTH_BYTES = 8
_MAX_HEADER = 100_000_000
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """Everything in a checkpoint but the weights."""

    config: dict[str, Any]
    """``name``, ``in_channels``, ``num_classes``, ``stage``, ``top_k``, ``options``."""
    classes: tuple[ClassInfo, ...]
    """Foreground classes; empty = named by their number."""
    normalisation: Normalisation
    pixel_size_um: float | None
    """Pixel size of the training images in micrometres, where known."""
    history: tuple[dict[str, Any], ...]
    """One entry per epoch of training."""
    versions: dict[str, str]
    """Versions of the programs that wrote the file."""
    training: dict[str, Any]
    """How the training images reached the network, e.g. ``image_size`` and ``sampling``."""
    domains: dict[str, DomainInfo] = field(default_factory=dict)
    """Of a network that serves several domains: what is known of each, by name."""

    def domain(self, name: str | None) -> DomainInfo:
        """What is known of one domain, or of all that the network does where it has none.

        What the file does not say of the domain itself is what it says of the whole.
        """
        domains = self.config.get("options", {}).get("domains") or {}
        alone = self.classes if len(domains) <= 1 else ()
        own = self.domains.get(name or "", DomainInfo(classes=alone, normalisation=self.normalisation))
        patch = self.training.get("patch_size")
        if own.patch_size is None and patch is not None:
            own = own.model_copy(update={"patch_size": tuple(patch)})
        return own

    def to_metadata(self) -> dict[str, str]:
        """As the text pairs that a safetensors file may carry."""
        description = {
            "config": self.config,
            "classes": [item.model_dump() for item in self.classes],
            "normalisation": self.normalisation.model_dump(),
            "pixel_size_um": self.pixel_size_um,
            "history": list(self.history),
            "versions": self.versions,
            "training": self.training,
            "domains": {name: info.model_dump() for name, info in self.domains.items()},
        }
        return {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "description": json.dumps(description, default=str),
        }


def read_checkpoint_info(path: str | Path) -> CheckpointInfo:
    """Read the description of a checkpoint: fast, and without torch.

    Parameters
    ----------
    path
        A file written by :func:`src_model.save_checkpoint`.

    Raises
    ------
    CheckpointError
        When the file is missing, empty, truncated, a pickle, of another program, or newer than
        this version.
    """
    path = Path(path)
    metadata = _read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a safetensors file but not a checkpoint of this program.")
    version = metadata.get("format_version", "")
    if not version.isdecimal() or int(version) > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has checkpoint format {version or 'unknown'} but this version reads up to "
            f"{FORMAT_VERSION}; update napari-utanet."
        )
    try:
        values = json.loads(metadata["description"])
        return CheckpointInfo(
            config=dict(values["config"]),
            classes=tuple(ClassInfo.model_validate(item) for item in values["classes"]),
            normalisation=Normalisation.model_validate(values["normalisation"]),
            pixel_size_um=values["pixel_size_um"],
            history=tuple(values["history"]),
            versions=dict(values["versions"]),
            training=dict(values["training"]),
            domains={k: DomainInfo.model_validate(v) for k, v in values.get("domains", {}).items()},
        )
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise CheckpointError(f"The description inside {path} is damaged; use another copy.") from error


def _read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file after checking that all of its bytes are there."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(_LENGTH_BYTES)
            _refuse_start(path, start)
            length = int.from_bytes(start, "little")
            header = stream.read(length) if length <= min(size, _MAX_HEADER) else b""
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no checkpoint {path}; check the path.") from error
    except OSError as error:
        raise CheckpointError(f"Cannot read the checkpoint {path}: {error.strerror}.") from error
    try:
        entries = json.loads(header)
        metadata = {str(k): str(v) for k, v in entries.pop("__metadata__", {}).items()}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is not a checkpoint, or it is truncated; use another copy of the file."
        ) from error
    missing = _LENGTH_BYTES + length + end - size
    if missing > 0:
        raise CheckpointError(
            f"{path} is truncated: {missing} of {size + missing} bytes are missing; use another copy."
        )
    return metadata


def _refuse_start(path: Path, start: bytes) -> None:
    """Refuse a file whose first bytes say that it is empty, cut off or a pickle."""
    if not start:
        raise CheckpointError(f"The checkpoint {path} is empty (0 bytes); use another copy.")
    if start.startswith(_PICKLE_STARTS):
        raise CheckpointError(
            f"{path} looks like a pickled PyTorch file, which could run code and is not opened; turn "
            "published weights into a checkpoint with `utanet convert`."
        )
    if len(start) < _LENGTH_BYTES:
        raise CheckpointError(f"{path} is truncated: it holds only {len(start)} bytes; use another copy.")
