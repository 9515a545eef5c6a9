"""The state of a run after an epoch in one safetensors file: all that an exact resume needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import AdamW

from src_model.errors import CheckpointError
from src_model.tensors import write_tensors
from src_model.training.history import EpochRecord, History
from src_model.training.optim import load_optimiser_tensors, optimiser_tensors
from src_model.training.stages import Stage

STATE_VERSION = 1
_KEY = "utanet_run"
_MODEL, _AVERAGE, _OPTIMISER = "model", "average", "optimiser"


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Where a run stands after an epoch, without tensors."""

    config: dict[str, Any]
    """The configuration, JSON-ready."""
    data: str
    """Fingerprint of the cases, see :func:`src_model.training.sources.fingerprint`."""
    micro_batch: int
    """Samples that are computed at once; smaller than the batch where memory ran out."""
    history: History = field(default_factory=History)


def save_state(
    path: Path,
    state: RunState,
    model: nn.Module,
    optimiser: AdamW,
    stage: Stage,
    average: nn.Module | None = None,
) -> None:
    """Write ``state`` and the tensors that ``stage`` trains, and their average, atomically.

    Frozen weights are left out: they lie in the best checkpoint of stage 1. There is no random
    state to save, because each step seeds itself (:mod:`src_model.training.seeding`); epoch,
    schedule and best score follow from the history.

    Raises
    ------
    OutputError
        When the disk is full or the folder is not writable; the file before stays as it was.
    """
    tensors = {
        f"{part}/{key}": value
        for part, network in ((_MODEL, model), (_AVERAGE, average))
        if network is not None
        for key, value in network.state_dict().items()
        if key.startswith(stage.prefix)
    }
    tensors |= {f"{_OPTIMISER}/{k}": v for k, v in optimiser_tensors(model, optimiser).items()}
    values = {
        "version": STATE_VERSION,
        "config": state.config,
        "data": state.data,
        "micro_batch": state.micro_batch,
        "history": [record.to_dict() for record in state.history.records],
    }
    write_tensors(path, tensors, {_KEY: json.dumps(values)})


def read_state(path: Path) -> RunState:
    """Read the state without its tensors.

    Raises
    ------
    CheckpointError
        When the file is damaged, of another program, or newer than this version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
        values = json.loads(metadata[_KEY])
        if values["version"] > STATE_VERSION:
            raise CheckpointError(f"{path} was written by a newer version; update napari-utanet.")
        records = tuple(EpochRecord.from_dict(entry) for entry in values["history"])
        return RunState(
            config=values["config"],
            data=values["data"],
            micro_batch=values["micro_batch"],
            history=History(records),
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The saved state {path} cannot be read; start a new run in another folder."
        ) from error


def load_tensors(
    path: Path, model: nn.Module, optimiser: AdamW, stage: Stage, average: nn.Module | None = None
) -> None:
    """Put the tensors of :func:`save_state` back into ``model``, ``optimiser`` and ``average``.

    Raises
    ------
    CheckpointError
        When the file cannot be read or its tensors are of another network.
    """
    parts: dict[str, dict[str, Tensor]] = {_MODEL: {}, _AVERAGE: {}, _OPTIMISER: {}}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a dictionary
                part, _, name = key.partition("/")
                parts[part][name] = file.get_tensor(key)
        _fill(model, parts[_MODEL], stage)
        if average is not None:
            _fill(average, parts[_AVERAGE], stage)
        load_optimiser_tensors(model, optimiser, parts[_OPTIMISER])
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"The saved state {path} does not fit this network; start a new run in another folder."
        ) from error


def _fill(network: nn.Module, weights: Mapping[str, Tensor], stage: Stage) -> None:
    expected = {key for key in network.state_dict() if key.startswith(stage.prefix)}
    if weights.keys() != expected:
        raise KeyError(*(weights.keys() ^ expected))
    network.load_state_dict(weights, strict=False)
