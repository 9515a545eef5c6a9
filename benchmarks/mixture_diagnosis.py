"""Asks two trained stages of one network why the mixture of skips helps or does not.

``python benchmarks/mixture_diagnosis.py --plain RUN --mixed RUN --out FILE.json`` takes the folder of a run
of stage 1 and of a run of stage 2 that started from it (two arms of a study on one fold), and measures
on the images that both held out: the Dice with single skips put back, with other routings, and with
the decoder's BatchNorm statistics taken anew; how alike the experts are; how near the dockers' outputs
are to the plain skips; and how much of the skips the fused map can hold at all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from src_model.config import TrainConfig
from src_model.data.sample import Sample
from src_model.device import autocast, resolve_device, resolve_precision
from src_model.metrics.pixel import dice
from src_model.models.blocks import resize
from src_model.models.checkpoint import load_checkpoint
from src_model.models.experts import Routing
from src_model.models.skips import MixtureOfSkips
from src_model.models.utanet import UTANet
from src_model.training.sources import Sources, load_sources
from src_model.training.steps import to_batch

Change = Callable[[list[Tensor], list[Tensor]], list[Tensor]]
"""Plain skips and mixed skips to those that the decoder gets."""

PIXELS = 400
"""Taken of each image and level for the linear fits."""


class Subject:
    """Both stages of one network, and the images that neither saw."""

    def __init__(self, plain: Path, mixed: Path) -> None:
        self.plain, self.mixed = (_network(run) for run in (plain, mixed))
        config = TrainConfig.from_yaml(mixed / "config.yaml")
        self.sources: Sources = load_sources(config)
        self.device = resolve_device("cpu")
        self.precision = resolve_precision(config.precision, self.device)

    @property
    def mixture(self) -> MixtureOfSkips:
        """Of stage 2."""
        assert self.mixed.mixture is not None
        return self.mixed.mixture

    def held_out(self) -> Iterator[Sample]:
        """The images to score on."""
        yield from self.sources.validation

    def learned(self) -> Iterator[Sample]:
        """The images that were learned from, as the first epoch showed them."""
        for index in range(len(self.sources.training)):
            yield self.sources.training.sample("1", 1, index)

    def features(self, model: UTANet, sample: Sample) -> list[Tensor]:
        """Of all levels, for one image."""
        images, _ = to_batch([sample], self.device)
        return model.encoder(images)

    def score(self, change: Change, routing: Callable[[Tensor], Routing | Tensor] | None = None) -> float:
        """Mean Dice of stage 2 where the decoder gets other skips, or the mixture another routing."""

        def logits(images: Tensor) -> Tensor:
            *fine, deepest = self.mixed.encoder(images)
            given = None if routing is None else routing(self.mixture.fused(fine))
            skips, _, _ = self.mixture(fine, routing=given)
            return self.mixed._decode([*change(fine, skips), deepest])[0]

        return self._mean_dice(logits)

    def score_plain(self) -> float:
        """Mean Dice of stage 1."""
        return self._mean_dice(lambda images: self.plain(images).logits)

    def _mean_dice(self, logits: Callable[[Tensor], Tensor]) -> float:
        scores = []
        for sample in self.held_out():
            images, _ = to_batch([sample], self.device)
            with torch.inference_mode(), autocast(self.device, self.precision):
                found = logits(images)[0, 0].float().numpy() > 0
            scores.append(float(dice(found, sample.mask > 0)))
        return float(np.mean(scores))


def diagnose(subject: Subject) -> dict[str, Any]:
    """All measurements, ready for JSON."""
    levels = len(subject.mixture.channels)
    experts = subject.mixture.num_experts
    found: dict[str, Any] = {
        "images": len(subject.sources.validation),
        "dice": {
            "plain": subject.score_plain(),
            "mixed": subject.score(_mixed),
            "plain_at": [subject.score(_put_back([level])) for level in range(levels)],
            "mixed_at": [
                subject.score(_put_back([other for other in range(levels) if other != level]))
                for level in range(levels)
            ],
            "all_put_back": subject.score(_put_back(range(levels))),
            "uniform_routing": subject.score(_mixed, _uniform(subject.mixture)),
            "shuffled_routing": subject.score(_mixed, _shuffled(subject.mixture)),
            "single_expert": [
                subject.score(_mixed, _single(subject.mixture, expert)) for expert in range(experts)
            ],
        },
        "frozen_statistics_kept": _same_statistics(subject),
        "routing": _routing(subject),
        "experts_cosine": _experts_alike(subject),
        "dockers": _dockers(subject),
        "explained": _explained(subject),
    }
    found["dice"]["decoder_statistics_anew"] = _with_new_statistics(subject)  # last: it changes the network
    return found


def _mixed(_plain: list[Tensor], mixed: list[Tensor]) -> list[Tensor]:
    return mixed


def _put_back(levels: Sequence[int]) -> Change:
    """The plain skips at some levels, the mixed ones at the others."""
    return lambda plain, mixed: [
        p if i in levels else m for i, (p, m) in enumerate(zip(plain, mixed, strict=True))
    ]


def _uniform(mixture: MixtureOfSkips) -> Callable[[Tensor], Routing]:
    share = torch.full((1, mixture.num_routers, mixture.num_experts), 1 / mixture.num_experts)
    return lambda _: Routing(share, share)


def _shuffled(mixture: MixtureOfSkips) -> Callable[[Tensor], Tensor]:
    """The routers' own probabilities, given to the wrong experts."""
    return lambda fused: mixture.routers(fused).roll(1, -1)


