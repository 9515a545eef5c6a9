"""Slides in OME-Zarr 0.4 and 0.5, read chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.slide_formats.contents import Contents
from src_model.data.slide_formats.level import Box, Level, one_line
from src_model.data.slide_formats.tiff_metadata import PixelSize, in_micrometres, usable
from src_model.errors import DataError

_KNOWN = "tczyx"
_COLOURS = ("FF0000", "00FF00", "0000FF")


def open_ome_zarr(path: Path) -> Contents:
    """Read the description of an OME-Zarr folder; pixels are read later.

    Raises
    ------
    DataError
        When the folder holds no OME-Zarr image, or lacks a level that it names.
    """
    import zarr

    try:
        root = zarr.open_group(path, mode="r")
        group, described = _image_group(root)
    except Exception as error:  # zarr raises many kinds for folders that are not its own
        raise DataError(
            f"{path} is no OME-Zarr image ({one_line(error)}); choose the folder that holds the image."
        ) from error
    if described is None:
        raise DataError(
            f"{path} is no OME-Zarr image: it names no 'multiscales'; choose the folder of the image."
        )
    try:
        return _contents(path, group, described)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"{path} describes its image otherwise than OME-Zarr does ({one_line(error)}); write it anew."
        ) from error


def _contents(path: Path, group: Any, described: Mapping[str, Any]) -> Contents:
    multiscale = described["multiscales"][0]
    axes, units = _axes(path, multiscale)
    colour = _is_rgb(described)
    warnings: list[str] = []
    levels: list[Level] = []
    for number, dataset in enumerate(multiscale["datasets"]):
        name = f"{path}, level {number}"
        array = _array(group, str(dataset["path"]), name)
        pixels = _ZarrPixels(array, axes, colour, name)
        levels.append(Level(pixels.shape, array.dtype, pixels.axes, pixels.read, name=name, tile=pixels.tile))
        warnings += [text for text in pixels.warnings if text not in warnings]
    return Contents(
        format=f"OME-Zarr {_version(described, multiscale)}",
        levels=levels,
        is_rgb=levels[0].axes == "YXC",
        pixel_size_um=_pixel_size(multiscale, axes, units),
        channel_names=_channel_names(described),
        metadata={"name": multiscale.get("name", ""), **_plain(multiscale.get("metadata", {}))},
        warnings=[f"Of {path} {text}." for text in warnings],
        is_stack=bool(warnings),
    )


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder says that it holds an OME-Zarr image; nothing of the image is read."""
    described = [path / name for name in (".zattrs", "zarr.json")]
    text = "".join(file.read_text(encoding="utf-8") for file in described if file.is_file())
    return '"multiscales"' in text or '"bioformats2raw.layout"' in text


def _image_group(root: Any) -> tuple[Any, Mapping[str, Any] | None]:
    """The group of the first image, and its description."""
    for group in (root, root.get("0") if "bioformats2raw.layout" in _described(root) else None):
        if group is not None and "multiscales" in _described(group):
            return group, _described(group)
    return root, None


def _described(group: Any) -> Mapping[str, Any]:
    """The attributes of OME: under ``ome`` from version 0.5 on, before that beside the others."""
    attributes = dict(group.attrs)
    nested = attributes.get("ome")
    return nested if isinstance(nested, dict) else attributes


def _version(described: Mapping[str, Any], multiscale: Mapping[str, Any]) -> str:
    return str(described.get("version", multiscale.get("version", "")))


def _axes(path: Path, multiscale: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Names of axes in their order, and the unit of each."""
    entries = [
        axis if isinstance(axis, dict) else {"name": axis} for axis in multiscale.get("axes", list(_KNOWN))
    ]
    names = "".join(str(axis["name"]).lower()[:1] for axis in entries)
    if not {"y", "x"} <= set(names) <= set(_KNOWN):
        raise DataError(f"{path} has axes {names!r}; a slide has y, x and channels.")
    return names, {name: str(axis.get("unit", "")) for name, axis in zip(names, entries, strict=True)}


def _array(group: Any, key: str, name: str) -> Any:
    try:
        return group[key]
    except Exception as error:  # zarr raises many kinds for what is missing or damaged
        raise DataError(
            f"{name} is missing or damaged ({key}: {one_line(error)}); use another copy of the folder."
        ) from error


def _is_rgb(described: Mapping[str, Any]) -> bool:
    """Three channels in red, green and blue, in this order, are the colours of one picture."""
    channels = described.get("omero", {}).get("channels", [])
    return tuple(str(channel.get("color", "")).upper() for channel in channels) == _COLOURS


def _channel_names(described: Mapping[str, Any]) -> tuple[str, ...]:
    names = [str(channel.get("label", "")) for channel in described.get("omero", {}).get("channels", [])]
    return tuple(names) if all(names) else ()


def _pixel_size(multiscale: Mapping[str, Any], axes: str, units: Mapping[str, str]) -> PixelSize:
    """The scale of the finest level, where its unit is a length."""
    scale = np.ones(len(axes))
    transforms = multiscale["datasets"][0].get("coordinateTransformations", [])
    for transform in [*transforms, *multiscale.get("coordinateTransformations", [])]:
        if transform.get("type") == "scale" and len(transform.get("scale", [])) == len(axes):
            scale = scale * np.asarray(transform["scale"], dtype=float)
    y, x = (
        in_micrometres(float(scale[axes.index(axis)]), units[axis]) if units[axis] else None for axis in "yx"
    )
    return usable(y, x)


def _plain(values: Any) -> dict[str, Any]:
    items = values.items() if isinstance(values, dict) else ()
    return {str(key): value for key, value in items if isinstance(value, int | float | str | bool)}


class _ZarrPixels:
    """One array of a multiscale image, as ``YX``, ``YXC`` or ``CYX``."""

    def __init__(self, array: Any, axes: str, colour: bool, name: str) -> None:
        if len(axes) != len(array.shape):
            raise DataError(f"{name} has {len(array.shape)} axes but '{axes}' are described; write it anew.")
        sizes = dict(zip(axes, array.shape, strict=True))
        chunks = dict(zip(axes, array.chunks, strict=True))
        channels = sizes.get("c", 1)
        colour = colour and channels == 3 and array.dtype == np.uint8
        self.axes = "YX" if channels == 1 else "YXC" if colour else "CYX"
        self.shape = tuple(sizes[axis.lower()] for axis in self.axes)
        self.tile = (chunks["y"], chunks["x"])
        self.warnings = []
        self._array, self._stored = array, axes
        self._fixed = {axis: 0 for axis in axes if axis not in "yx"}
        if sizes.get("z", 1) > 1:
            self._fixed["z"] = sizes["z"] // 2
            self.warnings.append(f"the middle one of {sizes['z']} planes in depth is read")
        if sizes.get("t", 1) > 1:
            self.warnings.append(f"the first one of {sizes['t']} time points is read")

    def read(self, box: Box) -> NDArray[Any]:
        """Read the chunks that touch a region of the level."""
        spans = {axis.lower(): slice(*span) for axis, span in zip(self.axes, box, strict=True)}
        part = np.asarray(self._array[tuple(spans.get(axis, self._fixed.get(axis)) for axis in self._stored)])
        left = [axis for axis in self._stored if axis in spans]
        return part.transpose([left.index(axis.lower()) for axis in self.axes])
