"""The network that slides are measured with: ``light-utanet-mobile``, trained on the sample images.

It takes minutes. Its masks are good enough to be compared, with nuclei where there are nuclei. Its far taps
have seen nothing but padding, as the sample images are small: for what depends on the context of a tile,
train it on larger ones, which takes a quarter of an hour.

    python benchmarks/slide_model.py MODEL.safetensors
    python benchmarks/slide_model.py MODEL.safetensors --data ../shared/data/glas/train --crop 448
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from src_model import train
from src_model.config import TrainConfig
from src_model.events import EpochFinished, RunFinished
from src_model.nested import merge
from src_model.protocols import protocol

DATA = Path(__file__).parents[1] / "sample_data" / "nuclei" / "train"
NAME = "light-utanet-mobile"


def slide_model(path: Path, *, data: Path = DATA, crop: int | None = None) -> Path:
    """The checkpoint at ``path``, trained there first where there is none; the same one each time.

    With ``crop`` it is trained for 16 + 8 epochs on two crops of so many pixels of each image.
    """
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {"data": {"root": data}, "model": {"name": NAME}, "seed": 0}
    if crop is not None:
        longer = {"batch_size": 4, "stage1": {"epochs": 16}, "stage2": {"epochs": 8}}
        settings = merge(settings, {"data": {"image_size": crop, "crops_per_image": 2}, **longer})
    with tempfile.TemporaryDirectory() as folder:
        settings["out"] = Path(folder) / "run"
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
    parser.add_argument("--data", type=Path, default=DATA, help="folder with images and labels")
    parser.add_argument("--crop", type=int, help="side of the crops, pixels; a multiple of 32")
    given = parser.parse_args()
    print(slide_model(given.path, data=given.data, crop=given.crop))


if __name__ == "__main__":
    main()
