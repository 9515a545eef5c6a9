"""From the Train dock's intent to a frozen request, checked before any work begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_utanet.adapters.from_layer import from_layer
from napari_utanet.adapters.pairs import DrawnPair, Preview, draw_preview
from napari_utanet.controllers.runs import new_run_folder, resumed, unfinished_epochs
from napari_utanet.samples import sample_folder
from napari_utanet.shelf import runs_folder
from napari_utanet.state import TrainState
from src_model.config import CLASS_COLORS, ClassInfo, TrainConfig, named_classes
from src_model.errors import DataError
from src_model.models.registry import models_with_domains
from src_model.nested import merge
from src_model.protocols import protocol

if TYPE_CHECKING:
    from src_model.data.layouts import Case, Listing

_NUCLEUS = ClassInfo(name="nucleus", color="#2ec4b6")
_TRIED = 5
"""Cases of a folder that are tried for a preview."""


@dataclass(frozen=True, eq=False)
class TrainRequest:
    """One run: its configuration, and drawn layers that must be written out first."""

    config: TrainConfig
    drawn: DrawnPair | None = None


@dataclass(frozen=True, eq=False)
class PreviewRequest:
    """Of what a preview is wanted: a folder of pairs, or drawn layers."""

    folder: Path | None
    drawn: DrawnPair | None = None
    layout: str = "auto"
    """Of the folder."""
    checked: bool = False
    """Whether every file is read after the preview."""


def resolve(
    state: TrainState, image: Any | None, labels: Any | None, class_names: Sequence[str] = ()
) -> TrainRequest:
    """Freeze the intent.

    Parameters
    ----------
    state
        The dock's state.
    image, labels
        The live layers that ``state`` names, ``None`` where they are gone.
    class_names
        What the dataset calls its foreground classes; used where there are as many as ``state`` wants.

    Raises
    ------
    UTANetError
        In one sentence, what is missing or wrong.
    """
    if state.out is not None and unfinished_epochs(state.out) is not None:
        return TrainRequest(resumed(state.out, state.device))
    drawn = drawn_pair(image, labels) if state.source == "layers" else None
    out = state.out or new_run_folder(runs_folder(), _subject(state, drawn))
    root = out / "data" if drawn else _source_folder(state)
    outputs = 1 if state.classes == 1 else state.classes + 1
    values = merge(
        _one_run(protocol(state.protocol)),
        {
            "data": {"root": str(root), "layout": state.layout if state.source == "folder" else "auto"},
            "out": str(out),
            "model": {
                "name": state.model,
                "num_classes": outputs,
                "encoder_weights": "imagenet" if state.imagenet else None,
            },
            "stage1": {"epochs": state.stage1_epochs},
            "stage2": {"epochs": state.stage2_epochs},
            "batch_size": state.batch_size,
            "device": state.device,
            "classes": [info.model_dump() for info in _classes(state, class_names)],
        },
    )
    return TrainRequest(TrainConfig.parse(values), drawn)


def preview_request(state: TrainState, image: Any | None, labels: Any | None) -> PreviewRequest:
    """Freeze what the preview shows.

    Raises
    ------
    UTANetError
        When there is nothing to show yet.
    """
    if state.source == "layers":
        return PreviewRequest(None, drawn_pair(image, labels))
    folder = _source_folder(state)
    if state.source == "sample":
        return PreviewRequest(folder)
    return PreviewRequest(folder, layout=state.layout, checked=True)


def make_preview(request: PreviewRequest) -> Preview:
    """Read and draw one pair; runs in the background.

    Raises
    ------
    DataError
        When the folder holds no pairs, or none of the first ones can be read.
    """
    if request.drawn is not None:
        image, labels = request.drawn.image, request.drawn.labels
        pixels = image.read()
        if "C" in image.axes:
            pixels = np.moveaxis(pixels, image.axes.index("C"), -1)
        planes = labels.reshape(-1, *labels.shape[-2:])
        shown = int(planes.any(axis=(1, 2)).argmax())
        pixels = pixels.reshape(len(planes), *planes.shape[1:], -1)
        return draw_preview(pixels[shown], planes[shown], image.name)
    from src_model.data.layouts import find_cases

    if request.folder is None:
        raise DataError("Choose a folder of pairs: images in one subfolder, masks in another.")
    listing = find_cases(request.folder, request.layout)
    case, shown_image, mask = _first_readable(listing)
    caption = case.image.name if request.checked else f"{len(listing.cases)} pairs; this is {case.id}"
    return draw_preview(shown_image, mask, caption)


def drawn_pair(image: Any | None, labels: Any | None) -> DrawnPair:
    """Copy an image layer and the labels drawn on it.

    Raises
    ------
    DataError
        When one of them is missing, or they differ in size.
    """
    if image is None or labels is None:
        raise DataError("Choose an image layer, and a labels layer on which the objects are drawn.")
    request = from_layer(image)
    drawn = np.array(labels.data)
    if drawn.shape != request.shape:
        raise DataError(
            f"The labels '{labels.name}' have shape {drawn.shape} but the image '{image.name}' has "
            f"{request.shape}; draw on a labels layer of the same size."
        )
    return DrawnPair(request, drawn)


def _source_folder(state: TrainState) -> Path:
    if state.source == "sample":
        return sample_folder() / "nuclei"
    if state.folder is None:
        raise DataError("Choose a folder of pairs: images in one subfolder, masks in another.")
    if not state.folder.is_dir():
        raise DataError(f"There is no folder {state.folder}; check the path.")
    return state.folder


def _first_readable(listing: Listing) -> tuple[Case, NDArray[Any], NDArray[Any]]:
    """One of the first cases with its image and mask; raises what the first one lacks."""
    from src_model.data.read_case import forget_volumes, middle_plane, read_case_image, read_case_mask

    errors: list[DataError] = []
    for case in listing.cases[:_TRIED]:
        try:
            flat = case if listing.dims == 2 else middle_plane(case)
            image = read_case_image(flat)
            return flat, image, read_case_mask(flat, (image.shape[0], image.shape[1]))
        except DataError as error:
            errors.append(error)
        finally:
            forget_volumes()
    raise errors[0]


def _one_run(values: dict[str, Any]) -> dict[str, Any]:
    """A protocol without its cross-validation: the dock trains once and keeps the best epoch."""
    data = {key: value for key, value in values.get("data", {}).items() if key not in ("folds", "fold")}
    return {key: value for key, value in values.items() if key != "keep"} | {"data": data}


def _classes(state: TrainState, names: Sequence[str]) -> tuple[ClassInfo, ...]:
    if state.model in models_with_domains():
        return ()  # each dataset names its own
    if state.source == "sample" and state.classes == 1:
        return (_NUCLEUS,)
    given = names if state.source == "folder" and len(names) == state.classes else ()
    colors = (CLASS_COLORS[n % len(CLASS_COLORS)] for n in range(len(given)))
    infos = [ClassInfo(name=name, color=color) for name, color in zip(given, colors, strict=True)]
    return named_classes(infos, state.classes)


def _subject(state: TrainState, drawn: DrawnPair | None) -> str:
    if drawn is not None:
        name = drawn.image.name
    elif state.source == "folder" and state.folder is not None:
        name = state.folder.name
    else:
        name = "nuclei"
    return "".join(c if c.isalnum() or c in " -_." else "-" for c in name).strip(" .") or "run"
