"""Which device computes, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, cast

import torch

from src_model.errors import DeviceError

Precision = Literal["float32", "bfloat16", "float16"]
NARROW: dict[str, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""The number types of two bytes."""


def list_devices() -> list[str]:
    """Devices of this machine, best first; ``cpu`` is always the last."""
    devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def resolve_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` takes the best of :func:`list_devices`.

    Raises
    ------
    DeviceError
        When this machine has no such device.
    """
    available = list_devices()
    if name == "auto":
        return torch.device(available[0])
    if name in available or (name == "cuda" and available[0].startswith("cuda")):
        return torch.device(name)
    raise DeviceError(
        f"The device '{name}' is not available here; choose 'auto' or one of: {', '.join(available)}."
    )


def resolve_precision(name: str, device: torch.device) -> Precision:
    """``auto`` gives ``bfloat16`` where the device is fast at it, else ``float32``."""
    if name != "auto":
        return cast(Precision, name) if name in NARROW else "float32"
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = False
    return "bfloat16" if fast else "float32"


def autocast(
    device: torch.device, precision: Precision, *, keep_casts: bool = True
) -> AbstractContextManager[object]:
    """Context in which the network computes in ``precision``.

    ``keep_casts`` = whether weights that were cast once are kept to the end of the context.
    """
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=NARROW[precision], cache_enabled=keep_casts)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a torch error says that the device's memory ran out."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
    )
