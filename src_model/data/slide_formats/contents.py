"""What a slide's file holds, as one of the formats found it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from src_model.data.slide_formats.level import Level


@dataclass(eq=False)
class Contents:
    """Levels as they are stored, not yet checked against each other."""

    format: str
    levels: list[Level]
    is_rgb: bool
    pixel_size_um: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()
    associated: Mapping[str, Level] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    is_stack: bool = False
    """Whether it has planes that are no channels: depth, time, or pages without a meaning."""
