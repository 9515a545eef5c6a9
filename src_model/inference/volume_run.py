"""One volume from its source to its finished mask, patch by patch."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from src_model.data.image_io import check_image
from src_model.data.volume_intensity import standardise_volume, volume_to_unit
from src_model.data.volumes import Volume, is_volume_path, read_volume
from src_model.errors import ConfigError, ImageError
from src_model.events import Control, Event, ImageSegmented, SegmentationStarted, TileFinished, Warned
from src_model.inference.axes import guess_axes, parse_axes
from src_model.inference.network import MemoryRanOut, Network, classes, probabilities
from src_model.inference.objects import to_objects
from src_model.inference.outputs import conclude, progress, write_results, write_volume_results
from src_model.inference.request import Request
from src_model.inference.sources import Source
from src_model.inference.volume import Blend
from src_model.models.registry import list_models

_OVERLAP = 0.5
_PATCH = (64, 64, 64)
_LEAST_PATCH = 16
_ALIKE = 1.5
"""Voxel sizes that differ by no more than this factor are taken as alike."""


class VolumeRun:
    """Loads and checks one volume, then segments it as a whole.

    Parameters
    ----------
    source, target
        The volume, and the file of its mask or ``None``.
    network, request, control
        What segments it, how, and the token that is checked between patches.

    Raises
    ------
    ConfigError
        When the request holds what only flat images have.
    DataError, ImageError
        When the volume cannot be read or segmented.
    """

    def __init__(
        self, source: Source, target: Path | None, network: Network, request: Request, control: Control
    ) -> None:
        if request.roi is not None:
            raise ConfigError(f"The network '{network.model.name}' segments whole volumes; leave roi out.")
        self._source, self._target = source, target
        self._network, self._request, self._control = network, request, control
        self._begun = time.perf_counter()
        self._file: Volume | None = None
        values = self._load()
        if len(values) != network.in_channels:
            raise ImageError(
                f"The volume {source.name} has {len(values)} channels but the model expects "
                f"{network.in_channels}; choose the channels that it was trained on."
            )
        try:
            self._values = standardise_volume(volume_to_unit(values), network.normalisation)
        except ImageError as error:
            raise ImageError(f"{source.name} cannot be segmented: {error}") from error
        self._patch = (request.tile,) * 3 if request.tile is not None else network.patch_size or _PATCH

    def _load(self) -> NDArray[Any]:
        """``(C, Z, Y, X)``."""
        source = self._source
        if source.path is not None and is_volume_path(source.path):
            self._file = read_volume(source.path)
            return self._file.values
        array = source.load()
        check_image(array)
        return _channels_first(array, self._request.axes, self._network.in_channels, self._network.model.name)

    @property
    def file(self) -> Volume | None:
        """The volume as it was read; ``None`` where it came as an array or picture."""
        return self._file

    def events(self) -> Generator[Event, None, ImageSegmented]:
        """Segment the volume; the last event, :class:`ImageSegmented`, is returned too."""
        request, blend = self._request, self._blend()
        yield SegmentationStarted(
            source=self._source.name, tiles=len(blend.places), device=str(self._network.device)
        )
        yield from self._odd_spacing()
        logits = yield from self._logits(blend)
        mask: NDArray[Any] = classes(logits, request.threshold).numpy()
        probability = probabilities(logits).numpy() if request.probability else None
        foreground = np.count_nonzero(mask) / mask.size
        objects = None
        if request.instances:
            self._control.check()
            mask = to_objects(mask, split=False)  # organs are not round: connected pieces stay whole
            objects = int(mask.max(initial=0))
        if self._target is not None and self._file is not None:
            write_volume_results(self._target, mask, probability, self._file)
        elif self._target is not None:
            write_results(self._target, mask, probability)
        result = conclude(
            self._source,
            self._target,
            mask,
            probability,
            foreground=foreground,
            objects=objects,
            begun=self._begun,
        )
        yield result
        return result

    def _odd_spacing(self) -> Iterator[Warned]:
        """Say so where the voxels are of another size than those that were trained on."""
        trained = self._network.spacing_mm
        if self._file is None or trained is None:
            return
        factors = np.asarray(self._file.spacing_mm) / np.asarray(trained)
        if max(factors.max(), 1 / factors.min()) > _ALIKE:
            yield Warned(
                message=f"{self._source.name} has voxels of {_mm(self._file.spacing_mm)} mm (Z, Y, X) but "
                f"the model was trained on {_mm(trained)} mm; resample it to those."
            )

    def _blend(self) -> Blend:
        return Blend(self._values.shape[1:], self._patch, _OVERLAP)

    def _logits(self, blend: Blend) -> Generator[Event, None, Tensor]:
        """Of the whole volume; begun again with smaller patches as often as memory runs out."""
        while True:
            try:
                yield from self._patch_by_patch(blend)
                return blend.logits()
            except MemoryRanOut:
                depth, height, width = (min(side, max(side // 2, _LEAST_PATCH)) for side in self._patch)
                smaller = (depth, height, width)
            if smaller == self._patch:
                raise ImageError(
                    f"Memory ran out on {self._network.device} even for the smallest patch of "
                    f"{self._source.name}; close other programs or choose the device 'cpu'."
                )
            self._patch = smaller
            blend = self._blend()
            sides = " x ".join(map(str, smaller))
            yield Warned(
                message=f"Memory ran out on {self._network.device}; going on with patches of {sides} voxels."
            )

    def _patch_by_patch(self, blend: Blend) -> Iterator[TileFinished]:
        def forward(batch: Tensor) -> Tensor:
            self._control.check()
            return self._network.logits(batch.numpy())

        for done in blend.fill(self._values, forward, self._request.batch_size or 1):
            yield progress(self._source, done, len(blend.places), self._begun)


def _channels_first(array: NDArray[Any], axes: str | None, in_channels: int, name: str) -> NDArray[Any]:
    """``(C, Z, Y, X)`` of an array whose axes are named or guessed.

    Raises
    ------
    ImageError
        When it is flat, or has an axis too many.
    """
    names = axes.upper() if axes else _guess(array.shape, in_channels)
    layout = parse_axes(names, array.shape)
    if not layout.plane_axes:
        raise ImageError(
            f"The image is flat, shape {array.shape}, but the network '{name}' takes volumes; use a model of "
            f"a network for images ({', '.join(list_models(dims=2))}), or, if it is a volume, name its axes "
            "like axes='ZYX'."
        )
    if len(layout.plane_axes) > 1:
        raise ImageError(
            f"The image has the axes {names}, shape {array.shape}; give one volume (Z, Y, X) at a time, with "
            "channels (C) where it has several."
        )
    return np.moveaxis(layout.ordered(array), -1, 0)


def _guess(shape: tuple[int, ...], in_channels: int) -> str:
    if len(shape) == 3 and shape[-1] not in (3, 4):
        return "ZYX"
    return "CZYX" if len(shape) == 4 and shape[0] == in_channels else guess_axes(shape, in_channels=1)


def _mm(spacing: tuple[float, float, float]) -> str:
    return " x ".join(f"{step:.3g}" for step in spacing)
