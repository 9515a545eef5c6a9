"""Whether a run that is killed in each stage and resumed ends with the weights of an undisturbed one.

Two runs of the same configuration: one undisturbed, one that is ended by SIGKILL in the middle of
each stage and resumed. Prints one JSON object; exits with 1 where any weight differs.

    python benchmarks/kill_and_resume.py --data FOLDER --work FOLDER [--set key=value]...
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file

COMMAND = [sys.executable, "-c", "from src_model.cli import main; main()"]


def train(out: Path, arguments: list[str]) -> subprocess.Popen[str]:
    """Start the command; its events come as lines."""
    command = [*COMMAND, "train", "--out", str(out), "--json", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, object]]:
    """The events of a running command."""
    assert process.stdout is not None
    yield from map(json.loads, process.stdout)


def finish(process: subprocess.Popen[str]) -> dict[str, object]:
    """The last event of a run that must end well."""
    last = list(events(process))[-1]
    if process.wait() or last["event"] != "run_finished":
        sys.exit(f"The run ended with {last}")
    return last


def kill_in(process: subprocess.Popen[str], stage: str, epoch: int, step: int) -> str:
    """Send SIGKILL at a step of the run; says where that was."""
    for event in events(process):
        if event["event"] == "step_finished" and event["stage"] == stage:
            here = (int(str(event["epoch"])), int(str(event["step"])))
            if here >= (epoch, step):
                process.send_signal(signal.SIGKILL)
                process.wait()
                return f"stage {stage}, epoch {here[0]}, step {here[1]} of {event['steps']}"
    sys.exit(f"The run ended before stage {stage}, epoch {epoch}, step {step}")


def main() -> None:
    """Run both and compare every tensor of their last models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    settings = [part for item in given.set for part in ("--set", item)]
    fresh = ["--data", given.data, *settings]
    start = time.monotonic()
    whole = finish(train(given.work / "whole", fresh))
    seconds = time.monotonic() - start
    broken = given.work / "broken"
    kills = [kill_in(train(broken, fresh), "1", 2, 2)]
    kills.append(kill_in(train(broken, ["--resume"]), "2", 2, 2))
    resumed = finish(train(broken, ["--resume"]))
    differing = differences(given.work / "whole" / "model.safetensors", broken / "model.safetensors")
    row = {
        "seconds_undisturbed": round(seconds),
        "killed_at": kills,
        "dice": [whole["dice"], resumed["dice"]],
        "differing_tensors": differing,
    }
    print(json.dumps(row, indent=1))
    sys.exit(1 if differing else 0)


def differences(first: Path, second: Path) -> list[str]:
    """Names of the tensors that are not bit-equal."""
    a, b = load_file(first), load_file(second)
    return sorted(
        key for key in a.keys() | b.keys() if key not in a or key not in b or not torch.equal(a[key], b[key])
    )


if __name__ == "__main__":
    main()
