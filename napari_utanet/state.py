"""What the user wants, dock by dock: evented, validated, and unknown fields refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from psygnal import EventedModel
from pydantic import ConfigDict, Field

MOST_CLASSES = 254


class _State(EventedModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True, use_attribute_docstrings=True)


class SegmentState(_State):
    """Intent of the Segment dock."""

    layer: str | None = None
    """Identity of the chosen image layer (its ``unique_id`` as text), not its name."""
    stack: Literal["planes", "channels"] = "planes"
    """What the first axis of an image with more than two axes holds."""
    checkpoint: Path | None = None
    device: str = "auto"
    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability above which a pixel is foreground; one-class models only."""
    top_k: int | None = Field(default=None, ge=1, le=64)
    """Experts that each router mixes; ``None`` = as trained."""
    objects: bool = False
    """Give every object a number of its own instead of its class."""
    probability: bool = False
    """Add the foreground probability as an image layer too."""
    domain: str | None = None
    """Which organ, for a model that serves several; ``None`` = the only one."""


class SlideState(_State):
    """Intent of the Segment dock for a whole slide, beside :class:`SegmentState`."""

    pixel_size_um: float | None = Field(default=None, gt=0.0)
    """At which it is segmented, micrometres; ``None`` = the model's, else the slide's own."""
    slide_pixel_size_um: float | None = Field(default=None, gt=0.0)
    """Of its finest level, where the file does not tell it."""
    region: str = "whole"
    """``whole``, ``view``, or the identity of a Shapes layer."""
    tissue: bool = False
    """Only where there is tissue."""
    tissue_threshold: float | None = Field(default=None, ge=0.0, le=1.0)
    """Above which a thumbnail shows tissue; ``None`` = by Otsu's method."""
    channels: tuple[int, ...] = ()
    """Which channels the model sees, counted from 0; none = all that there are."""
    out: Path | None = None
    """Folder of the results; ``None`` = beside the slide."""
    routing: Literal["slide", "tile"] | None = None
    """Whether experts are chosen once or tile by tile; ``None`` = whatever measures better."""


class TrainState(_State):
    """Intent of the Train dock."""

    source: Literal["sample", "folder", "layers"] = "sample"
    folder: Path | None = None
    layout: str = "auto"
    """How the folder is laid out; ``auto`` = recognised."""
    image_layer: str | None = None
    labels_layer: str | None = None
    model: str = "utanet"
    imagenet: bool = False
    """Start the encoder from ImageNet weights."""
    protocol: str = "quick"
    """Named settings; those below are laid over them."""
    stage1_epochs: int = Field(default=5, ge=0, le=100_000)
    stage2_epochs: int = Field(default=3, ge=0, le=100_000)
    batch_size: int = Field(default=8, ge=1, le=4096)
    classes: int = Field(default=1, ge=1, le=MOST_CLASSES)
    """Foreground classes; 1 = everything that is not background, whatever its number."""
    device: str = "auto"
    out: Path | None = None
    """Run folder; ``None`` = a new one is named when the run starts."""


class ExpertsState(_State):
    """Intent of the Experts dock."""

    layer: str | None = None
    """Identity of the chosen image layer."""
    stack: Literal["planes", "channels"] = "planes"
    checkpoint: Path | None = None
    device: str = "auto"
    top_k: int | None = Field(default=None, ge=1, le=64)
    dim: bool = True
    """Dim the image while heat maps are shown, as they are added to its light."""
    raw: bool = False
    """Add every channel of every expert, not only their mean magnitude."""
