"""Looks inside the mixture: what each expert sees in an image, and which experts the routers chose."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from src_model.data.image_io import check_image
from src_model.errors import ImageError, ModelError
from src_model.events import Control
from src_model.files import atomic_write_text
from src_model.inference.axes import find_layout
from src_model.inference.network import MemoryRanOut, Network, classes
from src_model.inference.outputs import write_float_image
from src_model.inference.pieces import enlarge, trained_side
from src_model.inference.prepare import Preparation
from src_model.inference.request import check_threshold
from src_model.inference.sources import list_sources
from src_model.models.checkpoint import Checkpoint
from src_model.models.skips import MixtureOfSkips, Segmentation
from src_model.tiling.plan import Box

LARGEST_SIDE = 2048


@dataclass(frozen=True, eq=False)
class Explanation:
    """What the mixture of experts did with one image: R routers, E experts.

    Pixel (row, column) of the image = ``grid_offset + grid_scale * (row, column)`` of the maps;
    both are (y, x) and pixel centres are whole numbers.
    """

    expert_maps: NDArray[np.float32]
    """(E, h, w): mean over the channels of the absolute activation, for chosen experts or not."""
    raw_maps: NDArray[np.float32] | None
    """(E, C, h, w): the activations themselves, where asked for."""
    routing_weights: NDArray[np.float32]
    """(R, E): weight of each expert in each router's mix; rows sum to 1, 0 = not chosen."""
    routing_probabilities: NDArray[np.float32]
    """(R, E): softmax over the experts, before the choice; rows sum to 1."""
    selected: NDArray[np.bool_]
    """(R, E): which experts were chosen; ``top_k`` per row."""
    mask: NDArray[np.uint8]
    """(H, W): classes, as Segment gives them."""
    grid_scale: tuple[float, float]
    """Image pixels per pixel of the maps."""
    grid_offset: tuple[float, float]
    """Image coordinates of the centre of the maps' first pixel."""


def explain(
    source: NDArray[Any] | str | PathLike[str],
    checkpoint: Checkpoint | str | PathLike[str],
    *,
    top_k: int | None = None,
    device: str = "auto",
    precision: str = "float32",
    raw: bool = False,
    threshold: float = 0.5,
    axes: str | None = None,
    control: Control | None = None,
) -> Explanation:
    """Run one image through a mixture and keep what the experts and routers did.

    Parameters
    ----------
    source
        One image of one plane, as for :func:`src_model.inference.predictor.segment`; seen in one
        piece, so neither side may be above 2048 pixels.
    checkpoint
        A checkpoint, or its path, whose network has a mixture of experts.
    top_k
        Experts per router, from 1 to their number; ``None`` = as trained.
    device, precision, threshold, axes
        See :func:`src_model.inference.predictor.segment`, which cuts images of more than 1024 x 1024
        pixels into tiles: its mask of those may differ.
    raw
        Whether the single channels of the experts are kept too.
    control
        Token to pause and stop, checked between the layers of the network.

    Raises
    ------
    ModelError
        When the network has no mixture, or ``top_k`` is out of its bounds.
    DataError, ImageError
        When the image cannot be read or used, is a stack, or is too large.
    Stopped
        When ``control`` asked for it.
    """
    check_threshold(threshold)
    network = Network(checkpoint, device=device, precision=precision, top_k=top_k, control=control)
    mixture = getattr(network.model, "mixture", None)
    if not isinstance(mixture, MixtureOfSkips):
        raise ModelError(
            f"The network '{network.model.name}' of this checkpoint (stage {network.model.stage}) has no "
            "mixture of experts to look into; choose a model trained in stage 2."
        )
    plane, prepare = _one_plane(source, network, axes)
    height, width = plane.shape[:2]
    side = trained_side(network.training)
    seen = prepare(plane) if side is None else prepare.resized(plane, side)
    result, maps = _look_inside(network, seen)
    logits = result.logits[0] if side is None else enlarge(result.logits[0], Box(0, 0, height, width))
    routing = result.routing
    if routing is None:
        raise ModelError(f"The network '{network.model.name}' reported no routing; choose another model.")
    stride = mixture.strides[mixture.reference_level]
    scale_y, scale_x = (
        stride * before / after for before, after in zip(plane.shape, seen.shape[1:], strict=False)
    )
    return Explanation(
        expert_maps=maps.abs().mean(1).numpy(),
        raw_maps=maps.numpy() if raw else None,
        routing_weights=routing.weights[0].float().cpu().numpy(),
        routing_probabilities=routing.probabilities[0].float().cpu().numpy(),
        selected=routing.selected[0].cpu().numpy(),
        mask=classes(logits, threshold).cpu().numpy(),
        grid_scale=(scale_y, scale_x),
        grid_offset=((scale_y - 1) / 2, (scale_x - 1) / 2),
    )


