"""Key names of the published 3D U2-Net code, turned into ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from src_model.errors import CheckpointError

_WHERE: tuple[tuple[str, str], ...] = (
    (r"in_tr_list\.(\d+)\.op1\.0\.", r"inputs.\1.0."),
    (r"in_tr_list\.(\d+)\.op1\.1\.0\.", r"inputs.\1.1."),
    (r"down_blocks\.(\d+)\.op(1|2)\.", r"blocks.\1.conv\2."),
    (r"down_samps\.(\d+)\.op1\.", r"downs.\1.conv."),
    (r"up_samps\.(\d+)\.op\.", r"ups.\1.up."),
    (r"up_blocks\.(\d+)\.op(1|2)\.", r"ups.\1.conv\2."),
    (r"dSupers\.(\d+)\.(\d+)\.op1\.0\.", r"sides.\1.\2.conv."),
    (r"dSupers\.(\d+)\.(\d+)\.op1\.1\.0\.", r"sides.\1.\2.norm."),
    (r"out_tr_list\.(\d+)\.conv1\.", r"outputs.\1."),
)
_PART: tuple[tuple[str, str], ...] = (
    (r"adapOps\.(\d+)\.(?:conv1|op1\.1)\.", r"adapters.\1.conv."),
    (r"adapOps\.(\d+)\.op1\.0\.", r"adapters.\1.norm."),
    (r"adapOps\.(\d+)\.op1\.", r"adapters.\1.conv."),
    (r"pwise\.conv1\.", "conv."),
    (r"conv\.", "conv."),
    (r"op\.(\d+)\.", r"norms.\1."),
    ("", ""),
)


def rename_volume_state(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the published code by the key names of :class:`U2Net3D`.

    Universal mode with any adapter, or shared mode.

    Raises
    ------
    CheckpointError
        When a key is none of the published network, or a value is no tensor.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"The weight '{key}' is a {type(value).__name__} but expected a tensor.")
        renamed[_own_key(str(key).removeprefix("module."))] = value
    return renamed


def _own_key(key: str) -> str:
    for pattern, own in _WHERE:
        match = re.match(pattern, key)
        if match:
            rest = key[match.end() :]
            for part, own_part in _PART:
                inner = re.match(part, rest)
                if inner:
                    return match.expand(own) + inner.expand(own_part) + rest[inner.end() :]
    raise CheckpointError(f"The weights hold '{key}', which the published 3D U2-Net does not have.")
