"""A network that runs in strips of rows gives exactly what it gives in one pass, in less memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from src_model.inference import maps
from src_model.inference.cpu_layers import run_in_strips
from src_model.inference.fused import fuse_passes
from src_model.inference.global_pools import GlobalPools
from src_model.inference.maps import Maps
from src_model.inference.optimise import optimise
from src_model.inference.strips import Strips
from src_model.models.base import SegmentationModel
from src_model.models.registry import create_model

NETWORKS = ["utanet", "light-utanet", "light-utanet-mobile", "light-utanet-slim", "utanet-plusplus"]
SIZES = [(160, 96), (144, 48), (112, 64)]
"""Heights that strips divide evenly, and others."""


@pytest.fixture(autouse=True)
def _short_strips_and_fixed_random_numbers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(maps, "STRIP_BYTES", 1 << 15)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def both(name: str) -> tuple[SegmentationModel, SegmentationModel]:
    """A network as it runs at once, and the same in strips."""
    options = {"base_channels": 16} if name == "light-utanet-mobile" else {"base_channels": 8}
    model = create_model(name, **options)
    model.train()(torch.randn(4, 3, 64, 64))
    at_once = optimise(model.eval())
    fuse_passes(at_once)
    at_once.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    in_strips = copy.deepcopy(at_once)
    run_in_strips(in_strips, Maps())
    return at_once, in_strips


def image(height: int, width: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, 3, height, width).contiguous(memory_format=torch.channels_last)


def close(found: Tensor, expected: Tensor) -> bool:
    """Up to what a library rounds otherwise for another number of rows."""
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", SIZES)
@torch.inference_mode()
def test_the_values_are_the_same(name: str, size: tuple[int, int]) -> None:
    at_once, in_strips = both(name)
    x = image(*size)

    assert close(in_strips(x).logits, at_once(x).logits)


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_the_values_are_the_same_where_global_pools_are_held(name: str) -> None:
    at_once, in_strips = both(name)
    x, found = image(160, 96), []

    pools = GlobalPools(at_once)
    with pools.recording():
        at_once(image(64, 64))
    for model in (at_once, in_strips):
        held = GlobalPools(model)
        if held.names:
            assert set(held.names) == set(pools.names)
            held.load(pools.values)
            held.hold()
        found.append(model(x).logits)

    assert close(found[1], found[0])


@torch.inference_mode()
def test_the_values_of_several_images_are_those_of_each() -> None:
    at_once, in_strips = both("light-utanet-mobile")
    x = image(160, 64, batch=3)

    assert close(in_strips(x).logits, at_once(x).logits)


@torch.inference_mode()
def test_a_global_expert_decides_by_the_whole_image_and_forgets_it() -> None:
    _, in_strips = both("light-utanet-mobile")
    pools = [part for part in in_strips.modules() if hasattr(part, "held")]

    in_strips(image(160, 64))

    assert pools
    assert all(pool.held is None for pool in pools)


@torch.inference_mode()
def test_wide_maps_are_made_of_a_few_rows_only() -> None:
    _, in_strips = both("light-utanet-mobile")
    seen: list[int] = []
    block = next(
        part
        for name, part in in_strips.named_modules()
        if isinstance(part, Strips) and name.endswith("features.2")
    )
    block.layer.register_forward_pre_hook(lambda _layer, given: seen.append(given[0].shape[2]))

    in_strips(image(320, 64))

    assert seen == [54 + 2 * block.margin] * 3  # of 160 rows
