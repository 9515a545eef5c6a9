"""UTANet: a U-Net on ResNet34 whose skips are mixed by shared experts, equal to the published one.

Source: UTANet (AAAI 2025). Stage 1 has plain skips; stage 2 sends all levels but the coarsest
through :class:`src_model.models.skips.MixtureOfSkips`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, ClassVar

from torch import Tensor, nn

from src_model.errors import ModelError
from src_model.models.aspp import ASPP
from src_model.models.backbones import ENCODER_NAMES, make_encoder
from src_model.models.base import SegmentationModel, check_count, check_no_domain
from src_model.models.blocks import conv_bn_relu, crop_to, init_weights, pad_to_multiple, part_of
from src_model.models.decoders import UNetDecoder
from src_model.models.experts import Routing, check_top_k
from src_model.models.options import MixtureOptions, NetworkOptions
from src_model.models.skips import MixtureOfSkips, Segmentation
from src_model.tiling.plan import Box, around, round_up


class UTANet(SegmentationModel):
    """The network of the paper, and by its options every network built like it.

    Parameters
    ----------
    in_channels, num_classes
        Channels of the image and of the logits (1 = foreground against background).
    stage
        1: plain skips; 2: mixture of experts.
    top_k
        Experts per router and sample; a property that may be set later.
    **options
        See :class:`src_model.models.options.MixtureOptions`.

    Attributes
    ----------
    defaults : NetworkOptions
        The options that are not given.

    Raises
    ------
    ModelError
        When an argument is out of its bounds.
    """

    name = "utanet"
    dims = 2
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"encoder": ENCODER_NAMES}
    defaults: ClassVar[NetworkOptions] = MixtureOptions()

    def __init__(
        self, in_channels: int = 3, num_classes: int = 1, stage: int = 2, top_k: int = 2, **options: Any
    ) -> None:
        chosen = self.defaults.merged(options)
        super().__init__(in_channels, num_classes, stage, chosen)
        self.num_experts = chosen["num_experts"] if self.has_mixture else 0
        self.top_k = top_k
        self.encoder = make_encoder(chosen["encoder"], in_channels, chosen["base_channels"])
        self.required_multiple = self.encoder.strides[-1]
        deepest = self.encoder.channels[-1]
        self.bottleneck = ASPP(deepest, deepest) if chosen["light_aspp"] else nn.Identity()
        width = self._make_decoder()
        self.head = nn.Sequential(
            *conv_bn_relu(width, max(width // 2, 1), 1), nn.Conv2d(max(width // 2, 1), num_classes, 1)
        )
        self.mixture: MixtureOfSkips | None = None
        if stage == 2:
            mixed = len(self.encoder.strides) - (not chosen["mix_deepest"])
            self.mixture = MixtureOfSkips(
                self.encoder.channels[:mixed],
                self.encoder.strides[:mixed],
                reference_level=self._level_of(chosen["mixture_stride"], mixed),
                width=chosen["mixture_width"],
                num_experts=self.num_experts,
                top_k=top_k,
                ev_loss=chosen["ev_loss"],
                train_unused=chosen["train_unused"],
                double_softmax=chosen["double_softmax"],
                hierarchical_experts=chosen["hierarchical_experts"],
                router_temperature=chosen["router_temperature"],
                residual=chosen["residual_skips"],
                light=chosen["light_mixture"],
            )
        self.apply(init_weights)

    @classmethod
    def default_options(cls) -> dict[str, Any]:
        """Options beside the common arguments, with their default values."""
        return cls.defaults.merged({})

    def _level_of(self, stride: int, levels: int) -> int:
        """Which of the mixed levels has that stride."""
        known = self.encoder.strides[:levels]
        if stride not in known:
            strides = ", ".join(map(str, known))
            raise ModelError(f"mixture_stride must be one of {strides}, which are mixed, but got {stride}.")
        return known.index(stride)

    def _make_decoder(self) -> int:
        """Make ``self.decoder``; returns the channels that it gives to the head."""
        self.decoder: nn.Module = UNetDecoder(self.encoder.channels, light=self.options["light_decoder"])
        return int(self.decoder.out_channels)

    @property
    def top_k(self) -> int:
        """Experts per router and sample; without a mixture remembered but without effect."""
        return self._top_k

    @top_k.setter
    def top_k(self, value: int) -> None:
        if self.num_experts:
            check_top_k(value, self.num_experts)
        else:
            check_count("top_k", value)
        self._top_k = value

    def forward(
        self,
        x: Tensor,
        *,
        top_k: int | None = None,
        routing: Routing | Tensor | None = None,
        domain: Any = None,
        features: Sequence[Tensor] | None = None,
        part: Box | None = None,
    ) -> Segmentation:
        """Segment a batch.

        Parameters
        ----------
        x
            ``(B, in_channels, H, W)``, floating point, any size; mirrored inside to a multiple
            of ``required_multiple``.
        top_k
            For this call only. Without effect in stage 1.
        routing
            Used instead of the routers' decision; see :meth:`MixtureOfSkips.forward`.
        domain
            Must be ``None``.
        features
            What :meth:`features` gave for ``x``, so that the encoder need not run again.
        part
            What of ``x`` is segmented; ``None`` = all. The mixture and the decoder look at no more than
            ``near_halo`` pixels around it; what lies further out only encoder and bottleneck see.

        Returns
        -------
        Segmentation
            ``logits`` ``(B, num_classes, H, W)``, of the ``part`` where one is given.

        Raises
        ------
        ModelError
            When the input or an argument does not fit this network.
        """
        check_no_domain(domain)
        self.check_input(x)
        chosen = self._top_k
        if top_k is not None and self.num_experts:
            chosen = check_top_k(top_k, self.num_experts)
        near, wanted = None, part
        if part is not None and self.near_halo is not None:
            near = self._near(part, x.shape)
            wanted = part.moved(-near.y, -near.x)
        levels = self.features(x, near) if features is None else self._cut(features, near)
        decision: Routing | None = None
        if self.mixture is None:
            if routing is not None:
                raise ModelError("A network of stage 1 has no routers; leave routing out or use stage=2.")
            balance = x.new_zeros(()).float()
        else:
            mixed = len(self.mixture.channels)
            skips, balance, decision = self.mixture(levels[:mixed], top_k=chosen, routing=routing)
            levels[:mixed] = skips
        logits, auxiliary = self._decode(levels, wanted)
        size = tuple(x.shape[2:]) if part is None else (part.height, part.width)
        return Segmentation(
            crop_to(logits, size), balance, tuple(crop_to(side, size) for side in auxiliary), decision
        )

    def features(self, x: Tensor, part: Box | None = None) -> list[Tensor]:
        """What encoder and bottleneck make of a batch, without any mixing.

        Parameters
        ----------
        x
            As for :meth:`forward`.
        part
            Of the padded image, that alone is wanted; cut at multiples of ``required_multiple``.

        Returns
        -------
        list of Tensor
            ``(B, C, H / s, W / s)`` of the padded image, or of the part, for each level's channels C and
            stride s, finest first.
        """
        *fine, deepest = self.encoder(pad_to_multiple(x, self.required_multiple))
        if part is None or not isinstance(self.bottleneck, ASPP):
            return self._cut([*fine, self.bottleneck(deepest)], part)
        cells = Box(*(length // self.encoder.strides[-1] for length in astuple(part)))
        return [*self._cut(fine, part), self.bottleneck(deepest, cells)]

    def _near(self, part: Box, size: Sequence[int]) -> Box:
        """What the mixture sees of a padded image for a part of it."""
        assert self.near_halo is not None
        multiple = self.required_multiple
        height, width = (round_up(length, multiple) for length in size[2:])
        return around(part, halo=self.near_halo, multiple=multiple, height=height, width=width)

    def _cut(self, levels: Sequence[Tensor], part: Box | None) -> list[Tensor]:
        if part is None:
            return list(levels)
        return [
            part_of(level, part, stride) for level, stride in zip(levels, self.encoder.strides, strict=False)
        ]

    def _decode(self, features: list[Tensor], part: Box | None) -> tuple[Tensor, list[Tensor]]:
        """Logits and auxiliary logits of a part of the finest level, ``None`` = of the padded size."""
        return self.head(self.decoder(features, part)), []

    def expert_maps(self, x: Tensor) -> Tensor:
        """Output of every expert for every image, chosen or not.

        Parameters
        ----------
        x
            As for :meth:`forward`.

        Returns
        -------
        Tensor
            ``(B, E, C, ceil(H / s), ceil(W / s))`` with the ``mixture_stride`` s: element ``(i, j)`` is
            centred on image pixel ``(s i + (s - 1) / 2, s j + (s - 1) / 2)``.

        Raises
        ------
        ModelError
            When the network is of stage 1 or the input does not fit.
        """
        if self.mixture is None:
            raise ModelError("A network of stage 1 has no experts; use a checkpoint of stage 2.")
        self.check_input(x)
        levels = self.features(x)
        maps = self.mixture.expert_maps(levels[: len(self.mixture.channels)])
        stride = self.mixture.strides[self.mixture.reference_level]
        height, width = (-(-length // stride) for length in x.shape[2:])
        return maps[..., :height, :width]


class UTANetStage1(UTANet):
    """UTANet with plain skips and no second stage: the baseline of the paper's tables."""

    name = "utanet-stage1"
    halo = 48
    has_mixture = False
    defaults = NetworkOptions()

    def __init__(
        self, in_channels: int = 3, num_classes: int = 1, stage: int = 1, top_k: int = 2, **options: Any
    ) -> None:
        super().__init__(in_channels, num_classes, stage, top_k, **options)
