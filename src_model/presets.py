"""Named starting points of a training configuration."""

from __future__ import annotations

from typing import Any

from src_model.config import TrainConfig
from src_model.errors import ConfigError
from src_model.nested import merge

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "quick": {
        "data": {"image_size": 96, "sampling": "crop", "crops_per_image": 8},
        "batch_size": 8,
        "stage1": {"epochs": 5, "learning_rate": 1e-3},
        "stage2": {"epochs": 3, "learning_rate": 2e-3},
        # So few steps learn more from plain crops; deformations pay in longer trainings.
        "augment": {
            "shift_scale_rotate": 0.0,
            "elastic": 0.0,
            "grid_distortion": 0.0,
            "brightness_contrast": 0.0,
        },
    },
}
"""Named starting points, nested like the configuration: ``paper`` = the defaults, ``quick`` = a CPU."""


def preset(name: str) -> dict[str, Any]:
    """Values of a named preset, complete enough to be merged over by the user's own.

    Raises
    ------
    ConfigError
        When there is no preset of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"There is no preset '{name}'; choose one of: {', '.join(PRESETS)}.")
    stages = {stage: TrainConfig.model_fields[stage].default.model_dump() for stage in ("stage1", "stage2")}
    return merge(stages, PRESETS[name])