def _one_plane(
    source: NDArray[Any] | str | PathLike[str], network: Network, axes: str | None
) -> tuple[NDArray[Any], Preparation]:
    """The checked image (Y, X, C) and what makes it the network's input."""
    sources = list_sources(source)
    if len(sources) != 1:
        raise ImageError(f"Expected one image to explain but got {len(sources)}; give them one by one.")
    array = sources[0].load()
    check_image(array)
    layout = find_layout(array.shape, axes, in_channels=network.in_channels)
    if math.prod(layout.plane_shape) != 1:
        raise ImageError(
            f"Expected one plane to explain but got a stack of shape {array.shape} with axes {layout.axes}; "
            "choose one plane, or name the axes."
        )
    if max(layout.height, layout.width) > LARGEST_SIDE:
        raise ImageError(
            f"The image of {layout.width} x {layout.height} pixels is too large to look inside in one piece; "
            f"cut out a part of at most {LARGEST_SIDE} x {LARGEST_SIDE}."
        )
    view = layout.ordered(array)
    _, plane = next(layout.planes(array))
    return plane, Preparation.of(view, network)


def _look_inside(network: Network, image: NDArray[np.float32]) -> tuple[Segmentation, Tensor]:
    """The network's result for one image (C, H, W), and its experts' maps (E, C, h, w) on the CPU."""

    def both(model: nn.Module, x: Tensor) -> tuple[Segmentation, Tensor]:
        with_experts = cast(_WithExperts, model)
        return with_experts(x, top_k=network.top_k), with_experts.expert_maps(x)

    try:
        result, maps = network.run(image[np.newaxis], both)
    except MemoryRanOut:
        raise ImageError(
            f"Memory ran out on {network.device} for an image of {image.shape[2]} x {image.shape[1]} pixels; "
            "cut out a smaller part or choose the device 'cpu'."
        ) from None
    return result._replace(logits=result.logits.float()), maps[0].float().cpu()


class _WithExperts(Protocol):
    """A network that can show the maps of its experts."""

    def __call__(self, x: Tensor, *, top_k: int | None) -> Segmentation: ...

    def expert_maps(self, x: Tensor) -> Tensor: ...


def write_explanation(explanation: Explanation, out: str | PathLike[str], stem: str) -> tuple[Path, Path]:
    """Write ``<stem>_experts.tif`` (E, h, w) and ``<stem>_routing.json`` into the folder ``out``.

    Returns
    -------
    tuple of Path
        The maps and the routing.

    Raises
    ------
    OutputError
        When the folder is not writable or full.
    """
    folder = Path(out)
    maps = write_float_image(folder / f"{stem}_experts.tif", explanation.expert_maps)
    routing = {
        "weights": explanation.routing_weights.tolist(),
        "probabilities": explanation.routing_probabilities.tolist(),
        "selected": explanation.selected.tolist(),
        "grid_scale_yx": list(explanation.grid_scale),
        "grid_offset_yx": list(explanation.grid_offset),
    }
    text = json.dumps(routing, indent=2) + "\n"
    return maps, atomic_write_text(folder / f"{stem}_routing.json", text)
