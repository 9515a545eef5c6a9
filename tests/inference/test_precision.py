"""The narrow number type is taken where the device is fast at it and the network stays right in it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from src_model.errors import ConfigError
from src_model.inference import precision
from src_model.inference.precision import choose_precision, made_up_images, narrow_error
from src_model.models.base import SegmentationModel
from src_model.models.registry import create_model


@pytest.fixture
def model() -> SegmentationModel:
    torch.manual_seed(0)
    return create_model("utanet", base_channels=8, mixture_width=8).eval()


def choose(name: str, model: SegmentationModel) -> str:
    cpu = torch.device("cpu")
    return choose_precision(name, model, cpu, in_channels=3, top_k=None, domain=None)


@pytest.fixture
def fast_at_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(name: str, _device: torch.device) -> str:
        return "bfloat16" if name == "auto" else name

    monkeypatch.setattr(precision, "resolve_precision", resolve)


@pytest.mark.usefixtures("fast_at_bfloat16")
def test_auto_takes_the_narrow_type_where_it_is_accurate(
    model: SegmentationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, chosen in ((precision.ALLOWED, "bfloat16"), (0.06, "float32"), (math.inf, "float32")):
        monkeypatch.setattr(precision, "narrow_error", lambda *_, error=error, **__: error)
        assert choose("auto", model) == chosen


@pytest.mark.usefixtures("fast_at_bfloat16")
def test_a_named_precision_is_taken_at_its_word(
    model: SegmentationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "narrow_error", lambda *_, **__: math.inf)

    assert [choose(name, model) for name in ("bfloat16", "float32")] == ["bfloat16", "float32"]


def test_an_unknown_precision_names_those_that_there_are(model: SegmentationModel) -> None:
    with pytest.raises(ConfigError, match=r"auto, float32, bfloat16 or float16 but got 'int8'"):
        choose("int8", model)


def test_float16_on_a_processor_is_refused_with_what_to_take(model: SegmentationModel) -> None:
    with pytest.raises(ConfigError, match=r"needs a GPU.*'cpu'; choose bfloat16 or float32"):
        choose("float16", model)


def test_float32_is_off_by_nothing_and_bfloat16_by_little(model: SegmentationModel) -> None:
    images = made_up_images(2, 3)

    assert narrow_error(model, images, "float32") == 0
    assert 0 < narrow_error(model, images, "bfloat16") < 0.2


def test_a_network_that_overflows_is_off_without_bounds(model: SegmentationModel) -> None:
    last = [part for part in model.modules() if isinstance(part, nn.Conv2d)][-1]
    with torch.no_grad():
        last.weight.fill_(math.nan)

    assert narrow_error(model, made_up_images(2, 3), "bfloat16") == math.inf


@pytest.mark.usefixtures("fast_at_bfloat16")
def test_where_memory_is_short_the_narrow_type_is_taken_untried(
    model: SegmentationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(precision, "narrow_error", fail)

    assert choose("auto", model) == "bfloat16"
