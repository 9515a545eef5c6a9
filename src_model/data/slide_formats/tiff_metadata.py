"""What the vendors write beside the pixels of a TIFF: pixel size, names of channels, notes of the scanner."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

PixelSize = tuple[float, float] | None
"""Micrometres along Y and X."""

FORMATS = {
    "svs": "Aperio SVS",
    "ndpi": "Hamamatsu NDPI",
    "scn": "Leica SCN",
    "qpi": "QPTIFF",
    "ome": "OME-TIFF",
    "bif": "Ventana BIF",
    "philips": "Philips TIFF",
}
"""Names of formats, by what tifffile calls a series."""

_UM_PER_UNIT = {
    "": 1.0, "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4, "m": 1e6,
    "meter": 1e6, "angstrom": 1e-4, "Å": 1e-4,
}  # fmt: skip
_UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0}
_COARSEST_UM = 20.0
"""A TIFF that claims larger pixels, such as 72 per inch, tells of a screen or printer."""


def in_micrometres(value: float, unit: str) -> float | None:
    """A length in micrometres, or ``None`` for an unknown unit."""
    factor = _UM_PER_UNIT.get(unit, _UM_PER_UNIT.get(unit.lower()))
    return None if factor is None else value * factor


def usable(y: float | None, x: float | None) -> PixelSize:
    """Two lengths as a pixel size where both are positive numbers."""
    if y is None or x is None or not all(math.isfinite(v) and v > 0 for v in (y, x)):
        return None
    return y, x


def pixel_size(kind: str, file: Any, series: Any, index: int) -> PixelSize:
    """Pixel size of the finest level, where the file tells it."""
    page = series.keyframe
    if kind == "svs":
        um = _number(aperio_properties(page.description).get("MPP"))
        return usable(um, um) or _from_tags(page)
    if kind == "ome":
        return _of_ome(file, index)
    if kind == "philips":
        return _of_philips(page.description)
    if kind == "imagej":
        unit = str((file.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ")
        return _from_imagej(page, unit)
    return _from_tags(page)


def channel_names(kind: str, file: Any, series: Any, index: int) -> tuple[str, ...]:
    """Names of channels in their order, or nothing where the file has none."""
    if kind == "ome":
        names = [channel.get("Name") for channel in _children(_ome_pixels(file, index), "Channel")]
    elif kind == "qpi":
        names = [_text(_xml(page.description), "Name") for page in series if page is not None]
    else:
        names = []
    return tuple(name for name in names if name) if all(names) else ()


def properties(kind: str, file: Any) -> dict[str, Any]:
    """The scanner's notes as plain words and numbers; the whole description under ``description``."""
    page = file.pages.first
    notes: dict[str, Any] = {"description": page.description}
    if kind == "svs":
        notes |= aperio_properties(page.description)
    if kind == "ndpi":
        tags = page.ndpi_tags or {}
        notes |= {key: value for key, value in tags.items() if isinstance(value, int | float | str)}
    if kind == "qpi":
        root = _xml(page.description)
        fields = () if root is None else root
        notes |= {child.tag: child.text for child in fields if child.text and child.text.strip()}
    if page.software:
        notes["software"] = page.software
    return notes


def image_type(description: str) -> str:
    """What a page of a QPTIFF shows, such as ``Label``; nothing in other files."""
    return _text(_xml(description), "ImageType") or ""


def aperio_properties(description: str) -> dict[str, str]:
    """The fields of an Aperio description, such as ``AppMag`` and ``MPP``."""
    pairs = (field.partition("=") for field in description.split("|")[1:])
    return {key.strip(): value.strip() for key, sign, value in pairs if sign}


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _per_unit(page: Any) -> tuple[float, float] | None:
    """Pixels per unit along Y and X."""
    found = []
    for name in ("YResolution", "XResolution"):
        value = page.tags.valueof(name)
        if not isinstance(value, tuple) or len(value) != 2 or 0 in value:
            return None
        found.append(value[0] / value[1])
    return found[0], found[1]


def _from_tags(page: Any) -> PixelSize:
    per_unit, um = _per_unit(page), _UM_PER_RESOLUTION_UNIT.get(int(page.resolutionunit or 0))
    if per_unit is None or um is None:
        return None
    size = usable(um / per_unit[0], um / per_unit[1])
    return size if size and max(size) <= _COARSEST_UM else None


def _from_imagej(page: Any, unit: str) -> PixelSize:
    per_unit, um = _per_unit(page), in_micrometres(1.0, unit) if unit else None
    if um is None or per_unit is None:
        return _from_tags(page)
    return usable(um / per_unit[0], um / per_unit[1])


def _of_ome(file: Any, index: int) -> PixelSize:
    pixels = _ome_pixels(file, index)
    if pixels is None:
        return None
    sizes = []
    for axis in "YX":
        value = _number(pixels.get(f"PhysicalSize{axis}"))
        unit = pixels.get(f"PhysicalSize{axis}Unit", "µm")
        sizes.append(None if value is None else in_micrometres(value, unit))
    return usable(*sizes)


def _ome_pixels(file: Any, index: int) -> ElementTree.Element | None:
    """The description of the image of a series."""
    images = list(_children(_xml(file.ome_metadata or ""), "Image"))
    if index >= len(images):
        return None
    return next(_children(images[index], "Pixels"), None)


def _of_philips(description: str) -> PixelSize:
    """The smallest spacing, in millimetres, that the description names."""
    spacings = [
        tuple(map(float, re.findall(r"[\d.eE+-]+", element.text or "")[:2]))
        for element in _every(_xml(description), "Attribute")
        if element.get("Name") == "DICOM_PIXEL_SPACING"
    ]
    pairs = [pair for pair in spacings if len(pair) == 2]
    if not pairs:
        return None
    y, x = min(pairs)
    return usable(y * 1e3, x * 1e3)


def _xml(text: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return None


def _children(element: ElementTree.Element | None, tag: str) -> Iterator[ElementTree.Element]:
    """Children of a name, whatever its namespace."""
    return _named(iter(()) if element is None else iter(element), tag)


def _every(element: ElementTree.Element | None, tag: str) -> Iterator[ElementTree.Element]:
    return _named(iter(()) if element is None else element.iter(), tag)


def _named(elements: Iterator[ElementTree.Element], tag: str) -> Iterator[ElementTree.Element]:
    return (element for element in elements if element.tag.rpartition("}")[2] == tag)


def _text(element: ElementTree.Element | None, tag: str) -> str | None:
    found = next(_children(element, tag), None)
    return None if found is None or not found.text else found.text.strip()
