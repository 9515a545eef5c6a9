"""Published weights for the encoder of a run, fetched before it begins, with events on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing

from src_model.config import ModelConfig
from src_model.download import fetching
from src_model.events import Control, Downloading
from src_model.models.pretrained import find_weights
from src_model.training.stages import outline

NAME = "ImageNet weights"
_INTERVAL = 0.1


def fetch_encoder_weights(model: ModelConfig, control: Control) -> Iterator[Downloading]:
    """Fetch the weights that ``model`` asks for into the cache, unless they are there.

    Parameters
    ----------
    model
        Of the run.
    control
        Checked at every step of the download; what arrived before a stop is kept.

    Yields
    ------
    Downloading
        At most about ten a second, and one when the file is complete and its checksum right.

    Raises
    ------
    ModelError
        When there are no such weights for that network.
    DownloadError
        When they cannot be fetched.
    Stopped
        When ``control`` asked for it.
    """
    if model.encoder_weights is None:
        return
    file = find_weights(outline(model), model.encoder_weights)
    done, shown = 0, -math.inf
    with closing(fetching(file.address, file.sha256)) as steps:
        for done, total in steps:
            control.check()
            if (done != total or not total) and time.monotonic() - shown >= _INTERVAL:
                shown = time.monotonic()
                yield Downloading(name=NAME, done=done, total=total)
    if done:
        yield Downloading(name=NAME, done=done, total=done)
