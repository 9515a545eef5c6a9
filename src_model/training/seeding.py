"""Random numbers that depend on names, not on what ran before: the key to exact resuming."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

Key = str | int


def derive_seed(seed: int, *key: Key) -> int:
    """A seed of 63 bits for one named purpose, e.g. ``derive_seed(0, "step", "1", 3, 7)``."""
    digest = hashlib.blake2b(repr((seed, *key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextmanager
def seeded(device: torch.device, seed: int, *key: Key) -> Iterator[None]:
    """Within the block torch draws from ``derive_seed(seed, *key)``; afterwards as before.

    Because every step of a training seeds itself by its name, the random state needs no saving:
    a step that is done again draws the same numbers, whatever else used the generator.
    """
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(derive_seed(seed, *key))
        yield
