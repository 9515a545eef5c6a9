"""Parts of maps are views; layers get maps without gaps."""

from __future__ import annotations

import pytest
import torch

from src_model.models.blocks import part_of, without_gaps
from src_model.models.decoders import UNetDecoder
from src_model.tiling.plan import Box

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_part_of_a_map_lies_where_the_map_does(layout: torch.memory_format) -> None:
    x = torch.arange(2.0 * 3 * 8 * 12).reshape(2, 3, 8, 12).contiguous(memory_format=layout)

    part = part_of(x, Box(4, 8, 8, 12), stride=4)

    assert torch.equal(part, x[:, :, 1:3, 2:5])
    assert part.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_map_without_some_columns_is_put_together_in_its_layout(layout: torch.memory_format) -> None:
    x = torch.randn(1, 3, 8, 12).contiguous(memory_format=layout)

    whole = without_gaps(x[..., 2:9])

    assert torch.equal(whole, x[..., 2:9])
    assert whole.is_contiguous(memory_format=layout)


def test_rows_of_one_image_are_not_copied() -> None:
    x = torch.randn(1, 3, 8, 12).contiguous(memory_format=torch.channels_last)

    assert without_gaps(x[:, :, 2:6]).data_ptr() == x[:, :, 2:6].data_ptr()


@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize(
    "part", [Box(16, 16, 16, 16), Box(64, 32, 96, 464), Box(0, 0, 48, 512), Box(48, 496, 112, 16)], ids=str
)
@torch.no_grad()
def test_a_decoder_makes_a_part_as_of_the_whole_however_many_columns_it_cuts_off(
    light: bool, part: Box
) -> None:
    torch.manual_seed(0)
    decoder = UNetDecoder((4, 6, 8, 16), light=light).eval()
    sizes = [(160 >> level, 512 >> level) for level in range(4)]
    features = [torch.randn(1, c, *size) for c, size in zip((4, 6, 8, 16), sizes, strict=True)]

    found = decoder(features, part)

    assert torch.allclose(found, decoder(features)[(..., *part.slices)], atol=1e-5)
