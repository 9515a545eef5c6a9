"""Each rewrite of a part of a network gives the same values as the part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src_model.inference.folding import fold_norms
from src_model.inference.rewrites import MiddleDock, SplitFuse, can_split
from src_model.models.mixture_ends import Dock, Fuse

EXACT = 1e-10
"""Largest difference, as a share of the largest value, where everything is computed in float64."""


@pytest.fixture(autouse=True)
def _fixed_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def norms_of(model: nn.Module) -> list[nn.Module]:
    return [part for part in model.modules() if isinstance(part, (nn.BatchNorm2d, nn.BatchNorm3d))]


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest absolute difference as a share of the largest absolute value."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("dims", [2, 3])
@torch.inference_mode()
def test_convolutions_of_every_kind_take_the_batchnorm_after_them(dims: int) -> None:
    kinds: tuple[tuple[Any, ...], ...] = ((nn.Conv2d, nn.ConvTranspose2d), (nn.Conv3d, nn.ConvTranspose3d))
    (conv, transposed), norm = kinds[dims - 2], (nn.BatchNorm2d, nn.BatchNorm3d)[dims - 2]
    layers = nn.Sequential(
        conv(4, 6, 3, padding=2, dilation=2),
        norm(6),
        nn.Sequential(conv(6, 12, 3, stride=2, groups=6, bias=False)),
        nn.Sequential(norm(12, affine=False), nn.ReLU()),
        transposed(12, 4, 2, stride=2, bias=False),
        norm(4),
    ).double()
    batch = torch.randn(4, 4, *[9] * dims, dtype=torch.double)
    layers.train()(batch)
    expected = layers.eval()(batch)

    fold_norms(layers)

    assert norms_of(layers) == []
    assert difference(layers(batch), expected) <= EXACT


def test_a_batchnorm_stays_where_folding_would_not_be_exact() -> None:
    apart = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4))
    no_statistics = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    groups = nn.Sequential(nn.ConvTranspose2d(4, 4, 2, groups=2), nn.BatchNorm2d(4))

    for layers in (apart, no_statistics, groups):
        fold_norms(layers)
        assert len(norms_of(layers)) == 1


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("channels", "light"), [((4, 5, 7, 3), False), ((8, 8, 16, 32), True)])
@torch.inference_mode()
def test_levels_are_fused_without_joining_them(dims: int, channels: tuple[int, ...], light: bool) -> None:
    fuse = Fuse(channels, 16, dims=dims, light=light).double().eval()
    levels = [torch.randn(2, c, *[16 // 2**level] * dims).double() for level, c in enumerate(channels)]
    fold_norms(fuse)
    assert can_split(fuse)

    for number, reference in enumerate(levels):
        grid = reference.shape[2:]
        split = SplitFuse(fuse, [max(2 ** (number - level), 1) for level in range(len(levels))])
        assert difference(split(levels, grid), fuse(levels, grid)) <= EXACT


def test_groups_that_see_two_levels_are_not_split() -> None:
    fuse = Fuse((3, 13), 16, light=True)
    fold_norms(fuse)

    assert fuse[0].groups > 1
    assert not can_split(fuse)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("size", [48, 24, 16, 12, 8, 6, 7, 1])
@torch.inference_mode()
def test_docking_looks_at_the_middle_pixels_alone(dims: int, size: int) -> None:
    dock = Dock(4, 6, dims=dims).double().eval()
    length = 24
    mixture = torch.randn(2, 4, *[length] * dims).double()
    computed: list[int] = []
    middle = MiddleDock(dock)
    expected = dock(mixture, [size] * dims)
    dock[0].register_forward_pre_hook(lambda _part, given: computed.append(given[0].shape[-1]))

    result = middle(mixture, [size] * dims)

    assert difference(result, expected) <= EXACT
    assert computed == [2 * size if size in (6, 1) else length]
