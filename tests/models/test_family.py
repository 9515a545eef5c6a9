"""What sets each network of the family apart: its budget, its parts and its switches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from src_model.errors import ModelError
from src_model.models.aspp import ASPP
from src_model.models.backbones import ENCODER_NAMES, make_encoder
from src_model.models.experts import RouterBank
from src_model.models.profile import count_gmac, count_parameters
from src_model.models.receptive_experts import GlobalExpert, LocalExpert
from src_model.models.registry import create_model, models_with_weights
from src_model.models.skips import MixtureOfSkips
from src_model.tiling.plan import Box


@pytest.mark.parametrize(
    ("name", "parameters", "gmac"),
    [("light-utanet-mobile", 3.5e6, 2.5), ("light-utanet-slim", 12.3e6, 5.8)],
)
def test_the_small_networks_stay_within_their_budget(name: str, parameters: float, gmac: float) -> None:
    model = create_model(name, top_k=4)  # every expert runs

    assert count_parameters(model) <= parameters
    assert count_gmac(model, 224, 224) <= gmac


@pytest.mark.parametrize("name", ENCODER_NAMES)
@torch.inference_mode()
def test_an_encoder_keeps_what_it_says_of_its_levels(name: str) -> None:
    encoder = make_encoder(name, 2, 8).eval()

    features = encoder(torch.randn(1, 2, 64, 96))

    assert [f.shape[1] for f in features] == list(encoder.channels)
    assert [tuple(f.shape[2:]) for f in features] == [(64 // s, 96 // s) for s in encoder.strides]


@pytest.mark.parametrize("encoder", ENCODER_NAMES)
@pytest.mark.parametrize("name", models_with_weights())
@torch.inference_mode()
def test_the_narrowest_network_works_with_every_encoder(name: str, encoder: str) -> None:
    model = create_model(name, stage=1, base_channels=2, encoder=encoder).eval()

    assert model(torch.randn(1, 3, 20, 20)).logits.shape == (1, 1, 20, 20)


def test_mobilenet_is_the_published_one() -> None:
    encoder = make_encoder("mobilenetv2", 3, 64)
    shapes = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}

    # 3,504,872 in torchvision less the last convolution, its BatchNorm and the classifier
    assert count_parameters(encoder.features) == 3_504_872 - (320 * 1280 + 2 * 1280) - 1281 * 1000
    assert shapes["features.0.0.weight"] == (32, 3, 3, 3)
    assert shapes["features.1.conv.0.0.weight"] == (32, 1, 3, 3)
    assert shapes["features.1.conv.1.weight"] == (16, 32, 1, 1)
    assert shapes["features.14.conv.1.0.weight"] == (576, 1, 3, 3)
    assert shapes["features.17.conv.3.running_mean"] == (320,)


@torch.inference_mode()
def test_mobilenet_at_stride_16_differs_in_resolution_and_reach_alone() -> None:
    fine, coarse = make_encoder("mobilenetv2-16", 3, 8), make_encoder("mobilenetv2", 3, 8)

    assert fine.strides == coarse.strides[:-1]
    assert fine.state_dict().keys() == coarse.state_dict().keys()


def test_the_hierarchical_experts_see_ever_more() -> None:
    experts = create_model("light-utanet", base_channels=4).mixture.experts

    *local, whole = experts
    assert [expert.look.dilation[0] for expert in local if isinstance(expert, LocalExpert)] == [1, 2, 4]
    assert isinstance(whole, GlobalExpert)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_light_mixture_has_one_decision_for_all_levels(dims: int) -> None:
    mixture = MixtureOfSkips(
        (8, 16, 24), (1, 2, 4), dims=dims, width=16, light=True, hierarchical_experts=True
    )
    features = [torch.randn(2, c, *[16 // s] * dims) for c, s in zip((8, 16, 24), (1, 2, 4), strict=True)]

    skips, balance, routing = mixture(features)

    assert [skip.shape for skip in skips] == [feature.shape for feature in features]
    assert routing.weights.shape == (2, 1, 4)
    assert balance.ndim == 0
    assert all(docker[0].groups > 1 for docker in mixture.dockers)


def test_the_temperature_softens_the_routers() -> None:
    sharp, soft = (RouterBank(8, 2, 4, temperature=temperature) for temperature in (1.0, 4.0))
    soft.load_state_dict(sharp.state_dict())
    features = torch.randn(3, 8, 5, 5) * 20

    logits = sharp(features).log()
    assert torch.allclose(soft(features), (logits / 4).softmax(-1), atol=1e-6)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), "2", True])
def test_an_impossible_temperature_is_refused(temperature: object) -> None:
    with pytest.raises(ModelError, match="router_temperature must be a finite number above 0"):
        create_model("utanet", base_channels=4, router_temperature=temperature)


def test_an_unknown_encoder_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"encoder must be one of 'resnet34', .* but got 'vgg'"):
        create_model("utanet", encoder="vgg")


def test_each_switch_changes_the_network_it_is_for() -> None:
    plain = create_model("utanet", base_channels=8)
    switched = create_model(
        "utanet", base_channels=8, light_decoder=True, light_aspp=True, hierarchical_experts=True
    )

    assert isinstance(plain.bottleneck, nn.Identity)
    assert not isinstance(switched.bottleneck, nn.Identity)
    assert count_parameters(switched.decoder) < count_parameters(plain.decoder) / 2
    assert isinstance(switched.mixture.experts[3], GlobalExpert)


@pytest.mark.parametrize("name", ["utanet", "light-utanet", "light-utanet-mobile", "utanet-plusplus"])
@pytest.mark.parametrize("stride", [1, 8, 16])
@torch.inference_mode()
def test_a_mixture_may_work_on_any_grid_that_it_mixes(name: str, stride: int) -> None:
    model = create_model(name, base_channels=8, mixture_stride=stride, mix_deepest=True).eval()
    image = torch.randn(1, 3, 35, 50)

    assert model(image).logits.shape == (1, 1, 35, 50)
    assert model(image).routing.weights.shape[1] == (1 if name.startswith("light") else 5)
    assert model.expert_maps(image).shape[-2:] == (-(-35 // stride), -(-50 // stride))


@torch.inference_mode()
def test_with_the_deepest_features_mixed_too_a_residual_mixture_begins_at_the_plain_network() -> None:
    options = {"base_channels": 8, "residual_skips": True, "mixture_stride": 8, "mix_deepest": True}
    mixed, plain = (create_model("utanet", stage=stage, **options).eval() for stage in (2, 1))
    plain.load_state_dict({key: mixed.state_dict()[key] for key in plain.state_dict()})
    image = torch.randn(1, 3, 32, 32)

    assert torch.equal(mixed(image).logits, plain(image).logits)


def test_a_coarse_mixture_misses_no_pixel_of_the_finest_features() -> None:
    mixture = MixtureOfSkips((4, 4), (1, 8), reference_level=1).eval()
    fine = torch.randn(1, 4, 32, 32, requires_grad=True)

    mixture.fused([fine, torch.randn(1, 4, 4, 4)]).square().sum().backward()

    assert fine.grad is not None
    assert (fine.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize(("stride", "options"), [(3, {}), (16, {}), (32, {"mix_deepest": True})])
def test_a_grid_that_is_not_mixed_is_refused_with_those_that_are(
    stride: int, options: dict[str, bool]
) -> None:
    with pytest.raises(ModelError, match=rf"mixture_stride must be one of 1, 2, 4, 8.* but got {stride}"):
        create_model("utanet", base_channels=4, mixture_stride=stride, **options)


def test_deep_supervision_is_for_training_only() -> None:
    model = create_model("utanet-plusplus", base_channels=8, level_channels=8)
    image = torch.randn(2, 3, 33, 47)

    assert [tuple(side.shape) for side in model.train()(image).auxiliary] == [(2, 1, 33, 47)] * 4
    assert model.auxiliary_weights == (0.5, 0.3, 0.15, 0.05)
    assert model.eval()(image).auxiliary == ()


def test_deep_supervision_and_attention_can_be_left_out() -> None:
    model = create_model(
        "utanet-plusplus",
        base_channels=8,
        level_channels=8,
        deep_supervision=False,
        gated_attention=False,
        light_decoder=True,
    ).train()

    assert model(torch.randn(2, 3, 32, 32)).auxiliary == ()
    assert model.auxiliary_weights == ()
    assert not any(name.startswith(("decoder.gates", "side_heads")) for name in model.state_dict())


@torch.inference_mode()
def test_each_decoder_level_of_plusplus_sees_all_five() -> None:
    decoder = create_model("utanet-plusplus", base_channels=8, level_channels=8, stage=1).decoder.eval()
    features = [
        torch.rand(1, c, 32 // s, 32 // s) for c, s in zip((8, 8, 16, 32, 64), (1, 2, 4, 8, 16), strict=True)
    ]
    before = decoder(features)

    for changed in range(5):
        other = [f + 1 if number == changed else f for number, f in enumerate(features)]
        after = decoder(other)
        # A finer feature reaches a coarser level by pooling, a coarser one through the levels below.
        assert all(
            not torch.equal(a, b) for a, b in zip(after[: changed + 1], before[: changed + 1], strict=True)
        )
        assert not torch.equal(after[3], before[3])


@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize("part", [Box(0, 0, 20, 30), Box(0, 12, 9, 18), Box(7, 5, 6, 8)], ids=str)
def test_an_aspp_sees_all_of_a_map_to_make_a_part_of_the_result(light: bool, part: Box) -> None:
    aspp = ASPP(8, 4, light=light).eval()
    x = torch.randn(2, 8, 20, 30)

    with torch.no_grad():
        assert torch.allclose(aspp(x, part), aspp(x)[(..., *part.slices)], atol=1e-6)
