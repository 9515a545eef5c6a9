"""Mixture of experts: routers that choose, experts that compute, and the balance between them.

Source: UTANet, "Task-Adaptive Mixture of Skip Connections" (AAAI 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from src_model.errors import ModelError
from src_model.models.blocks import BATCH_NORM, CONVOLUTION, GlobalPool
from src_model.models.receptive_experts import receptive_expert


class Routing(NamedTuple):
    """What the routers decided for a batch: B samples, R routers, E experts."""

    probabilities: Tensor
    """``(B, R, E)`` float32: softmax over the experts."""
    weights: Tensor
    """``(B, R, E)`` float32: weight of each expert in the mix; sums to 1, 0 = not chosen."""

    @property
    def selected(self) -> Tensor:
        """``(B, R, E)`` bool: which experts were chosen."""
        return self.weights > 0


class RouterBank(nn.Module):
    """Several routers that look at the same pooled features.

    Parameters
    ----------
    channels, routers, experts
        Channels of the features, number of routers (one per skip level), number of experts.
    bias
        Whether each router also has a fixed preference for each expert.
    temperature
        Divides the logits: above 1 the routers decide softer, below 1 harder.
    """

    def __init__(
        self, channels: int, routers: int, experts: int, *, bias: bool = False, temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.pool = GlobalPool(channels, precise=True)
        self.gates = nn.Parameter(torch.empty(routers, channels, experts))
        for gate in self.gates.data:
            nn.init.xavier_uniform_(gate)
        self.bias = nn.Parameter(torch.zeros(routers, experts)) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """``(B, C, [D,] H, W)`` to probabilities ``(B, R, E)``, always computed in float32."""
        with torch.autocast(features.device.type, enabled=False):
            pooled = self.pool(features).flatten(1)
            logits = torch.einsum("bc,rce->bre", pooled, self.gates.float())
            if self.bias is not None:
                logits = logits + self.bias.float()
            return (logits / self.temperature).softmax(-1)


class Expert(nn.Module):
    """Pointwise network: 1x1 convolution to ``2 * width``, another one, BatchNorm, ReLU, and back."""

    def __init__(self, width: int, *, dims: int = 2) -> None:
        super().__init__()
        conv, norm = CONVOLUTION[dims], BATCH_NORM[dims]
        self.expand = conv(width, 2 * width, 1)
        self.mix = conv(2 * width, 2 * width, 1)
        self.norm = norm(2 * width)
        self.relu = nn.ReLU(inplace=True)
        self.reduce = conv(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, [D,] H, W)`` to the same shape."""
        result: Tensor = self.reduce(self.relu(self.norm(self.mix(self.expand(x)))))
        return result


class ExpertBank(nn.ModuleList):
    """The experts that all routers share; each runs at most once a sample.

    Parameters
    ----------
    width, experts
        Channels of the maps, number of experts.
    dims
        2 or 3 spatial axes.
    hierarchical
        False: equal pointwise experts. True: experts that see ever larger surroundings, see
        :func:`src_model.models.receptive_experts.receptive_expert`.

    Attributes
    ----------
    run_all : bool
        Whether every expert computes every sample, so that no step depends on the decision: for graphs
        that are recorded once and replayed.
    """

    def __init__(self, width: int, experts: int, *, dims: int = 2, hierarchical: bool = False) -> None:
        super().__init__(
            receptive_expert(number, width, dims=dims) if hierarchical else Expert(width, dims=dims)
            for number in range(experts)
        )
        self.run_all = False

    def mix(self, x: Tensor, weights: Tensor) -> list[Tensor]:
        """Weighted sums of the experts' outputs, one per router.

        An expert computes only the samples that at least one router gave a weight, all in one
        call; nothing larger than one feature map per expert and router is held.

        Parameters
        ----------
        x
            ``(B, width, [D,] H, W)``.
        weights
            ``(B, R, E)``; 0 = not chosen.

        Returns
        -------
        list of Tensor
            R mixtures of the shape of ``x``.
        """
        tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if self.run_all or tracing or torch.compiler.is_compiling():
            return self._mix_all(x, weights)
        chosen = (weights.detach() > 0).cpu().tolist()
        mixtures: list[list[Tensor | None]] = [[None] * len(x) for _ in range(weights.shape[1])]
        for number, expert in enumerate(self):
            rows = [n for n, by_router in enumerate(chosen) if any(choice[number] for choice in by_router)]
            if not rows:
                continue
            outputs = expert(x if len(rows) == len(x) else x[rows]).split(1)
            share = weights[:, :, number].to(outputs[0].dtype)
            for sample, output in zip(rows, outputs, strict=True):
                asked = [router for router, choice in enumerate(chosen[sample]) if choice[number]]
                for router in asked:
                    last = router == asked[-1]
                    total = mixtures[router][sample]
                    mixtures[router][sample] = _add(total, output, share[sample, router], spent=last)
            del output, outputs  # before the next expert makes its own
        return [_batch(mixtures.pop(0), x) for _ in range(weights.shape[1])]

    def _mix_all(self, x: Tensor, weights: Tensor) -> list[Tensor]:
        """The same with every expert on every sample."""
        mixtures: list[Tensor] = []
        for number, expert in enumerate(self):
            output = expert(x)
            share = weights[:, :, number].to(output.dtype)
            share = share.reshape(*share.shape, *[1] * (x.ndim - 1))
            added = [output * share[:, router] for router in range(weights.shape[1])]
            mixtures = [a + b for a, b in zip(mixtures, added, strict=True)] if mixtures else added
        return mixtures


