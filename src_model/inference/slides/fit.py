"""Whether a slide and a network fit, and what the user should know where they may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from src_model.data.normalise import match_channels
from src_model.data.slide import Slide
from src_model.errors import ImageError

if TYPE_CHECKING:
    from src_model.inference.network import Network
    from src_model.inference.slides.request import SlideRequest
    from src_model.inference.slides.tissue import Tissue


def check_dimensions(slide: Slide, network: Network) -> None:
    """Refuse a network for volumes with an ImageError."""
    if network.model.dims != 2:
        raise ImageError(
            f"{slide.path.name} is a slide, but '{network.model.name}' is a network for volumes; choose a "
            "model for images."
        )


def check_channels(slide: Slide, shape: tuple[int, ...], wanted: int) -> None:
    """Refuse pixels of another number of channels than the network takes.

    Grey is shown to a network of colours. Colours become grey and alpha is dropped; channels never are.

    Parameters
    ----------
    slide
        Of which the pixels are.
    shape
        Of some of them, (Y, X, C).
    wanted
        Channels of the network.

    Raises
    ------
    ImageError
        When they do not fit; names those that the slide has.
    """
    given = shape[-1]
    if slide.axes != "CYX":
        match_channels(np.zeros(shape, np.float32), wanted)
    elif given != wanted and not (given == 1 and wanted == 3):
        what = f"{slide.path.name} has {given} channels"
        if given < slide.levels[0].channels:
            what = f"Of {slide.path.name} {given} channels were chosen"
        raise ImageError(f"{what} but the model expects {wanted}; {_remedy(slide, wanted)}.")


def _remedy(slide: Slide, wanted: int) -> str:
    """What to do about a wrong number of channels."""
    ways = [f"{wanted}"] if wanted <= slide.levels[0].channels else []
    ways = ["one to be shown as grey", *ways] if wanted == 3 else ways
    if not ways:
        return "choose a model that takes fewer"
    return f"choose {' or '.join(ways)} of {_channel_names(slide)} as 'channels' (`--channels`)"


def _channel_names(slide: Slide) -> str:
    """The channels of a slide as a person chooses them: ``0 (DAPI), 1 (CD8)``."""
    names = slide.channel_names or ("",) * slide.levels[0].channels
    return ", ".join(f"{number} ({name})" if name else str(number) for number, name in enumerate(names))


def known_channels(slide: Slide, channels: Sequence[int]) -> list[int]:
    """The numbers of some channels; refuses those that the slide does not have with an ImageError."""
    if slide.axes != "CYX":
        raise ImageError(
            f"{slide.path.name} has no channels to choose from, as it is "
            f"{'a picture in colour' if slide.is_rgb else 'grey'}, but got {list(channels)}; leave them out."
        )
    if not channels or not all(0 <= number < slide.levels[0].channels for number in channels):
        raise ImageError(
            f"{slide.path.name} has the channels {_channel_names(slide)} but got {list(channels)}; "
            "choose among them."
        )
    return list(channels)


def notes_on_fit(
    slide: Slide, request: SlideRequest, network: Network, wanted_um: float | None, slide_um: float | None
) -> tuple[str, ...]:
    """What the user should know before a slide is segmented, a sentence each.

    Parameters
    ----------
    slide, request, network
        What is segmented, how, and by what.
    wanted_um, slide_um
        Side of a pixel of the mask, and of the slide's finest level, micrometres, where they are known.
    """
    return (
        *_notes_on_resolution(slide.path.name, wanted_um, slide_um, network.training.get("sampling")),
        *_notes_on_colours(slide, request.channels, network.in_channels),
        *_notes_on_tissue(slide, request.tissue),
    )


def _notes_on_resolution(
    name: str, wanted_um: float | None, slide_um: float | None, sampling: str | None
) -> tuple[str, ...]:
    """Where the slide or the model does not tell the size of a pixel.

    ``sampling`` is how the model saw its training images, see :class:`src_model.config.TrainConfig`.
    """
    if slide_um is None and wanted_um is not None:
        return (
            f"{name} does not tell its pixel size, so it is segmented at its finest level; give "
            f"the pixel size of the slide, as this model wants {wanted_um:g} micrometres.",
        )
    if wanted_um is None and sampling == "resize":
        return (
            "This model was trained on whole images shrunk to one size, so it does not know the pixel size "
            "that suits it; choose one at which structures are as large as they were in training.",
        )
    return ()


def _notes_on_colours(slide: Slide, channels: Sequence[int] | None, wanted: int) -> tuple[str, ...]:
    if slide.axes != "CYX" or channels is not None or not wanted == slide.levels[0].channels == 3:
        return ()
    return (
        f"The model takes the channels {_channel_names(slide)} of {slide.path.name} for red, green and blue; "
        "choose others as 'channels' (`--channels`) if they are not.",
    )


def _notes_on_tissue(slide: Slide, tissue: Tissue | None) -> tuple[str, ...]:
    if tissue is None or tissue.thumbnail is None or not tissue.thumbnail.damaged.any():
        return ()
    return (
        f"Parts of the overview of {slide.path.name} could not be decoded and count as tissue; the threshold "
        "of the tissue may have moved a little by that.",
    )
