"""UTANet as a whole: sizes, stages, options, precision and determinism."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from src_model.errors import ModelError
from src_model.models.utanet import UTANet
from src_model.tiling.plan import Box

Make = Callable[..., UTANet]


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 16), (33, 50)])
@torch.inference_mode()
def test_any_size_comes_back(small_utanet: Make, stage: int, size: tuple[int, int]) -> None:
    result = small_utanet(stage=stage)(torch.randn(2, 3, *size))

    assert result.logits.shape == (2, 1, *size)
    assert torch.isfinite(result.logits).all()


@torch.inference_mode()
def test_grey_images_and_nine_classes(small_utanet: Make) -> None:
    assert small_utanet(in_channels=1, num_classes=9)(torch.randn(1, 1, 20, 20)).logits.shape == (
        1,
        9,
        20,
        20,
    )


@torch.inference_mode()
def test_the_inner_padding_mirrors_the_far_edges(small_utanet: Make) -> None:
    model = small_utanet()
    image = torch.randn(1, 3, 28, 32)
    mirrored = torch.cat([image, image[:, :, 23:27].flip(2)], 2)

    assert torch.equal(model(image).logits, model(mirrored).logits[:, :, :28])


def test_stage_1_has_no_mixture_and_says_so(small_utanet: Make) -> None:
    model = small_utanet(stage=1)

    result = model(torch.randn(1, 3, 16, 16), top_k=3)

    assert model.mixture is None
    assert result.routing is None
    assert float(result.balance_loss) == 0.0
    with pytest.raises(ModelError, match="stage 1 has no routers"):
        model(torch.randn(1, 3, 16, 16), routing=torch.ones(4, 4))
    with pytest.raises(ModelError, match="stage 1 has no experts"):
        model.expert_maps(torch.randn(1, 3, 16, 16))


@torch.inference_mode()
def test_a_routing_handed_back_gives_the_same_logits(small_utanet: Make) -> None:
    model = small_utanet()
    image = torch.randn(3, 3, 32, 32)
    result = model(image)

    again = model(image, routing=result.routing)
    other = model(image, routing=result.routing._replace(weights=result.routing.weights.flip(-1)))

    assert torch.equal(again.logits, result.logits)
    assert not torch.equal(other.logits, result.logits)


@torch.inference_mode()
def test_top_k_can_be_set_or_given_at_the_call(small_utanet: Make) -> None:
    model = small_utanet(top_k=1)
    image = torch.randn(2, 3, 16, 16)
    for_this_call = model(image, top_k=4)
    model.top_k = 4

    assert torch.equal(model(image).logits, for_this_call.logits)
    assert model.config["top_k"] == 4
    assert (for_this_call.routing.selected.sum(-1) == 4).all()


@pytest.mark.parametrize("top_k", [0, 5, 1.5])
def test_an_impossible_top_k_is_refused_everywhere(small_utanet: Make, top_k: Any) -> None:
    model = small_utanet()

    with pytest.raises(ModelError, match="from 1 to 4"):
        model.top_k = top_k
    with pytest.raises(ModelError, match="from 1 to 4"):
        model(torch.randn(1, 3, 16, 16), top_k=top_k)
    with pytest.raises(ModelError, match="from 1 to 4"):
        small_utanet(top_k=top_k)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (torch.zeros(1, 5, 16, 16), "5 channels but this network expects 3"),
        (torch.zeros(3, 16, 16), r"\(B, C, H, W\) but got 3 axes"),
        (torch.zeros(1, 3, 0, 16), "empty"),
        (torch.zeros(0, 3, 16, 16), "empty"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "floating-point"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(
    small_utanet: Make, image: torch.Tensor, sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence):
        small_utanet()(image)


def test_a_domain_is_refused(small_utanet: Make) -> None:
    with pytest.raises(ModelError, match="domain 'liver'"):
        small_utanet()(torch.zeros(1, 3, 16, 16), domain="liver")


@torch.inference_mode()
def test_evaluation_is_deterministic_and_changes_nothing(small_utanet: Make) -> None:
    model = small_utanet()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    image = torch.randn(2, 3, 32, 32)

    first, second = model(image), model(image)

    assert torch.equal(first.logits, second.logits)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_training_with_the_same_seed_chooses_the_same(small_utanet: Make) -> None:
    model = small_utanet(top_k=1).train()
    image = torch.randn(4, 3, 32, 32)
    torch.manual_seed(5)
    first = model(image)
    torch.manual_seed(5)
    second = model(image)

    assert torch.equal(first.routing.weights, second.routing.weights)
    assert torch.equal(first.logits, second.logits)


def test_every_weight_of_both_stages_learns(small_utanet: Make) -> None:
    for stage in (1, 2):
        model = small_utanet(stage=stage).train()
        result = model(torch.randn(4, 3, 32, 32))

        (result.logits.square().mean() + result.balance_loss).backward()

        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        # A bias just before BatchNorm cannot change the output.
        assert [name for name in still if not name.endswith("bias")] == []


def test_weights_of_stage_1_fit_into_stage_2(small_utanet: Make) -> None:
    first, second = small_utanet(stage=1), small_utanet(stage=2)

    unmatched = second.load_state_dict(first.state_dict(), strict=False)

    assert unmatched.unexpected_keys == []
    assert all(key.startswith("mixture.") for key in unmatched.missing_keys)


@torch.inference_mode()
def test_bfloat16_keeps_the_router_in_float32(small_utanet: Make) -> None:
    model = small_utanet().to(memory_format=torch.channels_last)
    image = torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last)
    expected = model(image)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = model(image)

    assert result.routing.probabilities.dtype == result.balance_loss.dtype == torch.float32
    assert result.logits.dtype == torch.bfloat16
    difference = (result.logits.float() - expected.logits).abs().max()
    assert difference < 0.1 * expected.logits.abs().max()


def test_bfloat16_trains(small_utanet: Make) -> None:
    model = small_utanet(top_k=1).train().to(memory_format=torch.channels_last)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = model(torch.randn(4, 3, 32, 32).to(memory_format=torch.channels_last))
    (result.logits.float().square().mean() + result.balance_loss).backward()

    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@torch.inference_mode()
def test_the_channels_last_format_reaches_the_decoder(small_utanet: Make) -> None:
    model = small_utanet().to(memory_format=torch.channels_last)
    seen: list[bool] = []
    model.decoder.register_forward_pre_hook(
        lambda _m, args: seen.extend(f.is_contiguous(memory_format=torch.channels_last) for f in args[0])
    )

    model(torch.randn(3, 3, 48, 32).to(memory_format=torch.channels_last))

    assert seen == [True] * 5


@torch.inference_mode()
def test_a_fresh_network_starts_sane(small_utanet: Make) -> None:
    logits = small_utanet(base_channels=16).train()(torch.randn(4, 3, 64, 64)).logits

    assert 0.01 < logits.std() < 10


@torch.inference_mode()
def test_expert_maps_cover_the_image_at_half_resolution(small_utanet: Make) -> None:
    model = small_utanet(mixture_width=6, num_experts=3)

    maps = model.expert_maps(torch.randn(2, 3, 33, 50))

    assert maps.shape == (2, 3, 6, 17, 25)


def test_attributes_say_what_the_network_takes(small_utanet: Make) -> None:
    model = small_utanet(in_channels=2, num_classes=5)

    assert (model.name, model.dims, model.required_multiple, model.num_experts) == ("utanet", 2, 16, 4)
    assert (model.in_channels, model.num_classes, model.stage, model.top_k) == (2, 5, 2, 2)


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize(
    "part", [Box(0, 0, 128, 90), Box(16, 0, 112, 64), Box(33, 47, 50, 43), Box(64, 64, 1, 1)], ids=str
)
def test_a_part_is_what_the_whole_gives_there(small_utanet: Make, stage: int, part: Box) -> None:
    model = small_utanet(stage=stage).eval()
    x = torch.randn(1, 3, 128, 90)

    with torch.no_grad():
        whole = model(x)
        found = model(x, part=part)

    assert close(found.logits, whole.logits[(..., *part.slices)])


def close(found: Tensor, expected: Tensor) -> bool:
    """Up to what a library rounds otherwise for another size."""
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_the_decoder_of_a_part_computes_little_more_than_it(small_utanet: Make) -> None:
    model = small_utanet(stage=1).eval()
    seen: list[tuple[int, ...]] = []
    for up in model.decoder.ups:  # type: ignore[union-attr]
        up.register_forward_hook(lambda _up, _given, made: seen.append(tuple(made.shape[2:])))

    with torch.no_grad():
        model(torch.randn(1, 3, 256, 256), part=Box(96, 64, 64, 96))

    assert seen == [(12, 16), (20, 28), (36, 52), (68, 100)]


def test_only_what_is_near_a_part_is_mixed(small_utanet: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UTANet, "near_halo", 32)
    model = small_utanet().eval()
    x = torch.randn(1, 3, 256, 256)
    part = Box(128, 0, 64, 64)
    mixed: list[tuple[int, ...]] = []
    assert model.mixture is not None
    model.mixture.register_forward_pre_hook(lambda _mixture, given: mixed.append(tuple(given[0][0].shape)))

    with torch.no_grad():
        whole = model(x)
        found = model(x, part=part, routing=whole.routing)

    assert mixed[1][2:] == (128, 96)
    assert close(found.logits, whole.logits[(..., *part.slices)])


def test_a_part_up_to_an_edge_that_is_no_multiple_has_the_size_of_the_image(small_utanet: Make) -> None:
    model = small_utanet().eval()

    with torch.no_grad():
        found = model(torch.randn(1, 3, 70, 90), part=Box(16, 32, 54, 58))

    assert found.logits.shape == (1, 1, 54, 58)