def _single(mixture: MixtureOfSkips, expert: int) -> Callable[[Tensor], Routing]:
    share = torch.zeros(1, mixture.num_routers, mixture.num_experts)
    share[..., expert] = 1.0
    return lambda _: Routing(share, share)


def _same_statistics(subject: Subject) -> bool:
    """Whether encoder and decoder left stage 2 exactly as they entered it."""
    before, after = subject.plain.state_dict(), subject.mixed.state_dict()
    return all(torch.equal(value, after[key]) for key, value in before.items())


def _routing(subject: Subject) -> dict[str, Any]:
    """Mean probability of each expert, how much it varies between images, and how often each is chosen."""
    found = []
    for sample in subject.held_out():
        with torch.inference_mode():
            features = subject.features(subject.mixed, sample)
            found.append(subject.mixture(features[:-1])[2])
    probabilities = torch.cat([routing.probabilities for routing in found])
    chosen = torch.cat([routing.selected for routing in found]).float()
    return {
        "mean": probabilities.mean(0).tolist(),
        "deviation": probabilities.std(0).tolist(),
        "chosen": chosen.mean(0).tolist(),
    }


def _experts_alike(subject: Subject) -> list[list[float]]:
    """Mean cosine between the outputs of each two experts, after removing each channel's mean."""
    cosines = []
    for sample in subject.held_out():
        with torch.inference_mode():
            features = subject.features(subject.mixed, sample)
            maps = subject.mixture.expert_maps(features[:-1])[0].flatten(2)
            flat = nn.functional.normalize((maps - maps.mean(-1, keepdim=True)).flatten(1), dim=1)
            cosines.append(flat @ flat.T)
    return torch.stack(cosines).mean(0).tolist()


def _dockers(subject: Subject) -> list[dict[str, float]]:
    """Norm of each mixed skip, as a share of the plain one's, and the cosine between the two."""
    rows: list[list[tuple[float, float]]] = []
    for sample in subject.held_out():
        with torch.inference_mode():
            features = subject.features(subject.mixed, sample)
            skips, _, _ = subject.mixture(features[:-1])
            pairs = [
                (mixed.flatten(), plain.flatten()) for mixed, plain in zip(skips, features, strict=False)
            ]
            rows.append(
                [
                    (float(m.norm() / p.norm()), float(nn.functional.cosine_similarity(m, p, dim=0)))
                    for m, p in pairs
                ]
            )
    means = np.mean(rows, axis=0)
    return [{"norm": float(norm), "cosine": float(cosine)} for norm, cosine in means]


