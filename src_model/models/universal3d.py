"""3D U2-Net: one U-Net for volumes of several domains, each with a small part of its own.

Source: 3D U2-Net, a 3D universal U-Net for multi-domain medical image segmentation (Huang et al.,
MICCAI 2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import torch.nn.functional as F
from torch import Tensor, nn

from src_model.errors import ModelError
from src_model.models.base import SegmentationModel, check_count
from src_model.models.blocks import crop_to, pad_to_multiple, resize
from src_model.models.domain_conv import ADAPTERS, MODES, Sharing
from src_model.models.domains import (
    Domains,
    PerDomain,
    describe_domains,
    domain_parameters,
    find_domain,
    parse_domains,
    shared_parameters,
)
from src_model.models.skips import Segmentation
from src_model.models.volume_blocks import (
    DownSample,
    EncoderBlock,
    UpBlock,
    enlarge,
    init_volume_weights,
    make_input,
    make_output,
    make_side_output,
)

_MOST_POOLINGS = 8  # each doubles the channels, and what an axis is padded to
_SIDE_LEVELS = (2, 1)
_SIDE_WEIGHTS = (0.25, 0.5)


class U2Net3D(SegmentationModel):
    """The network of the paper.

    Parameters
    ----------
    in_channels, num_classes
        Of a domain that does not state its own; afterwards those of the first domain.
    stage
        1: it has no mixture of experts.
    top_k
        Remembered, without effect.
    domains
        Names, or for each name a mapping with ``in_channels`` and ``num_classes``; ``None`` = one
        domain named ``default``.
    mode
        ``universal``, ``shared`` or ``independent``.
    adapter
        In ``universal`` mode: ``separable`` (the paper's), ``series`` or ``parallel``; for both
        see :class:`src_model.models.domain_conv.Sharing`.
    base_channels
        Of the finest level, 16 in the paper; each pooling doubles them.
    poolings
        How often each axis (D, H, W) is halved, 5 in the paper; fewer along thick slices.
    deep_supervision
        Whether side outputs at the levels of one and two poolings are added to the logits and,
        in training, returned for losses of their own.
    residual
        Whether an encoder block adds its input to its output, as published.

    Raises
    ------
    ModelError
        When an argument is out of its bounds.
    """

    name = "u2net3d"
    dims = 3
    has_mixture: ClassVar[bool] = False
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"mode": MODES, "adapter": ADAPTERS}

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        stage: int = 1,
        top_k: int = 1,
        *,
        domains: Mapping[str, Mapping[str, int]] | Iterable[str] | None = None,
        mode: str = "universal",
        adapter: str = "separable",
        base_channels: int = 16,
        poolings: Sequence[int] = (5, 5, 5),
        deep_supervision: bool = True,
        residual: bool = True,
    ) -> None:
        known = parse_domains(domains, in_channels, num_classes)
        halvings = _check_poolings(poolings)
        first = next(iter(known.values()))
        options = {
            "domains": describe_domains(known),
            "mode": mode,
            "adapter": adapter,
            "base_channels": base_channels,
            "poolings": halvings,
            "deep_supervision": deep_supervision,
            "residual": residual,
        }
        super().__init__(first.in_channels, first.num_classes, stage, options)
        check_count("top_k", top_k)
        self._top_k = top_k
        self._domains = known
        self.strides = tuple(2**count for count in halvings)
        self.required_multiple = max(self.strides)
        self._build(Sharing(tuple(known.values()), mode, adapter))
        self.auxiliary_weights = tuple(_SIDE_WEIGHTS[-len(self.sides) :]) if len(self.sides) else ()
        self.apply(init_volume_weights)

    def _build(self, sharing: Sharing) -> None:
        base, residual = self.options["base_channels"], self.options["residual"]
        depth = max(self.options["poolings"])
        widths = [base * 2**level for level in range(depth + 1)]
        self.inputs = PerDomain(sharing.domains, partial(make_input, base))
        self.blocks = nn.ModuleList(EncoderBlock(sharing, width, residual=residual) for width in widths)
        self.downs = nn.ModuleList(
            DownSample(sharing, widths[level], self._stride(level)) for level in range(depth)
        )
        self.ups = nn.ModuleList(UpBlock(sharing, width) for width in widths[:-1])
        self.side_levels = (
            tuple(level for level in _SIDE_LEVELS if level < depth)
            if self.options["deep_supervision"]
            else ()
        )
        self.sides = nn.ModuleList(
            PerDomain(sharing.domains, partial(make_side_output, widths[level])) for level in self.side_levels
        )
        self.outputs = PerDomain(sharing.domains, partial(make_output, base))

    def _stride(self, level: int) -> tuple[int, int, int]:
        """Of the down-sampling below ``level``: an axis is halved until its poolings are used up."""
        depth, height, width = (2 if level < count else 1 for count in self.options["poolings"])
        return depth, height, width

    @property
    def top_k(self) -> int:
        """Without effect: this network has no experts."""
        return self._top_k

    @property
    def domains(self) -> Domains:
        """The domains by name, in the order of their index: a copy."""
        return dict(self._domains)

    def forward(
        self,
        x: Tensor,
        *,
        top_k: int | None = None,  # noqa: ARG002
        routing: Any = None,
        domain: str | int | None = None,
    ) -> Segmentation:
        """Segment a batch of one domain.

        Parameters
        ----------
        x
            ``(B, C, D, H, W)``, floating point, any size; mirrored inside to a multiple of
            ``strides``. C as the domain has it.
        top_k
            Without effect.
        routing
            Must be ``None``.
        domain
            Name or index; may be left out where there is only one.

        Returns
        -------
        Segmentation
            ``logits`` ``(B, K, D, H, W)`` with the K of the domain; in training mode
            ``auxiliary`` logits of the same shape, coarsest level first.

        Raises
        ------
        ModelError
            When the input does not fit, or the domain is unknown.
        """
        if routing is not None:
            raise ModelError(f"The network '{self.name}' has no routers; leave routing out.")
        index = find_domain(self._domains, domain)
        self.check_input(x, list(self._domains.values())[index].in_channels)
        size = x.shape[2:]
        features = self._encode(self._pad(x), index)
        logits, sides = self._decode(features, index)
        auxiliary: tuple[Tensor, ...] = ()
        if self.training:
            auxiliary = tuple(crop_to(resize(side, logits.shape[2:]), size) for side in sides)
        return Segmentation(crop_to(logits, size), x.new_zeros(()).float(), auxiliary, None)

    def _pad(self, x: Tensor) -> Tensor:
        """To a multiple of the strides, with more than one voxel at the coarsest level."""
        x = pad_to_multiple(x, self.strides)
        if tuple(x.shape[2:]) == self.strides:  # one voxel alone cannot be normalised
            x = F.pad(x, (0, self.strides[2], 0, 0, 0, 0), mode="replicate")
        return x

    def _encode(self, x: Tensor, index: int) -> list[Tensor]:
        """Features of all levels, finest first."""
        x = self.blocks[0](self.inputs[index](x), index)
        features = [x]
        for down, block in zip(self.downs, list(self.blocks)[1:], strict=True):
            x = block(down(x, index), index)
            features.append(x)
        return features

    def _decode(self, features: list[Tensor], index: int) -> tuple[Tensor, list[Tensor]]:
        """Logits, and those of the side outputs at their own size, coarsest first."""
        x = features[-1]
        total: Tensor | None = None
        sides: list[Tensor] = []
        for level in reversed(range(len(self.ups))):
            x = self.ups[level](x, features[level], index)
            if level not in self.side_levels:
                continue
            side = cast(PerDomain, self.sides[self.side_levels.index(level)])
            logits, normalised = side[index](x)
            sides.append(logits)
            total = normalised if total is None else normalised + total
            total = enlarge(total, features[level - 1].shape[2:])
        logits = self.outputs[index](x)
        return (logits if total is None else logits + total), sides

    def add_domain(self, name: str, in_channels: int | None = None, num_classes: int | None = None) -> None:
        """Add a domain with fresh parts of its own and freeze all that was there before.

        Training then changes the new domain alone; what the others predict stays bit-equal.

        Parameters
        ----------
        name
            Of the domain, new to this network.
        in_channels, num_classes
            Of its images and logits; ``None`` = as the first domain.

        Raises
        ------
        ModelError
            When the name is taken or a number is out of its bounds.
        """
        if name in self._domains:
            raise ModelError(f"This network has a domain '{name}' already; choose another name.")
        sizes = {"in_channels": in_channels, "num_classes": num_classes}
        stated = {key: value for key, value in sizes.items() if value is not None}
        domain = parse_domains({name: stated}, self.in_channels, self.num_classes)[name]
        reference = next(self.parameters())
        for module in list(self.modules()):
            if isinstance(module, PerDomain):
                module.grow(domain)
                module[-1].apply(init_volume_weights)
                module[-1].to(reference).train(module.training)
        self._domains = {**self._domains, name: domain}
        self.options = {**self.options, "domains": describe_domains(self._domains)}
        self.freeze_all_but(name)

    def freeze_all_but(self, domain: str | int) -> None:
        """Let only the own parameters of one domain learn.

        Raises
        ------
        ModelError
            When the domain is unknown.
        """
        own = domain_parameters(self, find_domain(self._domains, domain))
        self.requires_grad_(False)
        for parameter in own:
            parameter.requires_grad_(True)

    def domain_parameters(self, domain: str | int) -> Iterator[nn.Parameter]:
        """The parameters that only one domain uses."""
        return domain_parameters(self, find_domain(self._domains, domain))

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that every domain uses; none in ``independent`` mode."""
        return shared_parameters(self)


def _check_poolings(poolings: Any) -> list[int]:
    """Three whole numbers from 0 to 8, not all zero."""
    counts = list(poolings) if isinstance(poolings, Iterable) else []
    whole = all(type(count) is int and 0 <= count <= _MOST_POOLINGS for count in counts)
    if len(counts) != 3 or not whole or max(counts) < 1:
        raise ModelError(
            f"poolings must be three whole numbers (D, H, W) of 0 to {_MOST_POOLINGS}, not all 0, but got "
            f"{poolings!r}."
        )
    return counts
