"""What lies behind the encoder, computed for one part of a tile after the other.

The encoder of a light network must see far around a tile, so the tile should be large. Mixture and decoder
see what is near, but hold maps that are several times as large as the encoder's: of a part of the tile they
take a fraction of the memory, and no more time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from src_model.models.blocks import GlobalPool
from src_model.models.utanet import UTANet
from src_model.tiling.plan import Box, round_up


def logits_of_part(model: UTANet, x: Tensor, part: Box | None, pixels: int, **options: Any) -> Tensor:
    """Logits of a part of a batch; ``None`` = all.

    Parameters
    ----------
    model, x, part, **options
        As for :meth:`src_model.models.utanet.UTANet.forward`.
    pixels
        That go behind the encoder at a time. Where the mixture looks at all of an image, or at far more than
        is wanted, all of them do.
    """
    pieces = list(pieces_of(part, pixels, model.required_multiple)) if part else []
    if len(pieces) < 2 or model.near_halo is None or not _holds_pools(model):
        whole: Tensor = model(x, part=part, **options).logits
        return whole
    assert part is not None
    features = model.features(x)
    result: Tensor | None = None
    for piece in pieces:
        made = model(x, part=piece, features=features, **options).logits
        if result is None:
            result = made.new_empty((*made.shape[:2], part.height, part.width))
        result[(..., *piece.moved(-part.y, -part.x).slices)] = made
    assert result is not None
    return result


def pieces_of(part: Box, pixels: int, multiple: int) -> Iterator[Box]:
    """Pieces of about as many pixels and as square as may be, cut at multiples counted from the corner."""
    side = round(pixels**0.5)
    width = round_up(-(-part.width // -(-part.width // side)), multiple)
    most = max(pixels // width, 1)
    height = round_up(-(-part.height // -(-part.height // most)), multiple)
    for y in range(part.y, part.y_end, height):
        for x in range(part.x, part.x_end, width):
            yield Box(y, x, min(height, part.y_end - y), min(width, part.x_end - x))


def _holds_pools(model: UTANet) -> bool:
    return all(pool.held is not None for pool in model.modules() if isinstance(pool, GlobalPool))
