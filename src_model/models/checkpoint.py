"""Checkpoints: a network and all that is needed to use it, in one file that is data, never code."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src_model import __version__
from src_model.config import ClassInfo, DomainInfo, Normalisation
from src_model.errors import CheckpointError, ModelError
from src_model.models.header import CheckpointInfo, read_checkpoint_info
from src_model.models.registry import create_model
from src_model.tensors import write_tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from src_model.models.base import SegmentationModel

__all__ = [
    "Checkpoint",
    "CheckpointInfo",
    "load_checkpoint",
    "read_checkpoint_info",
    "save_checkpoint",
]


@dataclass(frozen=True, kw_only=True)
class Checkpoint(CheckpointInfo):
    """A checkpoint in memory."""

    model: SegmentationModel
    """In evaluation mode, on the device that was asked for."""


def save_checkpoint(
    path: str | Path,
    model: SegmentationModel,
    *,
    classes: Iterable[ClassInfo] = (),
    normalisation: Normalisation | None = None,
    pixel_size_um: float | None = None,
    history: Iterable[Mapping[str, Any]] = (),
    training: Mapping[str, Any] | None = None,
    domains: Mapping[str, DomainInfo] | None = None,
    half: bool = False,
) -> Path:
    """Write ``model`` and its description as safetensors, by atomic rename.

    Parameters
    ----------
    path
        Where; a suffix ``.safetensors`` is usual.
    model
        A network of :func:`src_model.create_model`; on any device, unchanged.
    classes
        Foreground classes by name and colour: one, or ``num_classes - 1`` for several classes;
        empty = named by their number.
    normalisation
        Standardisation that the network was trained with.
    pixel_size_um
        Pixel size of the training images in micrometres.
    history
        One JSON-ready entry per epoch.
    training
        How the training images reached the network; JSON-ready.
    domains
        Of a network that serves several: classes, standardisation and voxel size of each.
    half
        Store floating-point weights as float16, in half the bytes; they are float32 again when loaded.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    CheckpointError
        When the number of classes does not fit the network, or a weight does not fit float16.
    OutputError
        When the file cannot be written.
    """
    import torch

    tensors = dict(model.state_dict())
    if half:
        tensors = {key: _halved(key, value) for key, value in tensors.items()}
    named = tuple(classes)
    foreground = max(model.num_classes - 1, 1)
    if named and len(named) != foreground:
        raise CheckpointError(f"Expected {foreground} foreground classes or none but got {len(named)}.")
    info = CheckpointInfo(
        config=model.config,
        classes=named,
        normalisation=normalisation or Normalisation(),
        pixel_size_um=pixel_size_um,
        history=tuple(dict(entry) for entry in history),
        versions={
            "napari-utanet": __version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
        training=dict(training or {}),
        domains=dict(domains or {}),
    )
    write_tensors(path, tensors, info.to_metadata())
    return Path(path)


def load_checkpoint(path: str | Path, *, device: str | torch.device = "cpu") -> Checkpoint:
    """Open a checkpoint; runs no code from the file.

    Parameters
    ----------
    path
        A file written by :func:`save_checkpoint`.
    device
        Where the network shall be; ``auto`` = the best of this machine.

    Raises
    ------
    CheckpointError
        When the file is missing, truncated, a pickle, newer than this version, or its weights
        are of another network than it says.
    DeviceError
        When the device is not available.
    """
    import torch

    from src_model.device import resolve_device

    info = read_checkpoint_info(path)
    target = resolve_device(device) if isinstance(device, str) else device
    tensors = _read_tensors(Path(path))
    with torch.device("meta"):  # neither time nor random numbers for weights that are replaced
        model = _build(Path(path), info.config)
    own = model.state_dict()
    problem = _mismatch(own, tensors)
    if problem:
        raise CheckpointError(
            f"The weights in {path} are of another network than '{info.config.get('name')}': {problem}."
        )
    model.load_state_dict({k: v.to(own[k].dtype, copy=True) for k, v in tensors.items()}, assign=True)
    shared = {field.name: getattr(info, field.name) for field in fields(CheckpointInfo)}
    return Checkpoint(model=model.eval().to(target), **shared)


def _halved(key: str, tensor: Tensor) -> Tensor:
    """As float16; whole numbers stay as they are."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    if half.isinf().any():
        raise CheckpointError(
            f"The weight '{key}' reaches {tensor.abs().max():.3g}, too large for half precision (65504); "
            "save without half=True."
        )
    return half


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"The weights in {path} cannot be read: {error}; use another copy.") from error


def _build(path: Path, config: Mapping[str, Any]) -> SegmentationModel:
    try:
        arguments = {key: config[key] for key in ("in_channels", "num_classes", "stage", "top_k")}
        return create_model(config["name"], **arguments, **config["options"])
    except (ModelError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} describes a network that this version cannot build: {error} Update napari-utanet."
        ) from error


def _mismatch(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str | None:
    """What is wrong with the tensors of a file, in words, or ``None``."""
    for key, tensor in own.items():
        if key not in tensors:
            return f"'{key}' is missing"
        if tensors[key].shape != tensor.shape:
            return f"'{key}' has shape {tuple(tensors[key].shape)} instead of {tuple(tensor.shape)}"
    unknown = next((key for key in tensors if key not in own), None)
    return f"'{unknown}' has no place in it" if unknown else None
