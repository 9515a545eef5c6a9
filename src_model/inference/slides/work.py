"""One slide through the network: what is prepared, and the three steps of each group of its tiles."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from src_model import __version__
from src_model.config import named_classes
from src_model.data.label_pyramid import LabelPyramid
from src_model.data.slide import Slide
from src_model.errors import DataError, ImageError
from src_model.events import Control
from src_model.files import remove_leftovers
from src_model.inference.global_pools import GlobalPools, Values
from src_model.inference.network import MemoryRanOut, Network, classes, probabilities
from src_model.inference.prepare import batch_of, empty_batch, fill, fill_from
from src_model.inference.slides.area import Area
from src_model.inference.slides.context import fitting_plan, record
from src_model.inference.slides.fit import check_dimensions, notes_on_fit
from src_model.inference.slides.grid import GridReader, choose_grid
from src_model.inference.slides.job import Fingerprint, describe_job, find_output
from src_model.inference.slides.needs import check_memory
from src_model.inference.slides.objects import Numbered, number_objects
from src_model.inference.slides.plan import Plan, Sizes, chunk_of
from src_model.inference.slides.request import TILES, SlideRequest
from src_model.inference.slides.scaling import preparation_for
from src_model.inference.transfer import Received, Sent
from src_model.memory import MemoryLimit
from src_model.models.checkpoint import Checkpoint
from src_model.tiling.groups import Group
from src_model.tiling.plan import Box

_BESIDE = 1 / 6
"""Of the heap that is taken at once, by which the process may grow besides before what is free goes back."""

Read = Sent | None
"""Prepared pixels of the tiles of a group (B, C, Y, X); ``None`` = all of them are blank."""
Found = tuple[Received, Received | None]
"""Of what a tile keeps: classes and, where objects are wanted, their probability; both (Y, X) uint8."""
Written = list[tuple[Box, NDArray[Any]]]
"""Where the mask has grown, and how that looks in the overview."""


class SlideWork:
    """Prepares the segmentation of a slide, and does its steps.

    Parameters
    ----------
    slide, network, request, control
        What is segmented, by what, how, and the token that is checked between tiles.
    checkpoint
        Of the network.
    out
        Folder of the results, see :func:`src_model.inference.slides.job.find_output`.

    Raises
    ------
    ImageError
        When the slide does not fit the network, or nothing of it is to be segmented.
    DeviceError, OutputError
        When there is too little memory, or no room on the disk.
    """

    def __init__(
        self,
        slide: Slide,
        network: Network,
        request: SlideRequest,
        control: Control,
        checkpoint: Checkpoint | str | os.PathLike[str],
        out: str | os.PathLike[str] | None,
    ) -> None:
        self._network, self._request, self._control = network, request, control
        self._limit = MemoryLimit()
        self.name = slide.path.name
        self.objects = request.objects
        self._fingerprint = Fingerprint.of(slide)
        slide_um = request.slide_pixel_size_um or _side(slide.pixel_size_um)
        wanted_um = request.pixel_size_um or network.pixel_size_um
        check_dimensions(slide, network)
        self.warnings = (*slide.warnings, *notes_on_fit(slide, request, network, wanted_um, slide_um))
        self.grid = choose_grid(slide, wanted_um, slide_um)
        self.reader = GridReader(slide, self.grid, request.channels)
        self._area = Area(self.grid, request.region, request.tissue)
        self._prepare = preparation_for(slide, self.reader, self.grid, network)
        job = describe_job(slide, self._fingerprint, checkpoint, request, self.grid, network)
        self.path = find_output(slide, out, job)
        earlier = LabelPyramid.open(self.path) if self.path.exists() else None
        if earlier is None:
            self._sizes, self._plan, pools = fitting_plan(
                request, network, self.grid, self._area, self.reader.read, self._sent
            )
        else:
            pools = None
            self._sizes = Sizes(**earlier.provenance["plan"])
            self._plan = Plan(self.grid, self._area, self._sizes, network.model.required_multiple)
        self.tiles = self._plan.tiles
        if not self.tiles:
            raise ImageError(
                f"Nothing of {self.name} is to be segmented: region and tissue have no pixel in common; "
                "choose a larger region, or a lower threshold of the tissue."
            )
        self.needs = self._sizes.needs(
            network, self.grid, held=request.holds_pools, tiles=self.tiles, objects=self.objects
        )
        if earlier is None:
            check_memory(self.needs, self.name)
            self.needs.check_disk(self.path.parent)
        self.mask = earlier or self._new(job, pools)

    @property
    def left(self) -> list[Group]:
        """The groups that are not done, nearest to the focus first."""
        groups = self._plan.groups
        waiting = [group for group in groups if not all(self.mask.is_done(tile.write) for tile in group)]
        return self._plan.nearest_first(waiting, self._request.focus)

    def scout(self) -> Iterator[tuple[int, int]]:
        """Where the routing is that of the slide: look at samples of it, and hold what they give.

        Other global pools of the network are held too. What an earlier run has held is taken.

        Yields
        ------
        done, total
            Samples.
        """
        pools = GlobalPools(self._network.model)
        if not self._request.holds_pools or not pools.names:
            return
        held = self.mask.provenance.get("pools")
        if held is None:
            groups, done = self._plan.samples(), 0
            for boxes in groups:
                self._control.check()
                record(self._network, pools, boxes, self.reader.read, self._sent)
                done += len(boxes)
                yield done, sum(map(len, groups))
            held = pools.values
            self.mask.note(pools=held)
        if held:  # else all samples were blank, and each tile decides by itself
            pools.load(held)
            pools.hold()

    def read(self, group: Group) -> Read:
        """The pixels of a group as the network takes them; called in the threads that read."""
        self._fingerprint.check()
        size = group[0].read.height, group[0].read.width
        batch = empty_batch(len(group), *size, self._network)
        pieces = (self.reader.pieces(tile.read) for tile in group)
        blank = [fill_from(sample, some, self._prepare) for sample, some in zip(batch, pieces, strict=True)]
        if all(pixel is not None for pixel in blank):
            return None
        for sample, pixel in zip(batch, blank, strict=True):
            if pixel is not None:
                fill(sample, np.broadcast_to(pixel, (*size, *pixel.shape[2:])), self._prepare)
        return self._network.transfer.send(batch)

    def compute(self, group: Group, images: Read) -> list[Found] | None:
        """What is found in a group's tiles; the device may be computing it yet.

        ``None`` = all of it is background.
        """
        self._control.check()
        if images is None:
            return None
        self._limit.keep()
        try:
            return self._find(group, images)
        except MemoryRanOut:
            pass
        try:
            return [self._find((tile,), images.part(number))[0] for number, tile in enumerate(group)]
        except MemoryRanOut:
            tile = self._sizes.tile
            raise ImageError(
                f"Memory ran out on {self._network.device} for a tile of {tile} pixels of {self.name}; "
                f"close other programs or choose a smaller 'tile', such as {max(tile // 2, TILES[-1])}."
            ) from None

    def write(self, group: Group, found: list[Found] | None) -> Written:
        """Write what was found in a group; called in the thread that writes."""
        if len(self.damaged) > len(self.mask.provenance.get("damaged", ())):
            self.mask.note(damaged=[list(box) for box in self.damaged])
        written = []
        for number, tile in enumerate(group):
            size, kept = (tile.write.height, tile.write.width), tile.kept
            mask, confidence = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
            if found is not None:
                seen, sure = found[number]
                part = kept.moved(-tile.write.y, -tile.write.x).slices
                inside = self._area.at(kept)
                np.copyto(mask[part], seen.array(), where=True if inside is None else inside)
                if sure is not None:
                    confidence[part] = sure.array()
                    self.mask.write_confidence(tile.write, confidence * (mask > 0))
            written.append((tile.write, self.mask.write(tile.write, mask)))
        return written

    def begin(self) -> None:
        """Take the memory, and remove what a killed work left half-written; for the lock's holder only."""
        self._network.maps.take(self.needs.maps)
        self._limit.take(self.needs.heap, beside=int(self.needs.heap * _BESIDE))
        if not self.mask.complete:
            remove_leftovers(self.path.parent, of=self.path)
            self.mask.mend()

    def number_objects(self, labels: Path, table: Path) -> Generator[tuple[int, int], None, Numbered]:
        """The objects of the finished mask, see :mod:`src_model.inference.slides.objects`."""

        def intensity(y: int, x: int, height: int, width: int) -> NDArray[Any]:
            self._fingerprint.check()
            return self.reader.read(Box(y, x, height, width))

        def confidence(y: int, x: int, height: int, width: int) -> NDArray[Any]:
            return self.mask.read_confidence(Box(y, x, height, width))

        names = [info.name for info in self._network.classes]
        return number_objects(
            self.mask,
            labels,
            table,
            intensity=intensity,
            confidence=confidence,
            classes=names,
            control=self._control,
        )

    @property
    def damaged(self) -> tuple[tuple[int, int, int, int], ...]:
        """Pieces that could not be decoded, in earlier runs too: first row, first column, height, width."""
        earlier = {tuple(box) for box in self.mask.provenance.get("damaged", ())}
        now = {(box.y, box.x, box.height, box.width) for box in self.reader.damaged}
        return tuple(sorted(earlier | now))

    def check_decoded(self) -> None:
        """Refuse a slide of which nothing could be decoded with a DataError."""
        boxes = (tile.write for group in self._plan.groups for tile in group)
        if self.reader.is_nothing(boxes, self.damaged):
            reason = self.reader.reason or "use another copy of the file."
            raise DataError(f"Nothing of {self.name} could be decoded: {reason}")

    def foreground(self) -> float:
        """Share of the mask that is foreground, as its overview shows it."""
        overview = self.mask.levels[self.mask.overview][...]
        return float(np.count_nonzero(overview) / overview.size)

    def _sent(self, images: Sequence[NDArray[Any]]) -> Sent:
        return self._network.transfer.send(batch_of(images, self._prepare, self._network))

    def _find(self, group: Group, images: Sent) -> list[Found]:
        receive = self._network.transfer.receive
        found: list[Found] = []
        for kept in self._network.logits(images, part=group[0].keep):
            sure = (
                receive((probabilities(kept).amax(0) * 255).round().to(torch.uint8)) if self.objects else None
            )
            found.append((receive(classes(kept, self._request.threshold)), sure))
        return found

    def _new(self, job: dict[str, Any], pools: Values | None) -> LabelPyramid:
        chunk = chunk_of(self._sizes.tile)
        return LabelPyramid.create(
            self.path,
            self.grid.shape,
            chunk=chunk,
            scale=self.grid.scale,
            pixel_size_um=self.grid.pixel_size_um,
            classes=named_classes(self._network.classes, self._network.foreground_classes),
            provenance={
                "job": job,
                "plan": {"tile": self._sizes.tile, "halo": self._sizes.halo, "batch": self._sizes.batch},
                "program": f"napari-utanet {__version__}",
                "network": self._network.model.config,
                "begun": datetime.now(UTC).isoformat(timespec="seconds"),
                **({} if pools is None else {"pools": pools}),
            },
            wanted=self._plan.chunks(chunk),
            confidence=self.objects,
        )


def _side(size: tuple[float, float] | None) -> float | None:
    return None if size is None else float(np.mean(size))
