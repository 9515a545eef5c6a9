"""The networks by name: an explicit dictionary, imported only when one is made."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from src_model.errors import ModelError

if TYPE_CHECKING:
    from src_model.models.base import SegmentationModel


def _utanet() -> type[SegmentationModel]:
    from src_model.models.utanet import UTANet

    return UTANet


def _u2net3d() -> type[SegmentationModel]:
    from src_model.models.universal3d import U2Net3D

    return U2Net3D


_ARCHITECTURES: dict[str, Callable[[], type[SegmentationModel]]] = {
    "utanet": _utanet,
    "u2net3d": _u2net3d,
}
_VOLUME_NETWORKS = ("u2net3d",)
_NETWORKS_WITH_DOMAINS = ("u2net3d",)


def list_models() -> list[str]:
    """Names that :func:`create_model` knows; needs no torch."""
    return list(_ARCHITECTURES)


def models_for(dims: int) -> list[str]:
    """Names of the networks for images of ``dims`` spatial axes; needs no torch."""
    if dims == 3:
        return list(_VOLUME_NETWORKS)
    return [name for name in _ARCHITECTURES if name not in _VOLUME_NETWORKS] if dims == 2 else []


def models_with_domains() -> list[str]:
    """Names of the networks that hold several domains (organs); needs no torch."""
    return list(_NETWORKS_WITH_DOMAINS)


def model_class(name: str) -> type[SegmentationModel]:
    """The class of that name.

    Raises
    ------
    ModelError
        When there is none; suggests the nearest.
    """
    if name not in _ARCHITECTURES:
        raise ModelError(f"There is no network '{name}'; {_suggest(name, _ARCHITECTURES)}.")
    return _ARCHITECTURES[name]()


def create_model(
    name: str,
    *,
    in_channels: int = 3,
    num_classes: int = 1,
    stage: int | None = None,
    top_k: int = 2,
    **options: Any,
) -> SegmentationModel:
    """Make a network with fresh weights, in training mode.

    Parameters
    ----------
    name
        One of :func:`list_models`.
    in_channels
        Channels of the image.
    num_classes
        Channels of the logits: 1 = foreground against background; more include the background.
    stage
        1: plain skips; 2: mixture of experts; ``None``: 2 where the network has a mixture, else 1.
    top_k
        Experts per router and sample.
    **options
        Of that network; an unknown one is refused.

    Raises
    ------
    ModelError
        When the name or an option is unknown or a value is out of its bounds.
    """
    network = model_class(name)
    known = network.default_options()
    for option in options:
        if option not in known:
            raise ModelError(f"The network '{name}' has no option '{option}'; {_suggest(option, known)}.")
    stage = network.default_stage() if stage is None else stage
    build: Callable[..., SegmentationModel] = network
    return build(in_channels=in_channels, num_classes=num_classes, stage=stage, top_k=top_k, **options)


def _suggest(word: str, known: Iterable[str]) -> str:
    names = list(known)
    nearest = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    hint = f"did you mean '{nearest[0]}'? Known: " if nearest else "known: "
    return hint + ", ".join(names)
