"""Tensors into a safetensors file, by atomic rename."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from src_model.files import atomic_path

if TYPE_CHECKING:
    from torch import Tensor


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors, on any device, and texts to ``path``.

    Raises
    ------
    OutputError
        When the disk is full or the folder is not writable; a file that lay there stays as it was.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            save_file(plain, temporary, metadata=dict(metadata))
        except SafetensorError as error:
            raise _of_the_system(error) from error


def _of_the_system(error: Exception) -> OSError:
    """The error of the operating system that safetensors tells of by its number, like any other writer's."""
    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error))
