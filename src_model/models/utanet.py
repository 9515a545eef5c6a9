"""UTANet: a U-Net on ResNet34 whose skips are mixed by shared experts, equal to the published one.

Source: UTANet (AAAI 2025). Stage 1 has plain skips; stage 2 sends the four finest levels through
:class:`src_model.models.skips.MixtureOfSkips`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from src_model.errors import ModelError
from src_model.models.base import SegmentationModel, check_no_domain
from src_model.models.blocks import conv_bn_relu, crop_to, init_weights, pad_to_multiple
from src_model.models.decoders import UNetDecoder
from src_model.models.encoders import ResNet34Encoder
from src_model.models.experts import Routing, check_top_k
from src_model.models.skips import MixtureOfSkips, Segmentation


class UTANet(SegmentationModel):
    """The network of the paper.

    Parameters
    ----------
    in_channels, num_classes
        Channels of the image and of the logits (1 = foreground against background).
    stage
        1: plain skips; 2: mixture of experts.
    top_k
        Experts per router and sample; a property that may be set later.
    base_channels
        Channels of the first level, 64 as published; smaller for a smaller network.
    mixture_width, num_experts
        Channels of the experts' maps and number of experts, 64 and 4 as published.
    ev_loss, train_unused, double_softmax
        See :class:`src_model.models.skips.MixtureOfSkips`.

    Raises
    ------
    ModelError
        When an argument is out of its bounds.
    """

    name = "utanet"
    dims = 2
    required_multiple = 16

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        stage: int = 2,
        top_k: int = 2,
        *,
        base_channels: int = 64,
        mixture_width: int = 64,
        num_experts: int = 4,
        ev_loss: bool = True,
        train_unused: bool = True,
        double_softmax: bool = True,
    ) -> None:
        options = {
            "base_channels": base_channels,
            "mixture_width": mixture_width,
            "num_experts": num_experts,
            "ev_loss": ev_loss,
            "train_unused": train_unused,
            "double_softmax": double_softmax,
        }
        super().__init__(in_channels, num_classes, stage, options)
        if base_channels % 2:
            raise ModelError(f"base_channels must be an even number but got {base_channels}.")
        self.num_experts = num_experts
        self._top_k = check_top_k(top_k, num_experts)
        self.encoder = ResNet34Encoder(in_channels, base_channels)
        self.decoder = UNetDecoder(self.encoder.channels)
        width = self.decoder.out_channels
        self.head = nn.Sequential(
            *conv_bn_relu(width, max(width // 2, 1), 1), nn.Conv2d(max(width // 2, 1), num_classes, 1)
        )
        self.mixture: MixtureOfSkips | None = None
        if stage == 2:
            self.mixture = MixtureOfSkips(
                self.encoder.channels[:4],
                self.encoder.strides[:4],
                width=mixture_width,
                num_experts=num_experts,
                top_k=top_k,
                ev_loss=ev_loss,
                train_unused=train_unused,
                double_softmax=double_softmax,
            )
        self.apply(init_weights)

    @property
    def top_k(self) -> int:
        """Experts per router and sample; in stage 1 remembered but without effect."""
        return self._top_k

    @top_k.setter
    def top_k(self, value: int) -> None:
        self._top_k = check_top_k(value, self.num_experts)

    def forward(
        self,
        x: Tensor,
        *,
        top_k: int | None = None,
        routing: Routing | Tensor | None = None,
        domain: Any = None,
    ) -> Segmentation:
        """Segment a batch.

        Parameters
        ----------
        x
            ``(B, in_channels, H, W)``, floating point, any size; mirrored inside to a multiple
            of 16.
        top_k
            For this call only. Without effect in stage 1.
        routing
            Used instead of the routers' decision; see :meth:`MixtureOfSkips.forward`.
        domain
            Must be ``None``.

        Returns
        -------
        Segmentation
            ``logits`` ``(B, num_classes, H, W)``.

        Raises
        ------
        ModelError
            When the input or an argument does not fit this network.
        """
        check_no_domain(domain)
        self.check_input(x)
        chosen = self._top_k if top_k is None else check_top_k(top_k, self.num_experts)
        features = self.encoder(pad_to_multiple(x, self.required_multiple))
        decision: Routing | None = None
        if self.mixture is None:
            if routing is not None:
                raise ModelError("A network of stage 1 has no routers; leave routing out or use stage=2.")
            balance = x.new_zeros(()).float()
        else:
            skips, balance, decision = self.mixture(features[:4], top_k=chosen, routing=routing)
            features = [*skips, features[4]]
        logits = self.head(self.decoder(features))
        return Segmentation(crop_to(logits, x.shape[2:]), balance, (), decision)

    def expert_maps(self, x: Tensor) -> Tensor:
        """Output of every expert for every image, chosen or not.

        Parameters
        ----------
        x
            As for :meth:`forward`.

        Returns
        -------
        Tensor
            ``(B, E, C, ceil(H / 2), ceil(W / 2))``: element ``(i, j)`` is centred on image pixel
            ``(2 i + 0.5, 2 j + 0.5)``.

        Raises
        ------
        ModelError
            When the network is of stage 1 or the input does not fit.
        """
        if self.mixture is None:
            raise ModelError("A network of stage 1 has no experts; use a checkpoint of stage 2.")
        self.check_input(x)
        maps = self.mixture.expert_maps(self.encoder(pad_to_multiple(x, self.required_multiple))[:4])
        stride = self.mixture.strides[self.mixture.reference_level]
        height, width = (-(-length // stride) for length in x.shape[2:])
        return maps[..., :height, :width]
