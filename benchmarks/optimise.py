"""How much faster a network is after it was rewritten for inference, measured side by side.

The network as it was created, in float32 and with PyTorch's memory as it is by itself, against its rewritten
copy in float32 and in bfloat16, with the memory of its maps kept from pass to pass as it is when the project
runs it; on a CUDA device also replayed from a recording. The cases take turns, so that a busy machine slows
all of them alike; printed are the median time of a batch, the median of the ratios of neighbouring runs, and
the largest difference of the logits from the first row, as a share of the largest of its logits. Without a
checkpoint the network has random weights, with the BatchNorm statistics of a random batch. On a CUDA device
the share of the peak follows: the rewritten network's arithmetic over the time, against that of a large
matrix product in bfloat16.

    python benchmarks/optimise.py [--model utanet] [--checkpoint FILE] [--device cpu] [--threads 2]
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

os.environ["THP_MEM_ALLOC_ENABLE"] = "0"  # else what src_model sets makes the plain module a quarter faster

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from src_model import create_model, load_checkpoint
from src_model.device import Precision, autocast
from src_model.inference.optimise import fit_to_device, optimise
from src_model.inference.replay import Replay
from src_model.memory import kept_memory
from src_model.models.base import SegmentationModel


@dataclass
class Case:
    """One way to run the network, and what was measured of it."""

    title: str
    model: SegmentationModel
    batch: Tensor
    precision: Precision
    keep: bool = False
    replay: bool = False
    repeats: int = 1
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._step = Replay(self._forward) if self.replay else self._forward

    def run(self) -> Tensor:
        """Logits of the batch."""
        with torch.inference_mode(), autocast(self.batch.device, self.precision, keep_casts=False):
            return self._step(self.batch).float()

    def measure(self) -> None:
        """Run and keep the time of one pass."""
        with kept_memory() if self.keep else nullcontext():
            self.run()
            finish(self.batch.device)
            start = time.perf_counter()
            for _ in range(self.repeats):
                self.run()
            finish(self.batch.device)
            self.seconds.append((time.perf_counter() - start) / self.repeats)

    def _forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x).logits
        return logits


def finish(device: torch.device) -> None:
    """Wait until the device has computed all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


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
    """As created, and rewritten in several ways."""
    layout = torch.channels_last
    rewritten = optimise(model).to(memory_format=layout)
    fast, narrow = copy.deepcopy(rewritten), copy.deepcopy(rewritten)
    fit_to_device(fast, "float32")
    fit_to_device(narrow, "bfloat16")
    last = batch.to(memory_format=layout)
    made = [
        Case("as created, float32", model, batch, "float32"),
        Case("rewritten, float32", fast, last, "float32", keep=True),
        Case("rewritten, bfloat16", narrow, last, "bfloat16", keep=True),
    ]
    if batch.device.type == "cuda":
        made.append(Case("the same, replayed", narrow, last, "bfloat16", replay=True))
        for case in made:
            case.repeats = 20
    return made


def share_of_peak(case: Case, rewritten: SegmentationModel) -> str:
    """The arithmetic of the rewritten network a second, against that of a matrix product."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        rewritten(case.batch.to(memory_format=torch.channels_last))
    side = 8192
    a, b = (torch.randn(side, side, device=case.batch.device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    finish(a.device)
    start = time.perf_counter()
    for _ in range(10):
        a @ b
    finish(a.device)
    peak = 10 * 2 * side**3 / (time.perf_counter() - start)
    rate = counter.get_total_flops() / statistics.median(case.seconds)
    return (
        f"{torch.cuda.get_device_name(a.device)}: {case.title}, {rate / 1e12:.0f} TFLOP/s, "
        f"{100 * rate / peak:.0f} % of the {peak / 1e12:.0f} TFLOP/s of a matrix product"
    )


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
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=224)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = None if given.checkpoint is None else load_checkpoint(given.checkpoint).model.eval()
    batch = torch.randn(given.batch, 3 if model is None else model.in_channels, given.side, given.side)
    network = random_network(given.model, batch) if model is None else model
    measured = cases(network.to(given.device), batch.to(given.device))
    for case in [*measured, *measured, *measured]:
        case.run()
    for _ in range(given.rounds):
        for case in measured:
            case.measure()
    print(table(measured))
    if measured[-1].replay:
        print(share_of_peak(measured[-1], optimise(network)))


if __name__ == "__main__":
    main()
