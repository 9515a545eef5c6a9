"""How evenly the routers use the experts, and when to warn that one of them takes over."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from src_model.events import ExpertUsage
from src_model.training.history import EpochRecord

DOMINANT_SHARE = 0.8
"""An expert with more than this share of a router's probability dominates it."""
DOMINANT_EPOCHS = 3
"""For so many epochs in a row before it is worth a warning."""


class UsageMeter:
    """Mean router probability over the samples of an epoch."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._samples = 0

    def add(self, probabilities: Tensor) -> None:
        """Count a batch of router probabilities, ``(B, routers, experts)``."""
        batch = probabilities.detach().float().cpu().double().sum(0)
        self._sum = batch if self._sum is None else self._sum + batch
        self._samples += len(probabilities)

    def mean(self) -> ExpertUsage | None:
        """One row per router, one column per expert; ``None`` when nothing was routed."""
        if self._sum is None:
            return None
        rows: list[list[float]] = torch.div(self._sum, self._samples).tolist()
        return tuple(tuple(row) for row in rows)


def dominance_warnings(records: Sequence[EpochRecord], weight: float) -> list[str]:
    """Sentences for routers that one expert has just dominated for three epochs in a row.

    Parameters
    ----------
    records
        The epochs of one stage, the newest last; a router is named once per unbroken series.
    weight
        The balance weight in use, named in the remedy.
    """
    usages = [record.expert_usage for record in records if record.expert_usage is not None]
    if not usages:
        return []
    sentences = []
    for router in range(len(usages[-1])):
        experts = [_dominant(usage[router]) for usage in usages]
        expert = experts[-1]
        if expert is not None and _series(experts) == DOMINANT_EPOCHS:
            sentences.append(
                f"Expert {expert + 1} took {usages[-1][router][expert]:.0%} of router {router + 1} for "
                f"{DOMINANT_EPOCHS} epochs in a row; a larger balance_weight than {weight:g} spreads the "
                "work over the experts."
            )
    return sentences


def _dominant(shares: Sequence[float]) -> int | None:
    """The expert with more than the dominant share, if there is one."""
    best = max(range(len(shares)), key=shares.__getitem__)
    return best if shares[best] > DOMINANT_SHARE else None


def _series(experts: Sequence[int | None]) -> int:
    """For how many entries at the end the expert has been the same."""
    return next((n for n, e in enumerate(reversed(experts)) if e != experts[-1]), len(experts))
