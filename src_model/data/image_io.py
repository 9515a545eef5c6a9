"""Reading images and masks, writing masks, and the checks that every image must pass."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src_model.errors import DataError, ImageError
from src_model.files import atomic_path

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp"})
"""File endings that :func:`read_image` takes, in lower case."""

_TIFF = {".tif", ".tiff"}
_LOSSY = {".jpg", ".jpeg"}
_JPEG_THRESHOLD = 127
_JPEG_TINT = 48
"""Channels of a grey JPEG that was stored as colour may differ by so much."""


def read_image(path: str | Path) -> NDArray[Any]:
    """Read an image as it is stored.

    Parameters
    ----------
    path
        One of :data:`IMAGE_SUFFIXES`. Of a pyramidal TIFF the full resolution is read.

    Returns
    -------
    ndarray
        ``(Y, X)``, ``(Y, X, C)``, or with planes first; its own type. Palette and CMYK pictures
        become RGB; a photograph is turned as its EXIF tag says.

    Raises
    ------
    DataError
        When the file is missing, empty, of an unknown kind, truncated or damaged.
    """
    path = _existing(path)
    if path.suffix.lower() in _TIFF:
        return _read_tiff(path)
    return _read_picture(path, labels=False)


def read_mask(path: str | Path) -> NDArray[Any]:
    """Read a mask as whole numbers, as they are stored.

    A JPEG mask is thresholded at 127, because its values carry noise. A picture whose colour
    channels are equal counts as grey; a palette picture gives its palette's indices, or, where it is
    black and white, 255 for white.

    Returns
    -------
    ndarray
        ``(Y, X)``, an unsigned integer type; 0 is background.

    Raises
    ------
    DataError
        When the file cannot be read, is a colour picture, or holds negative or broken numbers.
    """
    path = _existing(path)
    tiff = path.suffix.lower() in _TIFF
    mask = _read_tiff(path) if tiff else _read_picture(path, labels=True)
    lossy = path.suffix.lower() in _LOSSY
    mask = _single_channel(mask, path, tint=_JPEG_TINT if lossy else 0)
    if lossy:
        return (mask > _JPEG_THRESHOLD).astype(np.uint8)
    return whole_numbers(mask, path)


def write_mask(path: str | Path, mask: NDArray[Any], *, pixel_size_um: float | None = None) -> Path:
    """Write a mask as a compressed TIFF, by atomic rename.

    Parameters
    ----------
    mask
        ``(Y, X)`` or with planes first; an integer type.
    pixel_size_um
        Stored as the resolution, where known.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    import tifffile

    options: dict[str, Any] = {}
    if pixel_size_um is not None:
        per_centimetre = 1e4 / pixel_size_um
        options = {"resolution": (per_centimetre, per_centimetre), "resolutionunit": "CENTIMETER"}
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, mask, compression="zlib", photometric="minisblack", **options)
    return Path(path)


def check_image(image: NDArray[Any]) -> None:
    """Refuse what no network can segment.

    Raises
    ------
    ImageError
        For an array that is not numeric or complex, has fewer than two axes, is empty, has a
        single pixel, holds no finite number, or one value only.
    """
    if image.dtype.kind == "c":
        raise ImageError("The image holds complex numbers; show its magnitude or phase and segment that.")
    if image.dtype.kind not in "buif":
        raise ImageError(f"The image holds {image.dtype} values but numbers are expected.")
    shape = "x".join(map(str, image.shape))
    if image.ndim < 2:
        raise ImageError(f"The image has {image.ndim} axes ({shape}) but at least two are needed.")
    if image.size == 0:
        raise ImageError(f"The image is empty ({shape}); choose one with pixels.")
    if image.size == 1 or (image.ndim == 3 and math.prod(image.shape[:2]) == 1):
        raise ImageError(f"The image has a single pixel ({shape}); choose a larger one.")
    low, high = finite_range(image)
    if low is None or high is None:
        raise ImageError("The image holds no finite number, only NaN or infinity; check how it was made.")
    if low == high:
        raise ImageError(f"The image has the value {low:g} everywhere; there is nothing to segment.")


