"""Local experts that look at half of their channels at a time give what they gave."""

from __future__ import annotations

import pytest
import torch

from src_model.inference.folding import fold_norms, pair_depthwise
from src_model.inference.fused import HalvedExpert, fuse_passes
from src_model.models.experts import ExpertBank
from src_model.models.receptive_experts import DILATIONS, LocalExpert


def seen_before(expert: LocalExpert) -> LocalExpert:
    """With a BatchNorm that has seen something."""
    expert.train()(torch.randn(4, 16, 24, 24))
    return expert.eval()


@pytest.mark.parametrize("dilation", DILATIONS)
@torch.no_grad()
def test_the_halves_add_up_to_the_expert(dilation: int) -> None:
    expert = seen_before(LocalExpert(16, dilation))
    x = torch.randn(2, 16, 21, 34).contiguous(memory_format=torch.channels_last)
    expected = expert(x)
    fold_norms(expert)
    pair_depthwise(expert)

    with torch.inference_mode():
        found = HalvedExpert(expert)(x)

    assert torch.allclose(found, expected, atol=1e-5)


@torch.no_grad()
def test_a_bank_on_a_processor_has_its_local_experts_by_halves() -> None:
    bank = ExpertBank(16, 4, hierarchical=True).eval()
    for expert in bank:
        fold_norms(expert)
        if isinstance(expert, LocalExpert):
            pair_depthwise(expert)
    x, weights = torch.randn(1, 16, 20, 20), torch.tensor([[[0.1, 0.2, 0.3, 0.4], [0.0, 0.5, 0.5, 0.0]]])
    expected = bank.mix(x, weights)
    model = torch.nn.ModuleList([bank])

    fuse_passes(model)

    assert [isinstance(expert, HalvedExpert) for expert in bank] == [True, True, True, False]
    with torch.inference_mode():
        found = bank.mix(x, weights)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))
