"""What is assumed of a slide and a model until the user says otherwise, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_utanet.adapters.slide_layers import SlideLayer
from napari_utanet.controllers.checkpoints import ModelRead
from napari_utanet.shelf import results_folder
from napari_utanet.wording import listed


def likely_channels(slide: SlideLayer, model: ModelRead) -> tuple[int, ...]:
    """The one that the layer shows, where the model can see one; else the first that it takes."""
    if not slide.channels:
        return ()
    one = model.in_channels in (1, 3)
    if one and (slide.channel is not None or len(slide.channels) != model.in_channels):
        return (slide.channel or 0,)
    return tuple(range(min(model.in_channels, len(slide.channels))))


def what_the_model_sees(slide: SlideLayer, model: ModelRead, channels: tuple[int, ...]) -> str:
    """One sentence where a model of colours meets a slide without, or with more than 8 bits; else none."""
    if model.in_channels != 3:
        return ""
    deep = "" if slide.dtype == np.uint8 else f", its {8 * slide.dtype.itemsize}-bit values stretched"
    names = [slide.channels[number] for number in channels if number < len(slide.channels)]
    if slide.axes == "YXC":
        return f"This model knows colours of 8 bits: it sees the slide{deep}." if deep else ""
    if len(names) == 3:
        return f"This model knows colours: it sees {listed(names)} as red, green and blue{deep}."
    shown = names[0] if len(names) == 1 else "the slide"
    return "" if len(names) > 1 else f"This model knows colours: it sees {shown} as grey{deep}."


def default_folder(slide: SlideLayer) -> tuple[str, str]:
    """Where results go unless the user says otherwise: in words, and in full."""
    if slide.folder is not None:
        return "Beside the slide", str(slide.folder)
    return "In the results folder", str(results_folder())


def own_folder(slide: SlideLayer) -> Path | None:
    """The folder for results where the engine cannot know one."""
    return None if slide.path is not None else slide.folder or results_folder()
