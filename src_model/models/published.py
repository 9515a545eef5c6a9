"""Weights of the published code of the networks, taken over by their own key names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src_model.errors import CheckpointError
from src_model.models.base import SegmentationModel
from src_model.models.published3d import rename_volume_state
from src_model.models.registry import create_model

_IGNORED = re.compile(r"resnet\.(conv1|bn1|fc)\..*")
_ROUTERS = 4
_Patterns = tuple[tuple[str, str], ...]
_SHARED: _Patterns = (
    (r"conv1\.", "encoder.stem."),
    (r"resnet\.(layer\d)\.", r"encoder.\1."),
    (r"pred\.", "head."),
    (r"fuse\.", "mixture.fuse."),
    (r"docker1\.", "mixture.dockers.0."),
    (r"docker2\.", "mixture.dockers.1."),
    (r"docker3\.", "mixture.dockers.2."),
    (r"docker4\.", "mixture.dockers.3."),
)
_UTANET: _Patterns = (
    *_SHARED,
    (r"up5\.", "decoder.ups.0."),
    (r"up4\.", "decoder.ups.1."),
    (r"up3\.", "decoder.ups.2."),
    (r"up2\.", "decoder.ups.3."),
    (r"moe\.experts\.(\d+)\.seq\.0\.", r"mixture.experts.\1.expand."),
    (r"moe\.experts\.(\d+)\.seq\.1\.", r"mixture.experts.\1.mix."),
    (r"moe\.experts\.(\d+)\.seq\.2\.", r"mixture.experts.\1.norm."),
    (r"moe\.experts\.(\d+)\.seq\.4\.", r"mixture.experts.\1.reduce."),
)
_LIGHT: _Patterns = (
    *_SHARED,
    *(
        (rf"up{5 - number}\.{theirs}\.", f"decoder.ups.{number}.{ours}.")
        for number in range(4)
        for theirs, ours in (("up", "up"), ("dw", "depthwise"), ("pw", "conv.0"), ("bn", "conv.1"))
    ),
    (r"moe\.experts\.3\.conv\.1\.", "mixture.experts.3.expand."),
    (r"moe\.experts\.(\d+)\.conv\.0\.", r"mixture.experts.\1.look."),
    (r"moe\.experts\.(\d+)\.conv\.1\.", r"mixture.experts.\1.norm."),
    (r"moe\.experts\.(\d+)\.conv\.3\.", r"mixture.experts.\1.reduce."),
    (r"aspp\.aspp1\.", "bottleneck.point."),
    (r"aspp\.aspp2\.", "bottleneck.dilated.0."),
    (r"aspp\.aspp3\.", "bottleneck.dilated.1."),
    (r"aspp\.global_pool\.1\.", "bottleneck.pooled.0."),
    (r"aspp\.project\.", "bottleneck.project."),
)
_PUBLISHED = {"utanet": _UTANET, "light-utanet": _LIGHT}
"""How the published names of each network translate to ours."""
_VOLUME_NETWORK = "u2net3d"


def load_published_weights(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Fill ``model`` with weights trained with the published code.

    Parameters
    ----------
    model
        A ``utanet`` or ``light-utanet`` of the same stage, channels and classes, or a ``u2net3d``
        of the same mode, adapter, poolings and domains.
    state_dict
        As the published code saved it. Its copies of the encoder (``conv2`` to ``conv5``) and
        the parts of ResNet34 that it never uses are ignored.

    Raises
    ------
    CheckpointError
        When the network has no published form, or stage, keys or shapes do not fit. The model
        is then unchanged.
    """
    if not isinstance(model, SegmentationModel):
        raise CheckpointError(f"There are no published weights for a {type(model).__name__}; {_known()}.")
    if model.name == _VOLUME_NETWORK:
        weights = rename_volume_state(state_dict)
        _check_fit(weights, model.state_dict())
        model.load_state_dict(weights)
        return
    patterns = _patterns(model.name)
    state = _clean(state_dict)
    stage = _stage(state)
    if stage != model.stage:
        raise CheckpointError(
            f"The weights are of stage {stage} but the network is of stage {model.stage}; "
            f"create it with stage={stage}."
        )
    renamed = _rename(state, patterns, model.name)
    own = model.state_dict()
    _check_fit(renamed, own)
    for key, tensor in own.items():
        if key.endswith("num_batches_tracked"):
            renamed.setdefault(key, tensor)
    model.load_state_dict(renamed)