def _add(total: Tensor | None, output: Tensor, share: Tensor, *, spent: bool) -> Tensor:
    """``total + share * output`` of one sample; no ``total`` is 0. In place: autograd needs no sum.

    ``spent`` = nobody else looks at the output, whose place may be taken where autograd does not need it.
    """
    if total is not None:
        return total.addcmul_(output, share)
    return output.mul_(share) if spent and not torch.is_grad_enabled() else output * share


def _batch(samples: Sequence[Tensor | None], like: Tensor) -> Tensor:
    """Samples ``(1, width, ...)`` as a batch, in their memory format; none is 0."""
    found = [torch.zeros_like(like[:1]) if sample is None else sample for sample in samples]
    return found[0] if len(found) == 1 else torch.cat(found)


def select_top(probabilities: Tensor, top_k: int) -> Tensor:
    """Bool tensor of the shape of ``probabilities``: the ``top_k`` largest of the last axis.

    Raises
    ------
    ModelError
        When ``top_k`` is not a whole number from 1 to the number of experts.
    """
    check_top_k(top_k, probabilities.shape[-1])
    best = probabilities.topk(top_k, dim=-1).indices
    return torch.zeros_like(probabilities, dtype=torch.bool).scatter(-1, best, torch.ones_like(best).bool())


def weigh(probabilities: Tensor, selected: Tensor, *, double_softmax: bool = True) -> Tensor:
    """Mixture weights of the selected experts; the others get 0.

    Parameters
    ----------
    probabilities, selected
        ``(..., E)``, float and bool.
    double_softmax
        True: a second softmax over the kept probabilities, as the published code does. False:
        the kept probabilities divided by their sum, i.e. one softmax over the kept logits.
    """
    if double_softmax:
        return probabilities.masked_fill(~selected, -torch.inf).softmax(-1)
    kept = probabilities * selected
    return kept / kept.sum(-1, keepdim=True).clamp_min(torch.finfo(kept.dtype).tiny)


def mixture_weights(probabilities: Tensor, top_k: int, *, double_softmax: bool = True) -> Tensor:
    """Mixture weights ``(..., E)`` of the ``top_k`` most probable experts; see :func:`weigh`."""
    return weigh(probabilities, select_top(probabilities, top_k), double_softmax=double_softmax)


def add_unused(selected: Tensor) -> Tensor:
    """Give every expert that a router never chose to one random sample of the batch.

    The samples are drawn from torch's default CPU generator, the same number of draws in every
    call, so that a saved generator state reproduces them on any device.

    Parameters
    ----------
    selected
        ``(B, R, E)`` bool.

    Returns
    -------
    Tensor
        ``(B, R, E)`` bool, with at least one sample for every router and expert.
    """
    sample = torch.randint(len(selected), (1, *selected.shape[1:])).to(selected.device)
    unused = ~selected.any(0, keepdim=True)
    return selected | torch.zeros_like(selected).scatter(0, sample, unused)


def balance_loss(probabilities: Tensor) -> Tensor:
    """Expert-variance loss: how unevenly each router spreads a batch over the experts.

    Sum over the routers of ``var / (mean ** 2 + 1e-10)`` of the probabilities summed over the
    batch, with the unbiased variance over the experts.

    Parameters
    ----------
    probabilities
        ``(B, R, E)``.

    Returns
    -------
    Tensor
        Scalar, float32; 0 = balanced.
    """
    load = probabilities.float().sum(0)
    if load.shape[-1] == 1:
        return load.sum() * 0.0
    return (load.var(-1) / (load.mean(-1) ** 2 + 1e-10)).sum()


def check_top_k(top_k: object, experts: int) -> int:
    """``top_k`` itself if it is a whole number from 1 to ``experts``, else a ModelError."""
    if isinstance(top_k, int) and not isinstance(top_k, bool) and 1 <= top_k <= experts:
        return top_k
    raise ModelError(
        f"top_k must be a whole number from 1 to {experts} (the number of experts) but got {top_k!r}."
    )