def finite_range(image: NDArray[Any]) -> tuple[float | None, float | None]:
    """Smallest and largest finite value; ``(None, None)`` where there is none."""
    if image.dtype.kind != "f":
        return float(image.min()), float(image.max())
    low, high = float(np.fmin.reduce(image, axis=None)), float(np.fmax.reduce(image, axis=None))
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    finite = image[np.isfinite(image)]
    return (float(finite.min()), float(finite.max())) if finite.size else (None, None)


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"{path} is of a kind that is not read here; convert it to one of: {known}.")
    if not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); use another copy of the file.")
    return path


def _unreadable(path: Path, error: Exception) -> DataError:
    from PIL import Image

    if isinstance(error, PermissionError):
        return DataError(f"{path} may not be read; change the permissions of the file.")
    if isinstance(error, MemoryError):
        return DataError(f"{path} does not fit into memory; cut it into smaller images.")
    if isinstance(error, Image.DecompressionBombError):
        return DataError(f"{path} has too many pixels for a picture of its kind; save it as TIFF.")
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return DataError(f"{path} cannot be read, it is truncated or damaged ({reason}); use another copy.")


def _read_tiff(path: Path) -> NDArray[Any]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            _check_complete(series)
            image: NDArray[Any] = series.asarray()
            axes = series.axes
    except Exception as error:  # tifffile and its codecs raise many kinds for damaged files
        raise _unreadable(path, error) from error
    if "S" in axes and not axes.endswith("S"):
        image = np.moveaxis(image, axes.index("S"), -1)
    return image


def _check_complete(series: Any) -> None:
    """Some decoders fill what is missing of a truncated file, so its end is looked at first."""
    if series.keyframe.compression == 1:  # not compressed: tifffile itself misses the bytes
        return
    for page in series.pages:
        segments = zip(page.dataoffsets, page.databytecounts, strict=True) if page is not None else ()
        if max((offset + count for offset, count in segments), default=0) > page.parent.filehandle.size:
            raise EOFError("it ends before its data do")


def _read_picture(path: Path, *, labels: bool) -> NDArray[Any]:
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                turned = ImageOps.exif_transpose(picture)
                return np.asarray(_plain_mode(turned, labels=labels))
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise _unreadable(path, error) from error


def _plain_mode(picture: Any, *, labels: bool) -> Any:
    """Without palette, CMYK and the like; of labels the palette's indices are kept."""
    if picture.mode == "P" and labels:
        return picture.convert("L") if _is_black_and_white(picture) else picture
    if picture.mode == "P":
        return picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    if picture.mode in {"CMYK", "YCbCr", "LAB", "HSV"}:
        return picture.convert("RGB")
    return picture.convert("L") if picture.mode == "LA" else picture


def _is_black_and_white(picture: Any) -> bool:
    """Whether the palette's two colours in use are black and white; programs order them differently."""
    colours = picture.getpalette("RGB") or []
    used = [tuple(colours[3 * index : 3 * index + 3]) for _, index in picture.getcolors()]
    return len(set(used)) == len(used) and set(used) <= {(0, 0, 0), (255, 255, 255)}


def _single_channel(mask: NDArray[Any], path: Path, *, tint: int) -> NDArray[Any]:
    if mask.ndim == 3 and mask.shape[-1] in (3, 4):
        colours = mask[..., :3]
        if (colours.max(-1) - colours.min(-1)).max(initial=0) > tint:
            raise DataError(
                f"The mask {path} is a colour picture; save it with one number per class or object instead."
            )
        mask = mask[..., 1]  # green carries most of a JPEG's brightness
    mask = np.squeeze(mask) if mask.ndim > 2 else mask
    if mask.ndim != 2:
        shape = "x".join(map(str, mask.shape))
        raise DataError(f"The mask {path} has {mask.ndim} axes ({shape}) but two (Y, X) are expected.")
    return mask


def whole_numbers(mask: NDArray[Any], path: Path) -> NDArray[Any]:
    """The numbers of a mask as an unsigned type.

    Raises
    ------
    DataError
        When they are negative, broken or no numbers; names ``path``.
    """
    if mask.dtype.kind == "b":
        return mask.astype(np.uint8)
    if mask.dtype.kind == "u":
        return mask
    if mask.dtype.kind not in "if" or not np.isfinite(mask).all() or (mask < 0).any() or (mask % 1).any():
        raise DataError(
            f"The mask {path} ({mask.dtype}) must hold whole numbers from 0 on; save it as labels instead."
        )
    return mask.astype(np.uint32)
