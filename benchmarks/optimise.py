"""How much faster a network is after it was rewritten for inference, measured side by side.

The network as it was created, in float32, against its rewritten copy in float32 and in bfloat16. The
cases take turns, so that a busy machine slows all of them alike; printed are the median time of
a batch, the median of the ratios of neighbouring runs, and the largest difference of the logits from
the first row, as a share of the largest of its logits. Without a checkpoint the network has random
weights, with the BatchNorm statistics of a random batch.

    python benchmarks/optimise.py [--model utanet] [--checkpoint FILE] [--threads 2] [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from src_model import create_model, load_checkpoint
from src_model.device import Precision, autocast
from src_model.inference.optimise import narrow_weights, optimise
from src_model.models.base import SegmentationModel

CPU = torch.device("cpu")


@dataclass
class Case:
    """One way to run the network, and what was measured of it."""

    title: str
    model: SegmentationModel
    batch: Tensor
    precision: Precision
    seconds: list[float] = field(default_factory=list)

    def run(self) -> Tensor:
        """Logits of the batch."""
        with torch.inference_mode(), autocast(CPU, self.precision):
            logits: Tensor = self.model(self.batch).logits
        return logits.float()

    def measure(self) -> None:
        """Run once and keep the time."""
        start = time.perf_counter()
        self.run()
        self.seconds.append(time.perf_counter() - start)


def random_network(name: str, batch: Tensor) -> SegmentationModel:
    """Made anew, with the BatchNorm statistics of ``batch``."""
    model = create_model(name)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        model.train()(batch)
    return model.eval()


def cases(model: SegmentationModel, batch: Tensor) -> list[Case]:
    """As created, and rewritten in three ways."""
    layout = torch.channels_last
    fast = optimise(model).to(memory_format=layout)
    narrow = optimise(fast)
    narrow_weights(narrow, torch.bfloat16)
    last = batch.to(memory_format=layout)
    return [
        Case("as created, float32", model, batch, "float32"),
        Case("rewritten, float32", fast, last, "float32"),
        Case("rewritten, bfloat16", fast, last, "bfloat16"),
        Case("rewritten, bfloat16 weights", narrow, last, "bfloat16"),
    ]


def table(measured: list[Case]) -> str:
    """One line a case."""
    first = measured[0]
    expected = first.run()
    lines = [f"{'':28} {'ms':>8} {'ratio':>6} {'difference':>11}"]
    for case in measured:
        ratio = statistics.median(a / b for a, b in zip(first.seconds, case.seconds, strict=True))
        difference = float((case.run() - expected).abs().max() / expected.abs().max())
        median = 1000 * statistics.median(case.seconds)
        lines.append(f"{case.title:28} {median:8.0f} {ratio:6.2f} {difference:11.1e}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="utanet")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=224)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = None if given.checkpoint is None else load_checkpoint(given.checkpoint).model.eval()
    batch = torch.randn(given.batch, 3 if model is None else model.in_channels, given.side, given.side)
    measured = cases(random_network(given.model, batch) if model is None else model, batch)
    for case in measured:
        case.run()
    for _ in range(given.rounds):
        for case in measured:
            case.measure()
    print(table(measured))


if __name__ == "__main__":
    main()
