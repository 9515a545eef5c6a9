"""What a network concludes from a whole image can be recorded, kept as plain data, and held for its parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src_model.errors import ModelError
from src_model.inference.global_pools import GlobalPools
from src_model.inference.optimise import optimise
from src_model.models.base import SegmentationModel
from src_model.models.experts import mixture_weights
from src_model.models.registry import create_model, list_models, model_class

NARROW = {"base_channels": 8, "mixture_width": 8, "level_channels": 8}
LESS_NARROW = {"light-utanet-mobile": {"base_channels": 16}}
WITH_MIXTURE = [name for name in list_models(dims=2) if model_class(name).has_mixture]

every = pytest.mark.parametrize("name", list_models(dims=2))
rewritten = pytest.mark.parametrize("fast", [False, True], ids=["plain", "rewritten"])


@pytest.fixture(autouse=True)
def _fixed_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        yield


def ready(name: str, fast: bool = False, **options: Any) -> SegmentationModel:
    """A narrow network, as after some training."""
    known = model_class(name).default_options()
    narrow = {option: value for option, value in NARROW.items() if option in known}
    model = create_model(name, **{**narrow, **LESS_NARROW.get(name, {}), **options})
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.randn(8, model.in_channels, 32, 32))
    return optimise(model) if fast else model.eval()


def images(batch: int = 1, height: int = 32, width: int = 48) -> Tensor:
    """Each of another brightness, so that their means differ."""
    return torch.randn(batch, 3, height, width) + torch.linspace(-1, 1, batch).reshape(-1, 1, 1, 1)


def recorded(model: nn.Module, *batches: Tensor) -> GlobalPools:
    pools = GlobalPools(model)
    with pools.recording():
        for batch in batches:
            model(batch)
    return pools


def difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@every
@rewritten
def test_two_tiles_with_much_context_are_equal_to_the_whole(name: str, fast: bool) -> None:
    model = ready(name, fast)
    whole = images(width=1536)
    pools = recorded(model, whole)

    with pools.held():
        expected = model(whole).logits
        left, right = model(whole[..., :1280]).logits, model(whole[..., 256:]).logits

    assert difference(torch.cat([left[..., :768], right[..., 512:]], dim=-1), expected) < 1e-4
    if pools.names:
        alone = model(whole[..., :1280]).logits
        assert difference(alone[..., :768], expected[..., :768]) > 1e-4, "the pools would not matter here"


@pytest.mark.parametrize("name", list_models(dims=2))
def test_the_whole_is_as_before_with_its_own_pools_held(name: str) -> None:
    """But for the light networks, which see every pixel as in the middle of the image."""
    model = ready(name)
    whole = images()
    expected = model(whole)

    with recorded(model, whole).held():
        result = model(whole)

    if name.startswith("light"):
        assert 1e-3 < difference(result.logits, expected.logits) < 1
    else:
        assert difference(result.logits, expected.logits) < 1e-5
    if expected.routing is not None:
        assert torch.allclose(result.routing.weights, expected.routing.weights, atol=1e-3)


@every
def test_recording_changes_nothing_and_leaves_nothing_behind(name: str) -> None:
    model = ready(name)
    batch = images(2)
    expected = model(batch).logits

    pools = GlobalPools(model)
    with pools.recording():
        assert torch.equal(model(batch).logits, expected)
    with pools.held():
        pass

    assert torch.equal(model(batch).logits, expected)
    assert not any(part._forward_hooks for part in model.modules())


@every
def test_the_values_are_plain_data_that_another_process_can_load(name: str) -> None:
    model, batch = ready(name, fast=True), images()
    pools = recorded(model, images(3))

    again = GlobalPools(model)
    again.load(json.loads(json.dumps(pools.values)))

    with pools.held():
        expected = model(batch).logits
    with again.held():
        assert torch.equal(model(batch).logits, expected)
    assert again.values == pools.values


def test_the_mean_is_over_all_pixels_that_were_seen() -> None:
    model = ready("utanet")
    small, large = images(2, 16, 16), images(1, 64, 48)
    features: list[Tensor] = []
    hook = model.mixture.routers.register_forward_hook(lambda _part, given, _out: features.append(given[0]))

    pools = recorded(model, small, large)
    hook.remove()

    pixels = torch.cat([one.movedim(1, -1).flatten(0, -2) for one in features])
    (values,) = pools.values.values()
    assert torch.allclose(torch.tensor(values), pixels.mean(0), atol=1e-5)


@pytest.mark.parametrize("name", WITH_MIXTURE)
def test_the_routing_is_that_of_the_mean_and_alike_for_all_samples(name: str) -> None:
    model = ready(name)
    scouted = images(4)
    pools = recorded(model, scouted)
    alone = model(scouted).routing

    for top_k in (1, 2, 3):
        with pools.held():
            routing = model(images(2), top_k=top_k).routing

        mean = alone.probabilities.log().mean(0).softmax(-1)
        assert torch.allclose(routing.probabilities, mean.expand_as(routing.probabilities), atol=1e-5)
        assert torch.allclose(routing.weights, mixture_weights(routing.probabilities, top_k))
    assert not torch.allclose(alone.probabilities[0], alone.probabilities[-1], atol=1e-4)


def test_an_expert_that_no_scout_chose_has_a_value_all_the_same() -> None:
    model = ready("light-utanet")
    pools = recorded(model, images(2))
    only_global = torch.tensor([[0.0, 0.0, 0.0, 1.0]])

    with pools.held():
        first, second = images(1), images(1) + 1
        assert model.mixture.experts[3].pool.held is not None
        both = model(torch.cat([first, second]), routing=only_global).logits
        alone = model(first, routing=only_global).logits

    assert difference(both[:1], alone) < 1e-5
    assert set(pools.names) == {"bottleneck.pool", "mixture.routers.pool"}


@rewritten
def test_what_is_held_is_alike_in_bfloat16(fast: bool) -> None:
    model, batch = ready("light-utanet", fast), images(2)
    pools = recorded(model, images(3))

    with pools.held():
        expected = model(batch).logits
        with torch.autocast("cpu", torch.bfloat16):
            result = model(batch).logits

    assert difference(result.float(), expected) < 0.1


def test_after_an_error_nothing_is_held() -> None:
    model, batch = ready("utanet"), images()
    expected = model(batch).logits
    pools = recorded(model, images(2))

    with pytest.raises(RuntimeError, match="stop"), pools.held():
        raise RuntimeError("stop")

    assert torch.equal(model(batch).logits, expected)


def test_nothing_can_be_held_that_was_not_recorded() -> None:
    model = ready("utanet")
    pools = recorded(model, images())
    pools.clear()

    with pytest.raises(ModelError, match="have no values yet"), pools.held():
        pass


@pytest.mark.parametrize(
    "values",
    [{}, {"another.pool": [0.0]}, {"mixture.routers.pool": ["a"]},
     {"mixture.routers.pool": [float("nan")] * 8}, {"mixture.routers.pool": 1.0},
     {"mixture.routers.pool": [0.0] * 9}],
    ids=["none", "of another network", "words", "not finite", "no list", "of another width"],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(values: dict[str, Any]) -> None:
    pools = GlobalPools(ready("utanet"))

    with pytest.raises(ModelError, match="global pool"):
        pools.load(values)


def test_every_mean_over_an_image_is_a_global_pool() -> None:
    counts = {name: len(GlobalPools(ready(name)).names) for name in list_models(dims=2)}

    assert counts == {
        "utanet": 1, "light-utanet": 2, "light-utanet-slim": 2, "light-utanet-mobile": 2,
        "utanet-plusplus": 5, "utanet-stage1": 0, "unet": 0, "unetpp": 0, "deeplabv3plus": 1,
    }  # fmt: skip


@rewritten
@pytest.mark.parametrize("name", WITH_MIXTURE)
def test_a_look_records_the_same_and_ends_once_every_pool_has_seen_the_image(name: str, fast: bool) -> None:
    model, batch = ready(name, fast), images()
    ends: list[Any] = []

    looked = GlobalPools(model)
    looked.look(lambda: ends.append(model(batch)))

    assert looked.values == recorded(model, batch).values
    assert not ends
    assert model(batch).logits.shape == (1, 1, 32, 48)  # nothing of the look is left


def test_a_look_by_a_network_without_pools_is_a_pass() -> None:
    model = nn.Identity()
    ends: list[Tensor] = []

    GlobalPools(model).look(lambda: ends.append(model(images())))

    assert len(ends) == 1
