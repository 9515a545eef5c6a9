"""What the Train controller asks of its dock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from napari_utanet.adapters.dataset_summary import DatasetSummary
from napari_utanet.adapters.pairs import Preview
from napari_utanet.controllers.layer_choices import Choices
from src_model.events import EpochFinished, ExpertUsage

Mode = Literal["idle", "running", "paused", "stopping"]


class TrainView(Protocol):
    """The names that end in ``_clicked`` are signals; the rest are setters."""

    start_clicked: Any
    pause_clicked: Any
    stop_clicked: Any
    check_clicked: Any
    unfinished_clicked: Any

    def set_image_layers(self, choices: Choices) -> None:
        """Offer these image layers."""

    def set_labels_layers(self, choices: Choices) -> None:
        """Offer these labels layers."""

    def set_imagenet_offered(self, offered: bool) -> None:
        """Whether the chosen network can start from ImageNet weights."""

    def set_mode(self, mode: Mode) -> None:
        """Which buttons can be pressed."""

    def set_resumable(self, resumable: bool) -> None:
        """Whether the chosen folder holds an unfinished run, which Start would resume."""

    def set_unfinished(self, name: str | None) -> None:
        """Offer another run that was not finished."""

    def set_progress(self, done: int, total: int, text: str) -> None:
        """``total`` 0 = busy without measure."""

    def set_status(self, text: str, *, error: bool = False) -> None:
        """The one line that says what is going on."""

    def set_note(self, text: str) -> None:
        """A warning that stays; empty = none."""

    def set_preview(self, preview: Preview | None, caption: str) -> None:
        """A picture of one training pair, or why there is none."""

    def set_dataset(self, summary: DatasetSummary) -> None:
        """What the chosen images are, and what is wrong with them; empty = nothing to say."""

    def start_curves(self, stages: Sequence[tuple[str, int]]) -> None:
        """Empty the curves; the stages with their number of epochs."""

    def add_epoch(self, event: EpochFinished) -> None:
        """One more point on each curve."""

    def set_usage(self, usage: ExpertUsage | None) -> None:
        """Share of each expert in each router's decisions."""
