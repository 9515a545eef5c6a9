"""The network that slides are measured with: ``light-utanet-mobile``, trained on the sample images.

It takes minutes. Its masks are good enough to be compared, with nuclei where there are nuclei.

    python benchmarks/slide_model.py MODEL.safetensors
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from src_model import train
from src_model.config import TrainConfig
from src_model.events import EpochFinished, RunFinished
from src_model.nested import merge
from src_model.protocols import protocol

DATA = Path(__file__).parents[1] / "sample_data" / "nuclei" / "train"
NAME = "light-utanet-mobile"


def slide_model(path: Path) -> Path:
    """The checkpoint at ``path``, trained there first where there is none; the same one each time."""
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"data": {"root": DATA}, "out": Path(folder) / "run", "model": {"name": NAME}, "seed": 0}
        for event in train(TrainConfig.parse(merge(protocol("quick"), settings))):
            if isinstance(event, EpochFinished):
                print(event, flush=True)
            if isinstance(event, RunFinished):
                shutil.copyfile(event.checkpoint, path)
    return path


def main() -> None:
    """Train it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("path", type=Path)
    print(slide_model(parser.parse_args().path))


if __name__ == "__main__":
    main()
