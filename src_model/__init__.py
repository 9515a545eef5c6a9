"""UTANet and its family: models, data, training and inference, without any user interface.

The names below are the public contract. Importing this package loads neither torch nor any other
heavy library; each name is resolved on first use.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Before torch is loaded. It places its maps at whole pages then, and glibc can use the gap that a map of some
# size leaves for the next one of that size; else it is short of a few bytes, and memory grows with each map.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# A network's layers are set up anew for each size of a tile, of which a slide has some fifty. Usually 1,024
# layers are remembered, and the first are forgotten before they come again, in this slide or the next one.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")

_HOME = {
    "list_models": "src_model.models.registry",
    "create_model": "src_model.models.registry",
    "load_published_weights": "src_model.models.published",
    "Segmentation": "src_model.models.skips",
    "Routing": "src_model.models.experts",
    "Checkpoint": "src_model.models.checkpoint",
    "save_checkpoint": "src_model.models.checkpoint",
    "load_checkpoint": "src_model.models.checkpoint",
    "train": "src_model.training.trainer",
    "segment": "src_model.inference.predictor",
    "segment_slide": "src_model.inference.slides.run",
    "evaluate": "src_model.evaluation.evaluate",
    "explain": "src_model.inference.explain",
    "Explanation": "src_model.inference.explain",
    "TrainConfig": "src_model.config",
    "Control": "src_model.events",
}

__all__ = [
    "Checkpoint",
    "Control",
    "Explanation",
    "Routing",
    "Segmentation",
    "TrainConfig",
    "__version__",
    "create_model",
    "evaluate",
    "explain",
    "list_models",
    "load_checkpoint",
    "load_published_weights",
    "save_checkpoint",
    "segment",
    "segment_slide",
    "train",
]

if TYPE_CHECKING:
    from src_model.config import TrainConfig
    from src_model.evaluation.evaluate import evaluate
    from src_model.events import Control
    from src_model.inference.explain import Explanation, explain
    from src_model.inference.predictor import segment
    from src_model.inference.slides.run import segment_slide
    from src_model.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from src_model.models.experts import Routing
    from src_model.models.published import load_published_weights
    from src_model.models.registry import create_model, list_models
    from src_model.models.skips import Segmentation
    from src_model.training.trainer import train


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
