"""One image from its source to its finished mask, in short steps between which it can be stopped."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.image_io import check_image
from src_model.errors import ImageError
from src_model.events import Control, Event, ImageSegmented, SegmentationStarted, TileFinished, Warned
from src_model.inference.axes import find_layout
from src_model.inference.network import MemoryRanOut, Network, classes, probabilities
from src_model.inference.objects import to_objects
from src_model.inference.outputs import conclude, progress, write_results
from src_model.inference.pieces import Method, choose_method
from src_model.inference.prepare import Preparation, is_constant
from src_model.inference.request import Request
from src_model.inference.sources import Source


class ImageRun:
    """Loads and checks one image, then segments it plane by plane.

    Parameters
    ----------
    source, target
        The image, and the file of its mask or ``None``.
    network, request, control
        What segments it, how, and the token that is checked between pieces.

    Raises
    ------
    DataError, ImageError
        When the image cannot be read or segmented.
    """

    def __init__(
        self, source: Source, target: Path | None, network: Network, request: Request, control: Control
    ) -> None:
        self._source, self._target = source, target
        self._network, self._request, self._control = network, request, control
        self._begun = time.perf_counter()
        self._array = source.load()
        check_image(self._array)
        self._layout = find_layout(self._array.shape, request.axes, in_channels=network.in_channels)
        self._prepare = Preparation.of(self._layout.ordered(self._array), network, source.limits)
        self._method: Method = choose_method(network, request, self._layout.height, self._layout.width)
        region = self._method.region
        shape = (*self._layout.plane_shape, region.height, region.width)
        self._mask: NDArray[Any] = np.zeros(shape, np.uint8)
        self._probability: NDArray[np.float32] | None = None
        if request.probability:
            self._probability = np.zeros((network.foreground_classes, *shape), np.float32)
        self._planes_done = 0

    def events(self) -> Generator[Event, None, ImageSegmented]:
        """Segment the image; the last event, :class:`ImageSegmented`, is returned too."""
        total = self._planes * self._method.count
        yield SegmentationStarted(source=self._source.name, tiles=total, device=str(self._network.device))
        for index, plane in self._layout.planes(self._array):
            yield from self._segment(index, plane)
            self._planes_done += 1
        foreground = np.count_nonzero(self._mask) / self._mask.size
        objects = self._number_objects() if self._request.instances else None
        if self._target is not None:
            write_results(self._target, self._mask, self._probability)
        result = conclude(
            self._source,
            self._target,
            self._mask,
            self._probability,
            foreground=foreground,
            objects=objects,
            begun=self._begun,
        )
        yield result
        return result

    @property
    def _planes(self) -> int:
        return int(np.prod(self._layout.plane_shape, dtype=np.int64))

    def _segment(self, index: tuple[int, ...], plane: NDArray[Any]) -> Iterator[Event]:
        """One plane, begun again with smaller pieces as often as memory runs out."""
        if is_constant(plane):
            self._control.check()
            yield self._progress(self._method.count)
            return
        while True:
            try:
                yield from self._piece_by_piece(index, plane)
            except MemoryRanOut:
                smaller = self._method.smaller()
            else:
                return
            if smaller is None:
                raise ImageError(
                    f"Memory ran out on {self._network.device} even for the smallest piece of "
                    f"{self._source.name}; close other programs or choose the device 'cpu'."
                )
            self._method = smaller
            yield Warned(
                message=f"Memory ran out on {self._network.device}; going on with {smaller.describe()}."
            )

    def _piece_by_piece(self, index: tuple[int, ...], plane: NDArray[Any]) -> Iterator[Event]:
        self._control.check()
        for done, piece in enumerate(self._method.pieces(plane, self._prepare), start=1):
            where: tuple[int | slice, ...] = (*index, *piece.write.slices)
            self._mask[where] = classes(piece.logits, self._request.threshold).cpu().numpy()
            if self._probability is not None:
                self._probability[(slice(None), *where)] = probabilities(piece.logits).cpu().numpy()
            yield self._progress(done)
            self._control.check()

    def _progress(self, done_in_plane: int) -> TileFinished:
        done = self._planes_done * self._method.count + done_in_plane
        return progress(self._source, done, self._planes * self._method.count, self._begun)

    def _number_objects(self) -> int:
        """Replace the mask's classes by objects, numbered on from plane to plane; their count."""
        objects = np.zeros(self._mask.shape, np.uint32)
        count = 0
        for index in np.ndindex(self._layout.plane_shape):
            self._control.check()
            labels = to_objects(self._mask[index])
            objects[index] = np.where(labels > 0, labels + np.uint32(count), 0)
            count += int(labels.max(initial=0))
        self._mask = objects
        return count