def _explained(subject: Subject) -> dict[str, Any]:
    """Share of the variance of the plain skips that the mixture's map can carry.

    ``fused``: of each level, by the best linear map from the trained fused map (fitted on images that
    were learned from, taken on those held out). ``best``: of all levels at the stride of the fused map, by
    any linear map to as few channels as it has (principal components of standardised channels).
    """
    mixture = subject.mixture
    draws = np.random.default_rng(0)

    def pixels(samples: Iterator[Sample]) -> tuple[list[Tensor], list[Tensor], Tensor]:
        fused_rows: list[list[Tensor]] = [[] for _ in mixture.channels]
        plain_rows: list[list[Tensor]] = [[] for _ in mixture.channels]
        joined_rows = []
        for sample in samples:
            with torch.inference_mode():
                features = subject.features(subject.mixed, sample)[:-1]
                fused = mixture.fused(features)
                grid = fused.shape[2:]
                joined = torch.cat([resize(feature, grid) for feature in features], dim=1)[0].flatten(1).T
                joined_rows.append(joined[draws.integers(len(joined), size=PIXELS)])
                for level, feature in enumerate(features):
                    carried = resize(fused, feature.shape[2:])[0].flatten(1).T
                    chosen = draws.integers(len(carried), size=PIXELS)
                    fused_rows[level].append(carried[chosen])
                    plain_rows[level].append(feature[0].flatten(1).T[chosen])
        return [torch.cat(r) for r in fused_rows], [torch.cat(r) for r in plain_rows], torch.cat(joined_rows)

    given, wanted, _ = pixels(subject.learned())
    seen, truth, joined = pixels(subject.held_out())
    fused = [_r2(*parts) for parts in zip(given, wanted, seen, truth, strict=True)]
    standard = (joined - joined.mean(0)) / joined.std(0).clamp_min(1e-6)
    spectrum = torch.linalg.svdvals(standard.double()) ** 2
    return {
        "fused": fused,
        "best": float(spectrum[: mixture.width].sum() / spectrum.sum()),
        "channels": int(joined.shape[1]),
        "width": mixture.width,
    }


def _r2(given: Tensor, wanted: Tensor, seen: Tensor, truth: Tensor) -> float:
    """Of a linear map fitted on the first two, on the last two; over all channels together."""
    ones = torch.ones(len(given), 1)
    weights = torch.linalg.lstsq(torch.cat([given, ones], 1).double(), wanted.double()).solution
    predicted = torch.cat([seen, torch.ones(len(seen), 1)], 1).double() @ weights
    rest = (truth.double() - predicted).square().sum()
    return float(1 - rest / (truth.double() - truth.double().mean(0)).square().sum())


def _with_new_statistics(subject: Subject) -> float:
    """Dice where BatchNorm of decoder and head took its statistics from the mixed skips."""
    norms = [
        layer
        for part in (subject.mixed.decoder, subject.mixed.head)
        for layer in part.modules()
        if isinstance(layer, nn.BatchNorm2d)
    ]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # type: ignore[assignment]  # a plain mean over all that it sees
        norm.train()
    for sample in subject.learned():
        images, _ = to_batch([sample], subject.device)
        with torch.inference_mode(), autocast(subject.device, subject.precision):
            subject.mixed(images)
    for norm in norms:
        norm.eval()
    return subject.score(_mixed)


def _network(run: Path) -> UTANet:
    model = load_checkpoint(run / "model.safetensors").model
    if not isinstance(model, UTANet):
        raise SystemExit(f"{run} holds a '{model.name}'; give runs of utanet.")
    return model.eval()


def main() -> None:
    """Measure one pair of runs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plain", type=Path, required=True, help="folder of a run of stage 1")
    parser.add_argument("--mixed", type=Path, required=True, help="folder of a run of stage 2 after it")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    given = parser.parse_args()
    torch.manual_seed(0)
    found = diagnose(Subject(given.plain, given.mixed))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["dice"], indent=1))


if __name__ == "__main__":
    main()
