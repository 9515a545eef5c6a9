"""Putting result layers into the viewer: a repeated run updates its layers, edits are kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_utanet.adapters.to_layer import METADATA_KEY, LayerData, checksum, role_of

_APPEARANCE_OF_THE_USER = {"name", "visible", "opacity", "blending", "multiscale"}


def show(viewer: Any, result: LayerData) -> Any:
    """Add ``result``, or update the layer that an earlier run made for the same image and role.

    A mask that was edited by hand since is left alone and a new layer is added beside it. The
    selection of layers stays as it was.

    Returns
    -------
    Layer
        The layer that now holds the result.
    """
    data, arguments, kind = result
    existing = _earlier(viewer, data, arguments, kind)
    if existing is None:
        return _add(viewer, result)
    existing.data = data
    for name, value in arguments.items():
        if name not in _APPEARANCE_OF_THE_USER:
            setattr(existing, name, value)
    existing.refresh()
    return existing


def show_pyramid(viewer: Any, result: LayerData) -> Any:
    """Add a pyramid that lies on disk, or give the layer that shows the same folder its new levels.

    Such layers cannot be painted on, so nothing of the user's is lost. The selection of layers stays
    as it was.
    """
    data, arguments, _ = result
    wanted = arguments["metadata"][METADATA_KEY]
    existing = next(
        (
            layer
            for layer in viewer.layers
            if role_of(layer) == wanted["role"] and layer.metadata[METADATA_KEY]["path"] == wanted["path"]
        ),
        None,
    )
    if existing is None:
        return _add(viewer, result)
    existing.data = data
    for name, value in arguments.items():
        if name not in _APPEARANCE_OF_THE_USER:
            setattr(existing, name, value)
    existing.visible = True
    return existing


def show_beside(viewer: Any, result: LayerData) -> Any:
    """Add a layer in place of one that an earlier run made for the same slide and role."""
    wanted = result[1]["metadata"][METADATA_KEY]
    for layer in list(viewer.layers):
        if role_of(layer) == wanted["role"] and layer.metadata[METADATA_KEY]["source"] == wanted["source"]:
            viewer.layers.remove(layer)
    return _add(viewer, result)


def _add(viewer: Any, result: LayerData) -> Any:
    """Add a layer; the selection stays as it was."""
    data, arguments, kind = result
    selected = set(viewer.layers.selection)
    layer = getattr(viewer, f"add_{kind}")(data, **arguments)
    if selected:
        viewer.layers.selection = {one for one in selected if one in viewer.layers}
    return layer


def was_edited(layer: Any) -> bool:
    """Whether a mask made here was painted on since."""
    remembered = layer.metadata.get(METADATA_KEY, {}).get("checksum")
    return remembered is not None and remembered != checksum(np.asarray(layer.data))


def _earlier(viewer: Any, data: Any, arguments: dict[str, Any], kind: str) -> Any | None:
    wanted = arguments["metadata"][METADATA_KEY]
    for layer in viewer.layers:
        if role_of(layer) != wanted["role"] or layer.metadata[METADATA_KEY]["source"] != wanted["source"]:
            continue
        fits = type(layer).__name__.lower() == kind and layer.ndim == data.ndim
        if fits and not was_edited(layer):
            return layer
    return None
