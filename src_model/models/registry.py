"""The networks by name: an explicit dictionary, imported only when one is made."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from src_model.errors import ModelError

if TYPE_CHECKING:
    from src_model.models.base import SegmentationModel


_MODELS = "src_model.models"


class _Entry(NamedTuple):
    """Where the class of a network is, and what it takes and can."""

    module: str
    cls: str
    dims: int = 2
    """Spatial axes of its images."""
    domains: bool = False
    """Whether it can serve several domains."""
    weights: bool = True
    """Whether there are published weights for its encoder."""


_ARCHITECTURES: dict[str, _Entry] = {
    "utanet": _Entry(f"{_MODELS}.utanet", "UTANet"),
    "light-utanet": _Entry(f"{_MODELS}.light_utanet", "LightUTANet"),
    "light-utanet-slim": _Entry(f"{_MODELS}.light_utanet", "LightUTANetSlim"),
    "light-utanet-mobile": _Entry(f"{_MODELS}.light_utanet", "LightUTANetMobile"),
    "utanet-plusplus": _Entry(f"{_MODELS}.utanet_plusplus", "UTANetPlusPlus"),
    "utanet-stage1": _Entry(f"{_MODELS}.utanet", "UTANetStage1"),
    "unet": _Entry(f"{_MODELS}.baselines", "UNet", weights=False),
    "unetpp": _Entry(f"{_MODELS}.baselines", "UNetPlusPlus", weights=False),
    "deeplabv3plus": _Entry(f"{_MODELS}.baselines", "DeepLabV3Plus"),
    "u2net3d": _Entry(f"{_MODELS}.universal3d", "U2Net3D", dims=3, domains=True, weights=False),
}


_BESIDE_THE_OPTIONS = ("name", "in_channels", "num_classes", "top_k", "encoder_weights")


def list_models(*, dims: int | None = None) -> list[str]:
    """Names that :func:`create_model` knows, of all or of 2-D or 3-D networks; needs no torch."""
    return [name for name, entry in _ARCHITECTURES.items() if dims in (None, entry.dims)]


def models_with_domains() -> list[str]:
    """Names of the networks that can serve several domains (organs); needs no torch."""
    return [name for name, entry in _ARCHITECTURES.items() if entry.domains]


def models_with_weights() -> list[str]:
    """Names of the networks with published (ImageNet) weights for their encoder; needs no torch."""
    return [name for name, entry in _ARCHITECTURES.items() if entry.weights]


def model_class(name: str) -> type[SegmentationModel]:
    """The class of that name.

    Raises
    ------
    ModelError
        When there is none; suggests the nearest.
    """
    if name not in _ARCHITECTURES:
        raise ModelError(f"There is no network '{name}'; {_suggest(name, _ARCHITECTURES)}.")
    entry = _ARCHITECTURES[name]
    network: type[SegmentationModel] = getattr(import_module(entry.module), entry.cls)
    return network


def check_options(name: str, options: Iterable[str]) -> None:
    """Refuse what is not the name of an option of that network.

    Raises
    ------
    ModelError
        Naming the first such option, and the nearest that there is.
    """
    known = model_class(name).default_options()
    for option in options:
        if option in _BESIDE_THE_OPTIONS:
            raise ModelError(f"'{option}' stands beside the options of a network; give it without 'options.'")
        if option not in known:
            raise ModelError(f"The network '{name}' has no option '{option}'; {_suggest(option, known)}.")


def create_model(
    name: str,
    *,
    in_channels: int = 3,
    num_classes: int = 1,
    stage: int | None = None,
    top_k: int = 2,
    encoder_weights: str | None = None,
    progress: Callable[[int, int], None] | None = None,
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
        1: plain skips; 2: mixture of experts. ``None``: 2, or 1 for a network without a mixture.
    top_k
        Experts per router and sample.
    encoder_weights
        ``"imagenet"``: start the encoder from torchvision's weights, fetched once into the user's
        cache (see :mod:`src_model.models.pretrained`); for :func:`models_with_weights` at their
        full width. ``None``: fresh weights, no network access.
    progress
        Called with the bytes fetched so far and in total while they are fetched.
    **options
        Of that network; an unknown one is refused.

    Raises
    ------
    ModelError
        When the name or an option is unknown, a value is out of its bounds, or there are no such
        weights for the encoder.
    DownloadError
        When the encoder's weights cannot be fetched.
    CheckpointError
        When the file of the encoder's weights does not fit it.
    """
    network = model_class(name)
    check_options(name, options)
    build: Callable[..., SegmentationModel] = network
    stage = network.default_stage() if stage is None else stage
    model = build(in_channels=in_channels, num_classes=num_classes, stage=stage, top_k=top_k, **options)
    if encoder_weights is not None:
        from src_model.models.pretrained import load_encoder_weights

        load_encoder_weights(model, encoder_weights, progress=progress)
    return model


def _suggest(word: str, known: Iterable[str]) -> str:
    names = list(known)
    nearest = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    hint = f"did you mean '{nearest[0]}'? Known: " if nearest else "known: "
    return hint + ", ".join(names)
