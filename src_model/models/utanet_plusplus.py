"""UTANet++: UTANet's mixture of skips with a full-scale decoder, attention and deep supervision."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from src_model.models.blocks import part_of, resize
from src_model.models.full_scale import FullScaleDecoder
from src_model.models.options import PlusPlusOptions
from src_model.models.utanet import UTANet
from src_model.tiling.plan import Box

DEEP_SUPERVISION = (0.5, 0.3, 0.15, 0.05)
"""Weight of the auxiliary loss of each decoder level, finest first."""


class UTANetPlusPlus(UTANet):
    """In training also gives the logits of each decoder level, at full size; in inference not.

    Parameters are those of :class:`UTANet`; options see
    :class:`src_model.models.options.PlusPlusOptions`.
    """

    name = "utanet-plusplus"
    halo = 80
    defaults: ClassVar[PlusPlusOptions] = PlusPlusOptions()

    def _make_decoder(self) -> int:
        decoder = FullScaleDecoder(
            self.encoder.channels,
            self.encoder.strides,
            level_channels=self.options["level_channels"],
            attention=self.options["gated_attention"],
            light=self.options["light_decoder"],
        )
        self.decoder = decoder
        self.side_heads = nn.ModuleList()
        if self.options["deep_supervision"]:
            widths = decoder.out_channels[: len(DEEP_SUPERVISION)]
            self.side_heads.extend(nn.Conv2d(width, self.num_classes, 1) for width in widths)
            self.auxiliary_weights = DEEP_SUPERVISION[: len(widths)]
        return int(decoder.out_channels[0])

    def _decode(self, features: list[Tensor], part: Box | None) -> tuple[Tensor, list[Tensor]]:
        levels = self.decoder(features)
        results: list[Tensor] = [self.head(levels[0])]
        if self.training:
            sides = zip(self.side_heads, levels, strict=False)
            results += [resize(head(level), results[0].shape[2:]) for head, level in sides]
        logits, *auxiliary = results if part is None else [part_of(one, part) for one in results]
        return logits, auxiliary
