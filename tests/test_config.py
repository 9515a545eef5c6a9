"""The configuration refuses what it does not know, in one sentence, and survives YAML."""

import subprocess
import sys
from pathlib import Path

import pytest

from src_model.config import TrainConfig
from src_model.errors import ConfigError
from src_model.nested import merge, parse_assignments
from src_model.protocols import protocol

MINIMAL = {"data": {"root": "images"}, "out": "run"}


def test_a_configuration_survives_yaml(tmp_path: Path) -> None:
    config = TrainConfig.parse(merge(protocol("quick"), {**MINIMAL, "classes": [{"name": "nucleus"}]}))
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml())

    assert TrainConfig.from_yaml(file) == config


def test_the_defaults_are_the_papers() -> None:
    config = TrainConfig.parse(MINIMAL)

    assert (config.stage1.epochs, config.stage1.learning_rate, config.stage1.weight_decay) == (50, 1e-3, 1e-4)
    assert (config.stage2.epochs, config.stage2.learning_rate, config.stage2.weight_decay) == (20, 1e-4, 1e-5)
    assert (config.batch_size, config.balance_weight, config.data.image_size) == (16, 0.01, 224)


def test_a_stage_may_be_given_in_part() -> None:
    config = TrainConfig.parse(merge(protocol("paper"), {**MINIMAL, "stage1": {"epochs": 3}}))

    assert (config.stage1.epochs, config.stage1.learning_rate) == (3, 1e-3)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({**MINIMAL, "bath_size": 4}, ["bath_size"]),
        ({**MINIMAL, "batch_size": 0}, ["batch_size", "0", "greater than or equal to 1"]),
        ({"out": "run"}, ["data", "missing"]),
        ({**MINIMAL, "stage": "third"}, ["stage", "third"]),
        ({"data": {"root": "x", "folds": 3, "fold": 3}, "out": "run"}, ["fold 3", "3 folds"]),
        ({**MINIMAL, "classes": [{"name": "a", "color": "red"}]}, ["classes.0.color", "red"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.parse(values)

    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_assignments_become_nested_values_with_their_types() -> None:
    values = parse_assignments(["stage1.epochs=3", "stage1.learning_rate=1e-3", "model.options={a: true}"])

    assert values == {"stage1": {"epochs": 3, "learning_rate": 0.001}, "model": {"options": {"a": True}}}


def test_an_assignment_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="key=value"):
        parse_assignments(["epochs"])


@pytest.mark.parametrize("content", ["a: [", "just text"])
def test_a_broken_yaml_file_is_named(content: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(content)

    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        TrainConfig.from_yaml(file)


def test_the_documented_settings_are_the_real_ones() -> None:
    script = Path(__file__).parents[1] / "docs" / "make_tables.py"

    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
