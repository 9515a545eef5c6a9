"""What was claimed for the networks, beside what the published code and this project measure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from generated import table
from measures import encoder_gmac, gmac, mixture_parameters, outline, parameters
from torch import nn

from src_model.models.aspp import ASPP
from src_model.models.domain_conv import DomainConv, Sharing
from src_model.models.profile import count_parameters
from src_model.models.universal3d import U2Net3D

TOLERANCE = 1.05
"""A claimed figure is met by one at most so many times as large: claims are rounded."""
PUBLISHED_UNUSED = 522_536
"""Parameters that the published UTANet has and never uses."""
DECATHLON = {
    "heart": {"in_channels": 1, "num_classes": 2},
    "liver": {"in_channels": 1, "num_classes": 2},
    "hippocampus": {"in_channels": 1, "num_classes": 3},
    "prostate": {"in_channels": 2, "num_classes": 3},
    "pancreas": {"in_channels": 1, "num_classes": 2},
}
"""The five domains of the 3D U2-Net; liver and pancreas each with their tumours as one class."""


class Claim(NamedTuple):
    """A row of the table."""

    network: str
    claim: str
    source: str
    """Number in the list below the table."""
    published: str
    """As the published code measures."""
    ours: str
    verdict: str


def claims_table() -> str:
    """All claims as a table in Markdown."""
    heads = ("network", "claim", "source", "published code", "ours", "verdict")
    groups = (_utanet(), _plus_plus(), _light(), _steps_to_light(), _mobile(), _universal())
    return table(heads, [claim for group in groups for claim in group])


def holds(*pairs: tuple[float, float]) -> str:
    """The verdict on figures claimed and measured."""
    met = all(measured <= TOLERANCE * claimed for claimed, measured in pairs)
    return "Holds." if met else "Does not hold."


def percent(share: float, digits: int = 1) -> str:
    """As the documentation writes it."""
    return f"{100 * share:.{digits}f} %"


def _utanet() -> Iterator[Claim]:
    whole, mixture = parameters("utanet"), mixture_parameters("utanet")
    first, second = gmac("utanet", stage=1), gmac("utanet")
    yield Claim(
        "`utanet`",
        "minimal parameter overhead over a plain U-Net (no figure stated)",
        "1",
        f"{whole + PUBLISHED_UNUSED:,} parameters, {PUBLISHED_UNUSED:,} of them never used",
        f"the mixture adds {mixture:,} parameters ({percent(mixture / (whole - mixture))}) and at most "
        f"{second - first:.2f} GMAC ({percent(second / first - 1, 0)})",
        "Holds for the parameters; it is not free in multiply-adds.",
    )
    yield Claim(
        "`utanet`",
        "24.8 M parameters",
        "2",
        f"{whole + PUBLISHED_UNUSED:,}",
        f"{whole:,}",
        f"{holds((24.8e6, whole))} Ours is the published network without the parameters that are never used.",
    )
    yield Claim(
        "`utanet`",
        "12.4 G",
        "2",
        "18.87 GMAC in stage 1, 22.98 in stage 2",
        f"{first:.2f} GMAC in stage 1, at most {second:.2f} in stage 2",
        f"{holds((12.4, second))} It cannot: the ResNet34 encoder at full resolution alone takes "
        f"{encoder_gmac('utanet'):.2f} GMAC. Ours takes less than the published code because an expert runs "
        "once for an image, however many routers chose it.",
    )


def _plus_plus() -> Iterator[Claim]:
    ours = parameters("utanet-plusplus")
    more = ours - parameters("utanet")
    for claimed, source in ((28.5, "2"), (26, "3")):
        yield Claim(
            "`utanet-plusplus`",
            f"{claimed:g} M parameters",
            source,
            "not counted",
            f"{ours:,}",
            f"{holds((claimed * 1e6, ours))} Ours has fewer; sources 2 and 3 differ.",
        )
    yield Claim(
        "`utanet-plusplus`",
        "1 to 2 M parameters more than UTANet",
        "3",
        "not counted",
        f"{more:,} more",
        holds((2e6, more)),
    )


def _light() -> Iterator[Claim]:
    ours, cost = parameters("light-utanet"), gmac("light-utanet")
    slim, slim_cost = parameters("light-utanet-slim"), gmac("light-utanet-slim")
    encoder = count_parameters(_part("light-utanet", "encoder"))
    yield Claim(
        "`light-utanet`",
        "12.3 M parameters",
        "2",
        f"{ours + PUBLISHED_UNUSED:,}",
        f"{ours:,}",
        f"{holds((12.3e6, ours))} It cannot: the ResNet34 encoder alone has {encoder:,}. Ours is the "
        "published network without the parameters that are never used.",
    )
    yield Claim(
        "`light-utanet`",
        "5.8 G",
        "2",
        "15.77 GMAC",
        f"at most {cost:.2f} GMAC",
        f"{holds((5.8, cost))} It cannot: the encoder alone takes {encoder_gmac('light-utanet'):.2f} GMAC, "
        "because its stem keeps the full resolution. (15.77 is an image whose router chose the global "
        "expert, which costs next to nothing.)",
    )
    yield Claim(
        "`light-utanet-slim`",
        "12.3 M parameters, 5.8 G: what was claimed for the light network",
        "2",
        "no such network",
        f"{slim:,} parameters, at most {slim_cost:.2f} GMAC",
        f"{holds((12.3e6, slim), (5.8, slim_cost))} It has ResNet34's own strided stem and three of its four "
        "stages.",
    )
    yield Claim(
        "`light-utanet`",
        "82 images a second where UTANet has 45",
        "2",
        "not measured",
        "latencies above",
        "Cannot be compared: the source names no GPU.",
    )


def _steps_to_light() -> Iterator[Claim]:
    """What each step from UTANet to the light network is said to save."""
    rest = parameters("utanet") - count_parameters(_part("utanet", "encoder"))
    steps = {"light_decoder": True}
    yield Claim(
        "`utanet` with `light_decoder`",
        "18.2 M parameters, 8.9 G",
        "2",
        "not counted",
        _size(**steps),
        f"{holds((18.2e6, parameters('utanet', **steps)), (8.9, gmac('utanet', **steps)))} It cannot: 6.6 M "
        f"less than UTANet are claimed, but all of UTANet beside its encoder has {rest / 1e6:.2f} M, "
        f"and the encoder alone takes {encoder_gmac('utanet'):.2f} GMAC.",
    )
    steps["light_aspp"] = True
    yield Claim(
        "the same with `light_aspp`",
        "15.6 M parameters, 7.3 G",
        "2",
        "not counted",
        _size(**steps),
        f"{holds((15.6e6, parameters('utanet', **steps)), (7.3, gmac('utanet', **steps)))} It cannot: UTANet "
        "has no ASPP for a light one to replace, so it adds to the network.",
    )
    with torch.device("meta"):
        light, full = (ASPP(512, 512, light=light) for light in (True, False))
    ours, dense = count_parameters(light), count_parameters(full)
    yield Claim(
        "light ASPP, 512 channels",
        "1.1 M parameters instead of 3.7 M: 70 % less",
        "2",
        "not counted",
        f"{ours / 1e6:.2f} M instead of {dense / 1e6:.2f} M: {percent(1 - ours / dense, 0)} less",
        f"{holds((1.1e6, ours))} It cannot: joining four branches of 512 channels alone takes "
        f"{count_parameters(light.project) / 1e6:.2f} M. The saving is nearly as claimed.",
    )


def _mobile() -> Iterator[Claim]:
    ours, cost = parameters("light-utanet-mobile"), gmac("light-utanet-mobile")
    yield Claim(
        "`light-utanet-mobile`",
        "8.7 M parameters, 3.2 G",
        "2",
        "crashes",
        f"{ours:,} parameters, at most {cost:.2f} GMAC",
        f"{holds((8.7e6, ours), (3.2, cost))} Ours is far smaller than claimed; the published variant "
        "never ran, so its figures cannot be checked.",
    )


def _universal() -> Iterator[Claim]:
    universal, independent = (_volumes(mode) for mode in ("universal", "independent"))
    five, apart = count_parameters(universal), count_parameters(independent)
    dense = _dense_strided(universal)
    separable = five - count_parameters(universal.downs) + _separable_downs(universal)
    own, alone = (_of_domain(network, "heart") for network in (universal, independent))
    yield Claim(
        "`u2net3d`",
        "about 1 % of the parameters of independent networks (five domains)",
        "4",
        "not counted",
        f"{five:,} of {apart:,}: {percent(five / apart)}",
        f"{holds((0.01, five / apart))} It cannot: the strided convolutions between the levels are shared "
        f"but dense and alone have {dense:,}. Were they separable too it would be "
        f"{percent(separable / apart)}; without them, {percent((five - dense) / apart)}.",
    )
    yield Claim(
        "`u2net3d`",
        "one more domain takes a minimal number of parameters (no figure stated)",
        "4",
        "not counted",
        f"{own:,} more: {percent(own / five)} of the universal network, {percent(own / alone, 2)} of an "
        "independent one",
        "Holds.",
    )


def _size(**options: bool) -> str:
    return f"{parameters('utanet', **options):,} parameters, at most {gmac('utanet', **options):.2f} GMAC"


def _part(name: str, part: str) -> nn.Module:
    return outline(name, stage=1).get_submodule(part)


def _volumes(mode: str) -> U2Net3D:
    """The 3D U2-Net for the five domains at the paper's size: five poolings, 16 base channels."""
    with torch.device("meta"):
        return U2Net3D(domains=DECATHLON, mode=mode, base_channels=16, poolings=(5, 5, 5))


def _of_domain(network: U2Net3D, domain: str) -> int:
    return sum(parameter.numel() for parameter in network.domain_parameters(domain))


def _dense_strided(network: U2Net3D) -> int:
    """Parameters of the strided convolutions, without the normalisations behind them."""
    return sum(count_parameters(down.conv.conv) for down in network.downs)


def _separable_downs(network: U2Net3D) -> int:
    """What the down-samplings would have were their convolutions separable like the others."""
    sharing = Sharing(tuple(network.domains.values()), "universal", "separable")
    channels = [16 * 2**level for level in range(len(network.downs))]
    with torch.device("meta"):
        return sum(count_parameters(DomainConv(sharing, width, 2 * width)) for width in channels)
