"""What the controllers ask of the fields that a slide adds to the Segment dock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from napari_utanet.controllers.layer_choices import Choices


class SlideView(Protocol):
    """The names that end in ``_clicked`` are signals; the rest are setters."""

    tissue_clicked: Any
    picture_clicked: Any
    """With the name of the picture."""

    def set_shown(self, shown: bool) -> None:
        """Whether the chosen image is a slide."""

    def set_default_pixel_size(self, size: float | None, source: str) -> None:
        """At which pixel size it is segmented unless the user says otherwise; ``None`` = at its own.

        ``source`` says whose size that is.
        """

    def set_asking(self, asking: bool) -> None:
        """Whether the size of a pixel of the slide must be asked."""

    def set_regions(self, choices: Choices) -> None:
        """Offer these Shapes layers as regions."""

    def set_channels(self, names: Sequence[str]) -> None:
        """Offer these channels; none = nothing to choose."""

    def set_note(self, text: str) -> None:
        """What the user should know of this slide and this model; empty = nothing."""

    def set_tissue_found(self, threshold: float | None) -> None:
        """The threshold of the tissue that is shown; ``None`` = none is."""

    def set_folder(self, text: str, path: str) -> None:
        """Where results go unless the user says otherwise: in words, and in full."""

    def set_pictures(self, names: Sequence[str]) -> None:
        """Offer these pictures of the file."""

    def set_routing_shown(self, shown: bool) -> None:
        """Whether the chosen model has experts to choose among."""
