"""Devices and precision are chosen by what the machine can do."""

import pytest
import torch

from src_model.device import autocast, is_out_of_memory, list_devices, resolve_device, resolve_precision
from src_model.errors import DeviceError


def test_the_cpu_is_always_there_and_last() -> None:
    assert list_devices()[-1] == "cpu"


def test_auto_takes_the_best_device() -> None:
    assert str(resolve_device("auto")) == list_devices()[0]


def test_a_device_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(DeviceError, match=r"'cuda:99'.*cpu"):
        resolve_device("cuda:99")


def test_a_named_precision_is_kept() -> None:
    assert resolve_precision("float32", torch.device("cpu")) == "float32"
    assert resolve_precision("bfloat16", torch.device("cpu")) == "bfloat16"


def test_bfloat16_computes_in_bfloat16() -> None:
    product = torch.ones(2, 2)
    with autocast(torch.device("cpu"), "bfloat16"):
        product = product @ product

    assert product.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
