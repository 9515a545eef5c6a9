"""One slide through the network: the plan, and the three steps of each group of its tiles."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from src_model import __version__
from src_model.data.label_pyramid import CHUNK, LabelPyramid
from src_model.data.normalise import match_channels, unit_limits
from src_model.data.slide import Slide
from src_model.errors import ImageError
from src_model.events import Control
from src_model.inference.network import MemoryRanOut, Network, classes
from src_model.inference.prepare import Preparation, is_constant
from src_model.inference.request import DEFAULT_HALO
from src_model.inference.slides.area import Area
from src_model.inference.slides.grid import GridReader, choose_grid
from src_model.inference.slides.job import Fingerprint, describe_job, find_output
from src_model.inference.slides.needs import Needs, check_memory, fits, needs_of
from src_model.inference.slides.request import TILES, SlideRequest
from src_model.models.checkpoint import Checkpoint
from src_model.tiling.groups import Group, from_middle, group_tiles
from src_model.tiling.plan import Box, plan_tiles, round_up

AHEAD = 3
"""Groups of tiles that are read before the network takes them."""
_BLOCK = 4
"""Tiles along the side of a block that is done before the next one is begun."""
_WINDOW, _WINDOWS = 256, 4
"""Side of the windows, and their number along an axis, in which the range of intensities is looked for."""

Read = list[NDArray[np.float32]] | None
"""Prepared pixels of each tile of a group (C, Y, X); ``None`` = all of them are blank."""
Computed = list[Tensor] | None
"""Classes (height, width) uint8 of what each tile keeps; ``None`` = all of them are background."""
Written = list[tuple[Box, NDArray[Any]]]
"""Where the mask has grown, and how that looks in the overview."""


class SlideWork:
    """Plans the segmentation of a slide, and does its steps.

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
        self.name = slide.path.name
        self._fingerprint = Fingerprint.of(slide)
        slide_um = request.slide_pixel_size_um or _side(slide.pixel_size_um)
        wanted_um = request.pixel_size_um or network.pixel_size_um
        self.grid = choose_grid(slide, wanted_um, slide_um)
        self.warnings = _notes(slide, network, wanted_um, slide_um)
        self.reader = GridReader(slide, self.grid, request.channels)
        self._area = Area(self.grid, request.region, request.tissue)
        self._prepare = self._preparation(slide)
        job = describe_job(
            slide,
            self._fingerprint,
            checkpoint,
            request,
            self.grid,
            top_k=network.top_k,
            domain=network.domain,
            precision=network.precision,
        )
        self.path = find_output(slide, out, job)
        earlier = LabelPyramid.open(self.path) if self.path.exists() else None
        tile, halo, batch = self._sizes(earlier)
        self._plan = self._groups(tile, halo, batch)
        self._tile = tile
        self.tiles = sum(map(len, self._plan))
        self.needs = self._needs(tile, halo, batch)
        if earlier is None:
            check_memory(self.needs, self.name)
            self.needs.check_disk(self.path.parent)
        self.mask = earlier or self._new(job, tile, halo, batch)

    @property
    def left(self) -> list[Group]:
        """The groups that are not done, nearest to the focus first."""
        waiting = [g for g in self._plan if not all(self.mask.is_done(tile.write) for tile in g)]
        return from_middle(waiting, self._focus(waiting or self._plan), _BLOCK * self._tile)

    def read(self, group: Group) -> Read:
        """The pixels of a group as the network takes them; called in the threads that read."""
        self._fingerprint.check()
        images = [self.reader.read(tile.read) for tile in group]
        if all(is_constant(image) for image in images):
            return None
        return [self._prepare(image) for image in images]

    def compute(self, group: Group, images: Read) -> Computed:
        """The classes of a group's tiles, still on the device, which may be computing them yet."""
        self._control.check()
        if images is None:
            return None
        try:
            return self._classes(group, images)
        except MemoryRanOut:
            pass
        try:
            return [self._classes((tile,), [image])[0] for tile, image in zip(group, images, strict=True)]
        except MemoryRanOut:
            raise ImageError(
                f"Memory ran out on {self._network.device} for a tile of {self._tile} pixels of {self.name}; "
                f"close other programs or choose a smaller 'tile', such as {max(self._tile // 2, TILES[-1])}."
            ) from None

    def write(self, group: Group, found: Computed) -> Written:
        """Write the classes of a group; called in the thread that writes."""
        self._note_damaged()
        written = []
        for number, tile in enumerate(group):
            mask = np.zeros((tile.write.height, tile.write.width), np.uint8)
            if found is not None:
                inside = self._area.at(tile.write)
                np.copyto(mask, found[number].cpu().numpy(), where=True if inside is None else inside)
            written.append((tile.write, self.mask.write(tile.write, mask)))
        return written

    @property
    def damaged(self) -> tuple[tuple[int, int, int, int], ...]:
        """Pieces that could not be decoded, in earlier runs too: first row, first column, height, width."""
        earlier = {tuple(box) for box in self.mask.provenance.get("damaged", ())}
        now = {(box.y, box.x, box.height, box.width) for box in self.reader.damaged}
        return tuple(sorted(earlier | now))

    def foreground(self) -> float:
        """Share of the mask that is foreground, as its overview shows it."""
        overview = self.mask.levels[self.mask.overview][...]
        return float(np.count_nonzero(overview) / overview.size)

    def _classes(self, group: Group, images: list[NDArray[np.float32]]) -> list[Tensor]:
        logits = self._network.logits(np.stack(images))
        return [
            classes(result[(slice(None), *tile.keep.slices)], self._request.threshold)
            for tile, result in zip(group, logits, strict=True)
        ]

    def _note_damaged(self) -> None:
        if len(self.damaged) > len(self.mask.provenance.get("damaged", ())):
            self.mask.note(damaged=[list(box) for box in self.damaged])

    def _preparation(self, slide: Slide) -> Preparation:
        """How pixels are scaled; by the range of windows all over the slide where that is not fixed."""
        corner = self.reader.read(Box(0, 0, *(min(side, 32) for side in self.grid.shape)))
        match_channels(np.zeros(corner.shape[-1:], np.float32), self._network.in_channels)
        stretch = self._network.training.get("intensity_range") == "image"
        limits = None
        if stretch or slide.dtype not in (np.uint8, np.bool_):
            values = np.concatenate([self.reader.read(box).ravel() for box in self._windows()])
            limits = unit_limits(values, stretch=stretch)
        return Preparation.of(corner, self._network, limits)

    def _windows(self) -> list[Box]:
        multiple = self.grid.multiple(1)
        starts = [
            [int(n * max(side - _WINDOW, 0) / (_WINDOWS - 1)) // multiple * multiple for n in range(_WINDOWS)]
            for side in self.grid.shape
        ]
        height, width = (min(_WINDOW, side) for side in self.grid.shape)
        return [Box(y, x, height, width) for y in starts[0] for x in starts[1]]

    def _sizes(self, earlier: LabelPyramid | None) -> tuple[int, int, int]:
        """Kept side and halo of the tiles, pixels, and how many go together; those of an earlier run."""
        if earlier is not None:
            plan = earlier.provenance["plan"]
            return plan["tile"], plan["halo"], plan["batch"]
        request, network = self._request, self._network
        halo = DEFAULT_HALO if request.halo is None else request.halo
        batch = request.batch_size or network.batch_size
        if request.tile is not None:
            return request.tile, halo, batch
        fitting = (tile for tile in TILES if fits(self._needs(tile, halo, batch)))
        return next(fitting, TILES[-1]), halo, batch

    def _needs(self, tile: int, halo: int, batch: int) -> Needs:
        side = round_up(tile + 2 * halo, self._network.model.required_multiple)
        read = (min(side, self.grid.shape[0]), min(side, self.grid.shape[1]))
        tiles = getattr(self, "tiles", 0)
        return needs_of(
            self._network,
            read,
            batch=batch,
            ahead=AHEAD,
            pixels=tiles * tile**2,
            objects=self._request.objects,
        )

    def _groups(self, tile: int, halo: int, batch: int) -> list[Group]:
        multiple = self.grid.multiple(self._network.model.required_multiple)
        tiles = plan_tiles(*self.grid.shape, tile=tile, halo=halo, multiple=multiple)
        groups = group_tiles(tiles, batch, self._area.touches)
        if not groups:
            raise ImageError(
                f"Nothing of {self.name} is to be segmented: region and tissue have no pixel in common; "
                "choose a larger region, or a lower threshold of the tissue."
            )
        return groups

    def _new(self, job: dict[str, Any], tile: int, halo: int, batch: int) -> LabelPyramid:
        chunk = min(CHUNK, tile)
        wanted = np.zeros([-(-side // chunk) for side in self.grid.shape], bool)
        for box in (one.write for group in self._plan for one in group):
            wanted[box.y // chunk : -(-box.y_end // chunk), box.x // chunk : -(-box.x_end // chunk)] = True
        names = [info.name for info in self._network.classes]
        provenance = {
            "job": job,
            "plan": {"tile": tile, "halo": halo, "batch": batch},
            "program": f"napari-utanet {__version__}",
            "network": self._network.model.config,
            "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return LabelPyramid.create(
            self.path,
            self.grid.shape,
            chunk=chunk,
            scale=self.grid.scale,
            pixel_size_um=self.grid.pixel_size_um,
            names=names,
            provenance=provenance,
            wanted=wanted,
        )

    def _focus(self, groups: list[Group]) -> tuple[float, float]:
        """Where to begin: what the caller said, else the middle of what is segmented; pixels of the mask."""
        if self._request.focus is not None:
            y, x = self._request.focus
            return y / self.grid.scale[0], x / self.grid.scale[1]
        boxes = [tile.write for group in groups for tile in group]
        return (
            (min(box.y for box in boxes) + max(box.y_end for box in boxes)) / 2,
            (min(box.x for box in boxes) + max(box.x_end for box in boxes)) / 2,
        )


def _side(size: tuple[float, float] | None) -> float | None:
    return None if size is None else float(np.mean(size))


def _notes(
    slide: Slide, network: Network, wanted_um: float | None, slide_um: float | None
) -> tuple[str, ...]:
    """What the user should know about the resolution."""
    if slide_um is None and wanted_um is not None:
        return (
            f"{slide.path.name} does not tell its pixel size, so it is segmented at its finest level; give "
            f"the pixel size of the slide, as this model wants {wanted_um:g} micrometres.",
        )
    if wanted_um is None and network.training.get("sampling") == "resize":
        return (
            "This model was trained on whole images shrunk to one size, so it does not know the pixel size "
            "that suits it; choose one at which structures are as large as they were in training.",
        )
    return ()