def convert_published(path: str | Path, name: str = "utanet", *, top_k: int = 2) -> SegmentationModel:
    """Build a network from a ``.pth`` file of the published code, without running code in it.

    Channels, classes and stage are read from the tensors; ``top_k`` is not stored in the file.

    Raises
    ------
    CheckpointError
        When the file is missing, damaged, holds anything but tensors, or does not fit ``name``.
    """
    if name == _VOLUME_NETWORK:
        raise CheckpointError(
            "The published 3D U2-Net does not store how often each axis is halved; create the network with "
            f"create_model('{name}', poolings=...) and fill it by load_published_weights."
        )
    _patterns(name)
    state = _clean(_read(Path(path)))
    stage = _stage(state)
    stem, last = state.get("conv1.0.weight"), state.get("pred.3.weight")
    if stem is None or last is None or stem.ndim != 4 or last.ndim != 4:
        raise CheckpointError(
            f"{path} does not hold a published '{name}': 'conv1.0.weight' or 'pred.3.weight' is missing."
        )
    model = create_model(name, in_channels=stem.shape[1], num_classes=last.shape[0], stage=stage, top_k=top_k)
    load_published_weights(model, state)
    return model.eval()


def _patterns(name: str) -> _Patterns:
    if name not in _PUBLISHED:
        raise CheckpointError(f"There are no published weights for '{name}'; {_known()}.")
    return _PUBLISHED[name]


def _known() -> str:
    return "there are some for " + ", ".join(f"'{name}'" for name in _PUBLISHED) + f" and '{_VOLUME_NETWORK}'"


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}; check the path.")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged and for unsafe files
        raise CheckpointError(
            f"{path} cannot be read as plain tensors: it is damaged, or it holds objects that would run "
            "code and are refused; save its state_dict() with torch.save and convert that."
        ) from error
    for key in ("state_dict", "model_state_dict", "model", "net"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__} but expected a state dict of tensors."
        )
    return content


def _clean(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the wrapper's prefix, ignored parts and the second copy of the encoder."""
    state = {str(key).removeprefix("module."): value for key, value in state_dict.items()}
    for level in range(1, 5):
        copy = f"conv{level + 1}."
        for key in [key for key in state if key.startswith(copy)]:
            state.setdefault(f"resnet.layer{level}." + key.removeprefix(copy), state[key])
            del state[key]
    return {key: value for key, value in state.items() if not _IGNORED.fullmatch(key)}


def _stage(state: Mapping[str, Tensor]) -> int:
    return 2 if any(key.startswith(("moe.", "fuse.", "docker")) for key in state) else 1


def _rename(state: Mapping[str, Tensor], patterns: _Patterns, name: str) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    gates: dict[int, Tensor] = {}
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"The weight '{key}' is a {type(value).__name__} but expected a tensor.")
        gate = re.fullmatch(r"moe\.gate(\d)", key)
        if gate:
            gates[int(gate[1])] = value
        elif key == "moe.gate_conv.1.weight" and value.ndim == 4:  # (experts, channels, 1, 1)
            renamed["mixture.routers.gates"] = value[:, :, 0, 0].T[None]
        elif key == "moe.gate_conv.1.bias":
            renamed["mixture.routers.bias"] = value[None]
        else:
            renamed[_own_key(key, patterns, name)] = value
    if gates:
        wanted = [gates.get(number) for number in range(1, _ROUTERS + 1)]
        found = [gate for gate in wanted if gate is not None]
        if len(found) < _ROUTERS or len({gate.shape for gate in found}) > 1:
            raise CheckpointError(
                f"Expected {_ROUTERS} router weights 'moe.gate1' to 'moe.gate4' of one shape."
            )
        renamed["mixture.routers.gates"] = torch.stack(found)
    return renamed


def _own_key(key: str, patterns: _Patterns, name: str) -> str:
    for pattern, own in patterns:
        match = re.match(pattern, key)
        if match:
            return match.expand(own) + key[match.end() :]
    raise CheckpointError(f"The weights hold '{key}', which the published '{name}' does not have.")


def _check_fit(renamed: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    for key, tensor in own.items():
        if key not in renamed:
            if key.endswith("num_batches_tracked"):
                continue
            raise CheckpointError(f"The published weights lack '{key}'; the file is incomplete.")
        if renamed[key].shape != tensor.shape:
            raise CheckpointError(
                f"The published weight for '{key}' has shape {tuple(renamed[key].shape)} but the network "
                f"expects {tuple(tensor.shape)}; create it with the same channels and classes."
            )
    unknown = next((key for key in renamed if key not in own), None)
    if unknown is not None:
        raise CheckpointError(f"The published weights hold '{unknown}', which this network does not have.")
