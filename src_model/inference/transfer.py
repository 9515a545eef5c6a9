"""Moves batches to a device and results back beside the computing: pinned memory, a stream of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src_model.device import is_out_of_memory


@dataclass(frozen=True, eq=False)
class Sent:
    """A batch that is on its way to a device, or waits for room there."""

    batch: Tensor
    ready: torch.cuda.Event | None = None

    def on(self, device: torch.device) -> Tensor:
        """The batch, which what is computed from now on may use."""
        if self.ready is not None:
            stream = torch.cuda.current_stream(device)
            stream.wait_event(self.ready)
            self.batch.record_stream(stream)
        return self.batch.to(device, memory_format=layout_of(self.batch))

    def part(self, number: int) -> Sent:
        """One sample of it."""
        return Sent(self.batch[number : number + 1], self.ready)


@dataclass(frozen=True, eq=False)
class Received:
    """A result that is on its way from a device."""

    values: Tensor
    ready: torch.cuda.Event | None = None

    def array(self) -> NDArray[Any]:
        """The result, once it is here; a thread that asks waits, the device and other threads do not."""
        if self.ready is not None:
            self.ready.synchronize()
        result: NDArray[Any] = self.values.numpy()
        return result


class Transfer:
    """The ways to a device and back; may be used from several threads.

    Parameters
    ----------
    device
        Where the network computes. On anything but a CUDA device the copies are plain ones.
    dtype
        As which the network's first layer takes what is sent; it travels so.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._device, self.dtype = device, dtype
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def send(self, images: NDArray[np.float32] | Tensor) -> Sent:
        """Begin to move a batch (B, C, [D,] H, W); one for which there is no room stays here for now."""
        if isinstance(images, np.ndarray):
            forward = all(stride >= 0 for stride in images.strides)
            images = torch.from_numpy(images if forward else images.copy())
        batch = images.to(self.dtype)
        if self._stream is None:
            return Sent(batch)
        try:
            with torch.cuda.stream(self._stream):
                there = batch.pin_memory().to(self._device, memory_format=layout_of(batch), non_blocking=True)
                return Sent(there, self._stream.record_event())
        except RuntimeError as error:
            if is_out_of_memory(error):
                return Sent(batch)
            raise

    def receive(self, result: Tensor) -> Received:
        """Begin to move what is computed on the current stream."""
        if self._stream is None:
            return Received(result.cpu())
        here = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
        here.copy_(result, non_blocking=True)
        return Received(here, torch.cuda.current_stream(self._device).record_event())


def layout_of(batch: Tensor) -> torch.memory_format:
    """How a batch lies in memory best: images with their channels last."""
    return torch.channels_last if batch.ndim == 4 else torch.preserve_format
