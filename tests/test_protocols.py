"""The named protocols: complete, each key with its source, and trainable as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from src_model.config import TrainConfig
from src_model.errors import ConfigError
from src_model.nested import merge
from src_model.protocols import list_protocols, protocol, protocol_file, purpose
from src_model.training.stages import plan_stages

_SOURCES = ("paper", "code", "published code", "field", "ours", "the dataset", "none")


def _config(name: str) -> TrainConfig:
    return TrainConfig.parse(merge(protocol(name), {"data": {"root": Path("images")}, "out": "run"}))


def test_the_protocols_of_the_papers_are_there() -> None:
    assert {
        "paper-glas",
        "paper-monuseg",
        "paper-synapse",
        "paper-isic16",
        "light-kvasir",
        "light-isic18",
        "u2net3d-decathlon",
        "native",
        "quick",
    } <= set(list_protocols())


@pytest.mark.parametrize("name", list_protocols())
def test_a_protocol_is_a_valid_configuration_of_a_network_that_exists(name: str) -> None:
    plan = plan_stages(_config(name))

    assert plan.stages
    assert plan.warnings == ()


@pytest.mark.parametrize("name", list_protocols())
def test_every_key_of_a_protocol_says_where_it_comes_from(name: str) -> None:
    lines = protocol_file(name).read_text(encoding="utf-8").splitlines()
    values = [line for line in lines if re.match(r"\s*[a-z_0-9]+: \S", line) and not line.startswith("#")]

    silent = [line for line in values if not line.partition("  # ")[2].startswith(_SOURCES)]

    assert values
    assert silent == []


@pytest.mark.parametrize("name", list_protocols())
def test_a_protocol_says_what_it_is_for_in_its_first_line(name: str) -> None:
    assert len(purpose(name).split()) > 5
    assert purpose(name).endswith(".")


@pytest.mark.parametrize("name", list_protocols())
def test_no_key_of_a_protocol_is_given_twice(name: str) -> None:
    class Strict(yaml.SafeLoader):
        """Refuses what YAML would silently overwrite."""

    def mapping(loader: Strict, node: yaml.MappingNode) -> dict[str, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys))
        return loader.construct_mapping(node, deep=True)

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)

    yaml.load(protocol_file(name).read_text(encoding="utf-8"), Strict)


def test_a_cross_validation_that_is_reported_on_never_chooses_its_epoch_by_what_it_scores() -> None:
    for name in list_protocols():
        config = _config(name)
        assert config.data.folds is None or config.keep == "last"


def test_an_unknown_protocol_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no protocol 'fast'; choose one of: .*paper-glas.*quick"):
        protocol("fast")
