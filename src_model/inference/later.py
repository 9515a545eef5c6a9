"""Wide maps that never exist as a whole: rows of them are made where a layer in strips looks at them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from src_model.tiling.plan import Box


class Later:
    """A wide map (B, C, Y, X) that is made where it is looked at, some rows at a time, and never as a whole.

    Parameters
    ----------
    make
        Makes it, or a part of it, from its source or a part of that. What it is not given it takes for the
        edge of the image.
    source
        ``(B, S, y, x)``.
    margin
        Pixels of the source on each side that a pixel depends on.
    up
        Pixels of the map for each of the source, along both axes.
    part
        Of the whole map, that this one is; ``None`` = all.
    """

    def __init__(
        self,
        make: Callable[[Tensor], Tensor],
        source: Tensor,
        *,
        margin: int,
        up: int = 1,
        part: Box | None = None,
    ) -> None:
        self._make, self._source, self._margin, self._up = make, source, margin, up
        height, width = source.shape[2:]
        self._part = part or Box(0, 0, up * height, up * width)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As of a tensor, but that nobody asks for the number of channels, which is 0."""
        return len(self._source), 0, self._part.height, self._part.width

    def __getitem__(self, index: tuple[slice, slice, slice, slice]) -> Later:
        """A part of it, as ``[:, :, rows, columns]``."""
        rows, columns = index[2:]
        part = Box(
            self._part.y + rows.start,
            self._part.x + columns.start,
            min(rows.stop, self._part.height) - rows.start,
            min(columns.stop, self._part.width) - columns.start,
        )
        return Later(self._make, self._source, margin=self._margin, up=self._up, part=part)

    def rows(self, low: int, high: int) -> Tensor:
        """Those from ``low`` to before ``high``, ``(B, C, high - low, X)``."""
        # All columns are made: to pick some of a source of many channels takes longer.
        start, stop = (self._part.y + low) // self._up, -(-(self._part.y + high) // self._up)
        # As many rows at the edges as elsewhere: layers are set up once for each size.
        length = self._source.shape[2]
        window = min(stop - start + 2 * self._margin, length)
        begin = min(max(start - self._margin, 0), length - window)
        made = self._make(self._source[:, :, begin : begin + window])
        top = self._part.y + low - begin * self._up
        return made[:, :, top : top + high - low, self._part.x : self._part.x_end]


def rows_of(x: Tensor | Later, low: int, high: int) -> Tensor:
    """Some rows of a map, whether it is there or not."""
    return x.rows(low, high) if isinstance(x, Later) else x[:, :, low:high]


class MadeLater(nn.Module):
    """Layers whose result is as large as their input, and made where it is looked at.

    ``margin`` = pixels on each side that a pixel of the result depends on.
    """

    def __init__(self, layers: nn.Module, margin: int) -> None:
        super().__init__()
        self.layers, self.margin = layers, margin

    def forward(self, x: Tensor) -> Later:
        """``(B, C, H, W)`` to a map of the same size."""
        return Later(self.layers, x, margin=self.margin)
