"""Networks by name: what exists, what is refused and what is suggested."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from src_model.errors import ModelError
from src_model.models.registry import create_model, list_models


def test_utanet_is_listed() -> None:
    assert "utanet" in list_models()


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ModelError, match="no network 'UTAnett'; did you mean 'utanet'"):
        create_model("UTAnett")


def test_a_name_like_none_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="known: utanet"):
        create_model("zzz")


def test_an_unknown_option_names_the_known_ones() -> None:
    with pytest.raises(
        ModelError, match=r"no option 'num_expert'; did you mean 'num_experts'\? Known: encoder, base_ch"
    ):
        create_model("utanet", num_expert=3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"in_channels": 0}, "in_channels must be a whole number of at least 1 but got 0"),
        ({"num_classes": 1.0}, "num_classes must be a whole number of at least 1 but got 1.0"),
        ({"stage": 3}, "stage must be 1 .* got 3"),
        ({"base_channels": 5}, "base_channels must be an even number but got 5"),
        ({"num_experts": "4"}, "num_experts must be a whole number of at least 1 but got '4'"),
        ({"mixture_width": 0}, "mixture_width must be a whole number"),
        ({"ev_loss": "off"}, "ev_loss must be true or false but got 'off'"),
        ({"top_k": 5}, "top_k must be a whole number from 1 to 4 .* got 5"),
        ({"router_temperature": -1}, "router_temperature must be a finite number above 0 but got -1"),
        ({"encoder": "resnet50"}, "encoder must be one of 'resnet34', .* but got 'resnet50'"),
    ],
)
def test_a_value_out_of_bounds_is_named(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        create_model("utanet", **arguments)


@pytest.mark.parametrize("name", list_models())
def test_no_network_takes_top_k_0_or_a_width_of_0(name: str) -> None:
    with pytest.raises(ModelError, match=r"top_k must be a whole number .* got 0"):
        create_model(name, top_k=0)
    with pytest.raises(ModelError, match="base_channels must be a whole number of at least 1 but got 0"):
        create_model(name, base_channels=0)


def test_listing_networks_and_reading_a_description_need_no_torch() -> None:
    code = (
        "import sys, src_model; src_model.list_models(); import src_model.models.checkpoint;"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_network_can_be_made_again_from_its_config() -> None:
    model = create_model(
        "utanet", in_channels=1, num_classes=4, top_k=3, base_channels=2, double_softmax=False
    )

    options = model.config.pop("options")
    arguments = {key: value for key, value in model.config.items() if key != "options"}

    assert create_model(**arguments, **options).config == model.config
