"""Maps that are made where they are looked at: the same values as the whole map would have."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from src_model.inference.cpu_layers import run_in_strips
from src_model.inference.global_pools import GlobalPools
from src_model.inference.later import Later, MadeLater, rows_of
from src_model.inference.maps import Maps
from src_model.inference.optimise import optimise
from src_model.inference.strips import DockStrips
from src_model.models.registry import create_model
from src_model.tiling.plan import Box


def twice(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


@pytest.fixture
def enlarged() -> tuple[Later, Tensor]:
    """A map that is made later, and the same made at once."""
    source = torch.randn(2, 3, 12, 9)
    return Later(twice, source, margin=1, up=2), twice(source)


@pytest.mark.parametrize(("low", "high"), [(0, 24), (0, 8), (8, 16), (16, 24), (23, 24), (7, 12)])
def test_its_rows_are_those_of_the_whole_map(enlarged: tuple[Later, Tensor], low: int, high: int) -> None:
    later, whole = enlarged

    assert torch.allclose(later.rows(low, high), whole[:, :, low:high])
    assert torch.equal(rows_of(whole, low, high), whole[:, :, low:high])


@pytest.mark.parametrize("rows", [slice(0, 24), slice(3, 20)])
@pytest.mark.parametrize("columns", [slice(0, 18), slice(0, 4), slice(5, 12), slice(17, 18)])
def test_a_part_of_it_is_that_of_the_whole_map(
    enlarged: tuple[Later, Tensor], rows: slice, columns: slice
) -> None:
    later, whole = enlarged
    part, expected = later[:, :, rows, columns], whole[:, :, rows, columns]

    assert (part.shape[0], *part.shape[2:]) == (expected.shape[0], *expected.shape[2:])
    assert torch.allclose(part.rows(2, 9), expected[:, :, 2:9])


def test_a_part_of_a_part_counts_from_there(enlarged: tuple[Later, Tensor]) -> None:
    later, whole = enlarged

    part = later[:, :, 4:20, 2:16][:, :, 3:10, 1:5]

    assert torch.allclose(part.rows(0, 7), whole[:, :, 7:14, 3:7])


@torch.inference_mode()
def test_a_convolution_takes_the_edges_of_the_image_for_edges_and_no_others() -> None:
    conv, x = nn.Conv2d(3, 4, 3, padding=1), torch.randn(1, 3, 20, 10)

    later, whole = MadeLater(conv, 1)(x), conv(x)

    for low in range(0, 20, 5):
        assert torch.allclose(later.rows(low, low + 5), whole[:, :, low : low + 5], atol=1e-6)


def test_layers_see_as_many_rows_at_the_edges_as_elsewhere() -> None:
    seen: list[int] = []

    def make(x: Tensor) -> Tensor:
        seen.append(x.shape[2])
        return x

    later = Later(make, torch.zeros(1, 1, 40, 4), margin=2)
    for low in range(0, 40, 10):
        later.rows(low, low + 10)

    assert seen == [14] * 4


@pytest.mark.parametrize("name", ["utanet", "light-utanet", "light-utanet-mobile"])
@torch.inference_mode()
def test_a_part_in_strips_is_that_of_the_whole(name: str) -> None:
    model = optimise(create_model(name, base_channels=16).eval())
    maps = Maps()
    maps.strip_bytes = 1 << 15
    run_in_strips(model, maps)
    x, part = torch.randn(1, 3, 160, 192), Box(48, 64, 64, 80)
    type(model).near_halo, usual = None, type(model).near_halo
    try:
        found = model(x, part=part).logits
    finally:
        type(model).near_halo = usual

    whole = model(x).logits
    assert torch.allclose(found, whole[(..., *part.slices)], rtol=1e-4, atol=1e-6 * float(whole.abs().max()))


@pytest.mark.parametrize("name", ["light-utanet", "light-utanet-mobile", "light-utanet-slim"])
@pytest.mark.parametrize("strips", [False, True])
@torch.inference_mode()
def test_of_a_light_network_the_encoder_and_the_aspp_alone_look_beyond_what_is_near(
    name: str, strips: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = optimise(create_model(name, base_channels=16).eval())
    monkeypatch.setattr(type(model), "near_halo", 64)
    if strips:
        run_in_strips(model, Maps())
    x, part = torch.randn(1, 3, 320, 352), Box(128, 144, 64, 80)
    pools = GlobalPools(model)
    with pools.recording():
        model(x)
    mixed: list[tuple[int, ...]] = []
    model.mixture.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda _mixture, given: mixed.append(tuple(given[0][1].shape[2:]))
    )

    with pools.held():
        whole = model(x).logits
        found = model(x, part=part).logits

    assert torch.allclose(found, whole[(..., *part.slices)], rtol=1e-3, atol=1e-5 * float(whole.abs().max()))
    assert mixed == [(160, 176), (96, 104)]


@torch.inference_mode()
def test_the_finest_skip_is_never_made_as_a_whole_unless_more_than_the_decoder_looks_at_it() -> None:
    plain, residual = (
        optimise(create_model("utanet", base_channels=8, residual_skips=choice).eval())
        for choice in (False, True)
    )
    for model, expected in ((plain, True), (residual, False)):
        run_in_strips(model, Maps())
        dock = model.mixture.dockers[0]  # type: ignore[union-attr, index]
        assert isinstance(dock, DockStrips)
        made = dock(torch.randn(1, 64, 16, 16), (32, 32))
        assert isinstance(made, Later) == expected
        assert model(torch.randn(1, 3, 32, 32)).logits.shape == (1, 1, 32, 32)
