"""What all networks share: checks of the input, padding, and the description in a checkpoint."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from src_model.errors import ModelError
from src_model.models.skips import Segmentation

COMMON_ARGUMENTS = ("in_channels", "num_classes", "stage", "top_k")


class SegmentationModel(nn.Module, ABC):
    """Base of the networks: describes itself and refuses what it cannot take.

    Attributes
    ----------
    name : str
        Name in the registry.
    dims : int
        Number of spatial axes.
    required_multiple : int
        Inputs are padded inside to a multiple of this.
    halo : int
        Context that a tile of 512 pixels needs on each side, pixels: the least with which at most 0.1 %
        of its mask differs from the untiled one while routing and the other global pools are held.
        Measured on a trained network by ``benchmarks/halo.py``, see docs/performance.md. A multiple of
        ``required_multiple``.
    larger_tiles : dict
        The same for tiles of at least so many pixels, of which less lies near a border.
    halo_varies : bool
        Whether trained networks of the architecture differ in it so much that it is measured again on each
        slide.
    near_halo : int or None
        How much of it the parts behind the encoder need; ``None`` = all. What lies further out is seen by
        the encoder alone, see ``part`` of :meth:`src_model.models.utanet.UTANet.forward`.
    in_channels, num_classes, stage : int
        As given.
    num_experts : int
        Experts of the mixture (in stage 1: of the mixture to come); 0 if it can have none.
    has_mixture : bool
        Whether there is a stage 2; a network without a mixture has stage 1 only.
    auxiliary_weights : tuple of float
        Weight of the loss of each auxiliary output, in their order, beside 1 for the logits.
    choices : dict
        The values of each option that is a word.
    options : dict
        The other arguments of the constructor.
    """

    name: str
    dims: int = 2
    required_multiple: int = 1
    halo: ClassVar[int] = 64
    larger_tiles: ClassVar[dict[int, int]] = {}
    halo_varies: ClassVar[bool] = False
    near_halo: ClassVar[int | None] = None
    num_experts: int = 0
    has_mixture: ClassVar[bool] = True
    auxiliary_weights: tuple[float, ...] = ()
    choices: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, in_channels: int, num_classes: int, stage: int, options: dict[str, Any]) -> None:
        super().__init__()
        check_count("in_channels", in_channels)
        check_count("num_classes", num_classes)
        self._check_options(options)
        if stage not in (1, 2):
            raise ModelError(f"stage must be 1 (plain skips) or 2 (mixture of experts) but got {stage!r}.")
        if stage == 2 and not self.has_mixture:
            raise ModelError(
                f"The network '{self.name}' has no mixture of experts and so stage 1 only but got stage 2; "
                "leave stage out or give 1."
            )
        self.in_channels, self.num_classes, self.stage = in_channels, num_classes, stage
        self.options = options

    @classmethod
    def halo_of(cls, tile: int) -> int:
        """The context that a tile of that side needs, pixels."""
        return min([halo for side, halo in cls.larger_tiles.items() if side <= tile], default=cls.halo)

    @property
    @abstractmethod
    def top_k(self) -> int:
        """How many experts each router uses for a sample unless a call says otherwise."""

    @property
    def config(self) -> dict[str, Any]:
        """All that :func:`src_model.create_model` needs to build this network again."""
        return {
            "name": self.name,
            "in_channels": self.in_channels,
            "num_classes": self.num_classes,
            "stage": self.stage,
            "top_k": self.top_k,
            "options": dict(self.options),
        }

    @classmethod
    def default_stage(cls) -> int:
        """The stage that is made when none is asked for: the last one."""
        return 2 if cls.has_mixture else 1

    @classmethod
    def default_options(cls) -> dict[str, Any]:
        """Options of the constructor beside the common arguments, with their default values."""
        parameters = inspect.signature(cls).parameters.values()
        return {p.name: p.default for p in parameters if p.name not in COMMON_ARGUMENTS}

    @abstractmethod
    def forward(
        self, x: Tensor, *, top_k: int | None = None, routing: Any = None, domain: Any = None
    ) -> Segmentation:
        """``(B, C, [D,] H, W)`` of any size to logits ``(B, K, [D,] H, W)``."""

    def _check_options(self, options: dict[str, Any]) -> None:
        """Whole numbers are at least 1, others above 0, switches true or false, words known ones."""
        for option, default in self.default_options().items():
            value = options[option]
            if isinstance(default, bool):
                if not isinstance(value, bool):
                    raise ModelError(f"{option} must be true or false but got {value!r}.")
            elif isinstance(default, int):
                check_count(option, value)
            elif isinstance(default, float):
                check_positive(option, value)
            elif isinstance(default, str) and value not in self.choices[option]:
                known = ", ".join(f"'{choice}'" for choice in self.choices[option])
                raise ModelError(f"{option} must be one of {known} but got {value!r}.")

    def add_domain(
        self,
        name: str,
        in_channels: int | None = None,  # noqa: ARG002
        num_classes: int | None = None,  # noqa: ARG002
    ) -> None:
        """Teach a network with domains one more; refused by the others.

        Raises
        ------
        ModelError
            When this network has no domains; names those that have.
        """
        from src_model.models.registry import models_with_domains

        raise ModelError(
            f"The network '{self.name}' has no domains, so '{name}' cannot be added to it; networks with "
            f"domains: {', '.join(models_with_domains())}."
        )

    def check_input(self, x: Tensor, in_channels: int | None = None) -> None:
        """Refuse an input of another number of axes or channels, without pixels, or of integers.

        Parameters
        ----------
        x
            As for :meth:`forward`.
        in_channels
            Channels to expect; ``None`` = those of the network.

        Raises
        ------
        ModelError
            Naming what was expected and what came.
        """
        axes = "(B, C, H, W)" if self.dims == 2 else "(B, C, D, H, W)"
        if x.ndim != self.dims + 2:
            raise ModelError(
                f"Expected an input {axes} but got {x.ndim} axes: shape {tuple(x.shape)}"
                f"{_fitting(x.ndim - 2)}."
            )
        if 0 in x.shape:
            raise ModelError(f"The input is empty: shape {tuple(x.shape)}; give at least one pixel.")
        expected = self.in_channels if in_channels is None else in_channels
        if x.shape[1] != expected:
            raise ModelError(f"The input has {x.shape[1]} channels but this network expects {expected}.")
        if not torch.is_floating_point(x):
            raise ModelError(f"Expected floating-point intensities but got {x.dtype}; scale them first.")


def _fitting(dims: int) -> str:
    """The networks for that many spatial axes, as the end of a sentence."""
    from src_model.models.registry import list_models

    names = list_models(dims=dims)
    return f"; for {dims}-D images use one of: {', '.join(names)}" if names else ""


def check_count(argument: str, value: object) -> None:
    """Refuse anything but a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelError(f"{argument} must be a whole number of at least 1 but got {value!r}.")


def check_positive(argument: str, value: object) -> None:
    """Refuse anything but a finite number above 0."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:  # type: ignore[operator]
        raise ModelError(f"{argument} must be a finite number above 0 but got {value!r}.")


def check_no_domain(domain: Any) -> None:
    """Refuse a domain (organ) for a network that has none."""
    if domain is not None:
        raise ModelError(f"This network has no domains but got domain {domain!r}; leave it out.")
