"""Networks to compare with: U-Net and U-Net++ as MONAI builds them, and DeepLabv3+ on ResNet34.

Sources: U-Net (Ronneberger et al., MICCAI 2015), U-Net++ (Zhou et al., 2018), DeepLabv3+ (Chen et
al., ECCV 2018). None has a mixture of experts: they have stage 1 only.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from monai.networks.nets import BasicUNet, BasicUNetPlusPlus
from torch import Tensor, nn

from src_model.errors import ModelError
from src_model.models.aspp import ASPP
from src_model.models.backbones import ENCODER_NAMES, make_encoder
from src_model.models.base import SegmentationModel, check_count, check_no_domain
from src_model.models.blocks import conv_bn_relu, crop_to, init_weights, pad_to_multiple, resize
from src_model.models.skips import Segmentation


class Baseline(SegmentationModel):
    """A network without a mixture of experts: padding and checks around :meth:`segment`."""

    has_mixture = False

    def __init__(self, in_channels: int, num_classes: int, stage: int, top_k: int, options: dict[str, Any]):
        super().__init__(in_channels, num_classes, stage, options)
        check_count("top_k", top_k)
        self._top_k = top_k

    @property
    def top_k(self) -> int:
        """Remembered, without effect."""
        return self._top_k

    @abstractmethod
    def segment(self, x: Tensor) -> list[Tensor]:
        """``(B, C, H, W)``, a multiple of ``required_multiple``, to logits and auxiliary logits."""

    def forward(
        self,
        x: Tensor,
        *,
        top_k: int | None = None,  # noqa: ARG002
        routing: Any = None,
        domain: Any = None,
    ) -> Segmentation:
        """Segment a batch ``(B, in_channels, H, W)`` of any size; ``top_k`` has no effect.

        Raises
        ------
        ModelError
            When the input does not fit, or a routing or a domain is given.
        """
        check_no_domain(domain)
        self.check_input(x)
        if routing is not None:
            raise ModelError(f"The network '{self.name}' has no routers; leave routing out.")
        outputs = self.segment(pad_to_multiple(x, self.required_multiple))
        logits, *auxiliary = [crop_to(output, x.shape[2:]) for output in outputs]
        return Segmentation(logits, x.new_zeros(()).float(), tuple(auxiliary) if self.training else ())


class UNet(Baseline):
    """MONAI's ``BasicUNet`` with BatchNorm.

    Parameters
    ----------
    base_channels
        Of the first two levels and of the last map, 32 in MONAI; the other levels have 2, 4 and 8
        times as many.
    """

    name = "unet"
    halo = 32
    required_multiple = 16

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        stage: int = 1,
        top_k: int = 2,
        *,
        base_channels: int = 32,
    ) -> None:
        super().__init__(in_channels, num_classes, stage, top_k, {"base_channels": base_channels})
        self.network = BasicUNet(2, in_channels, num_classes, _features(base_channels), norm="batch")

    def segment(self, x: Tensor) -> list[Tensor]:
        """Logits, no auxiliary ones."""
        return [self.network(x)]


class UNetPlusPlus(Baseline):
    """MONAI's ``BasicUNetPlusPlus`` with BatchNorm; deep supervision weighs all outputs alike.

    Parameters
    ----------
    base_channels
        As for :class:`UNet`.
    """

    name = "unetpp"
    halo = 16
    required_multiple = 16
    auxiliary_weights = (1.0, 1.0, 1.0)

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        stage: int = 1,
        top_k: int = 2,
        *,
        base_channels: int = 32,
    ) -> None:
        super().__init__(in_channels, num_classes, stage, top_k, {"base_channels": base_channels})
        self.network = BasicUNetPlusPlus(
            2, in_channels, num_classes, _features(base_channels), deep_supervision=True, norm="batch"
        )

    def segment(self, x: Tensor) -> list[Tensor]:
        """Logits of the deepest path, then of the shallower ones."""
        outputs: list[Tensor] = self.network(x)
        return outputs[::-1]


class DeepLabV3Plus(Baseline):
    """DeepLabv3+: ASPP on the features at stride 16, joined with those at stride 4.

    Parameters
    ----------
    encoder, base_channels
        See :func:`src_model.models.backbones.make_encoder`.
    light_aspp
        Depthwise separable instead of full dilated convolutions in the ASPP.
    """

    name = "deeplabv3plus"
    halo = 256
    halo_varies = True
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"encoder": ENCODER_NAMES}
    dilations = (6, 12, 18)

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        stage: int = 1,
        top_k: int = 2,
        *,
        encoder: str = "resnet34",
        base_channels: int = 64,
        light_aspp: bool = False,
    ) -> None:
        options = {"encoder": encoder, "base_channels": base_channels, "light_aspp": light_aspp}
        super().__init__(in_channels, num_classes, stage, top_k, options)
        self.encoder = make_encoder(encoder, in_channels, base_channels)
        self.required_multiple = self.encoder.strides[-1]
        self.detail_level = self.encoder.strides.index(4)
        width, detail = 4 * base_channels, max(3 * base_channels // 4, 1)
        self.aspp = ASPP(self.encoder.channels[-1], width, dilations=self.dilations, light=light_aspp)
        self.detail = conv_bn_relu(self.encoder.channels[self.detail_level], detail, 1)
        self.decoder = nn.Sequential(conv_bn_relu(width + detail, width), conv_bn_relu(width, width))
        self.head = nn.Conv2d(width, num_classes, 1)
        self.apply(init_weights)

    def segment(self, x: Tensor) -> list[Tensor]:
        """Logits, no auxiliary ones."""
        features = self.encoder(x)
        detail = self.detail(features[self.detail_level])
        context = resize(self.aspp(features[-1]), detail.shape[2:])
        return [resize(self.head(self.decoder(torch.cat([context, detail], dim=1))), x.shape[2:])]


def _features(base: int) -> tuple[int, ...]:
    return (base, base, 2 * base, 4 * base, 8 * base, base)
