"""Slides of the vendors that OpenSlide knows, where it is installed (the extra ``slides``)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.data.slide_formats.contents import Contents
from src_model.data.slide_formats.level import Box, Level, one_line
from src_model.data.slide_formats.tiff_metadata import PixelSize, usable
from src_model.errors import DataError

INSTALL = "pip install 'napari-utanet[slides]'"
_WHITE = (255, 255, 255)


def open_with_openslide(path: Path) -> Contents:
    """Open a slide by OpenSlide; pixels are read later.

    Raises
    ------
    DataError
        When OpenSlide is not installed, does not know the file, or finds it damaged.
    """
    try:
        import openslide
    except (ImportError, OSError) as error:
        raise DataError(f"{path} is read by OpenSlide, which is not installed; run: {INSTALL}.") from error
    try:
        vendor = openslide.OpenSlide.detect_format(path)
        if vendor is None:
            raise DataError(f"{path} is no slide that OpenSlide knows; convert it to OME-TIFF.")
        slide = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise DataError(f"{path} cannot be read ({one_line(error)}); use another copy.") from error
    properties = dict(slide.properties)
    handle = _Handle(path, slide, _background(properties))
    levels = []
    for number, (width, height) in enumerate(slide.level_dimensions):
        pixels = _OpenSlidePixels(handle, number, float(slide.level_downsamples[number]))
        tile = (
            int(properties.get(f"openslide.level[{number}].tile-height", 256)),
            int(properties.get(f"openslide.level[{number}].tile-width", 256)),
        )
        name = f"{path}, level {number}"
        levels.append(Level((height, width, 3), np.dtype(np.uint8), "YXC", pixels.read, name=name, tile=tile))
    return Contents(
        format=f"{vendor} (OpenSlide)",
        levels=levels,
        is_rgb=True,
        pixel_size_um=_pixel_size(properties),
        associated={name: _associated(handle, name, properties) for name in slide.associated_images},
        metadata=properties,
    )


class _Handle:
    """The open slide; opened anew after an error, because OpenSlide does not go on after one."""

    def __init__(self, path: Path, slide: Any, background: tuple[int, ...]) -> None:
        self.path, self.background = path, background
        self._slide = slide
        self._lock = threading.Lock()

    def region(self, level: int, corner: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
        """``(Y, X, 3)``; the corner is (x, y) in pixels of the finest level, the size (width, height)."""
        import openslide

        slide = self._open()
        try:
            return self._flat(slide.read_region(corner, level, size))
        except openslide.OpenSlideError:
            with self._lock:
                self._slide = None
            raise

    def associated(self, name: str) -> NDArray[np.uint8]:
        """``(Y, X, 3)``, such as of the label."""
        return self._flat(self._open().associated_images[name])

    def _open(self) -> Any:
        import openslide

        with self._lock:
            if self._slide is None:
                self._slide = openslide.OpenSlide(self.path)
            return self._slide

    def _flat(self, picture: Any) -> NDArray[np.uint8]:
        """What was not scanned is transparent; it gets the colour of the background."""
        from PIL import Image

        canvas = Image.new("RGB", picture.size, self.background)
        canvas.paste(picture, mask=picture.getchannel("A"))
        return np.asarray(canvas)


class _OpenSlidePixels:
    """The pixels of one level."""

    def __init__(self, handle: _Handle, number: int, factor: float) -> None:
        self._handle, self._number, self._factor = handle, number, factor

    def read(self, box: Box) -> NDArray[Any]:
        """Read a region of the level."""
        (top, bottom), (left, right), (first, last) = box
        corner = (round(left * self._factor), round(top * self._factor))
        region = self._handle.region(self._number, corner, (right - left, bottom - top))
        return region[..., first:last]


def _associated(handle: _Handle, name: str, properties: dict[str, str]) -> Level:
    def read(box: Box) -> NDArray[Any]:
        return handle.associated(name)[tuple(slice(*span) for span in box)]

    height, width = (int(properties[f"openslide.associated.{name}.{side}"]) for side in ("height", "width"))
    return Level(
        (height, width, 3),
        np.dtype(np.uint8),
        "YXC",
        read,
        name=f"{handle.path}, {name}",
        tile=(height, width),
    )


def _background(properties: dict[str, str]) -> tuple[int, ...]:
    colour = properties.get("openslide.background-color", "")
    return tuple(bytes.fromhex(colour)) if len(colour) == 6 else _WHITE


def _pixel_size(properties: dict[str, str]) -> PixelSize:
    try:
        return usable(*(float(properties[f"openslide.mpp-{axis}"]) for axis in "yx"))
    except (KeyError, ValueError):
        return None
