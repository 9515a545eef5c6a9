"""What the header of a picture tells, without its pixels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

_TIFF = {".tif", ".tiff"}
_BITS = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Header:
    """Of one picture."""

    size: tuple[int, int]
    """Height and width as they are shown, pixels."""
    bits: int
    """Of one value."""
    mode: str
    """``RGB``, ``L``, ``P`` (palette), ``CMYK`` and so on, in the names of Pillow; ``TIFF`` for TIFF."""
    turned: bool = False
    """Whether an EXIF tag says that it must be turned before it is shown."""


def read_header(path: Path) -> Header | None:
    """The header of a picture; ``None`` where it cannot be read."""
    try:
        return _of_tiff(path) if path.suffix.lower() in _TIFF else _of_picture(path)
    except Exception:  # Pillow and tifffile raise many kinds; reading the pixels names the reason
        return None


def states_voxel_size(path: Path) -> bool:
    """Whether a NIfTI header gives the size of a voxel, or a reader must assume 1."""
    import nibabel as nib
    from nibabel.openers import ImageOpener

    kind = nib.Nifti2Header if nib.load(path).header["sizeof_hdr"] == nib.Nifti2Header.sizeof_hdr else None
    with ImageOpener(path) as file:
        header = (kind or nib.Nifti1Header).from_fileobj(file, check=False)
    oriented = int(header["qform_code"]) > 0 or int(header["sform_code"]) > 0
    return oriented or bool((header["pixdim"][1:4] > 0).all())


def _of_tiff(path: Path) -> Header:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        return Header((page.imagelength, page.imagewidth), int(page.bitspersample), "TIFF")


def _of_picture(path: Path) -> Header:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as picture:
            width, height = picture.size
            orientation = picture.getexif().get(_ORIENTATION, 1)
            size = (width, height) if orientation >= 5 else (height, width)
            return Header(size, _BITS.get(picture.mode, 8), picture.mode, orientation not in (0, 1))
