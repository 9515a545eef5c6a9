"""Small slides in the formats of the vendors, written for the tests."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]

APERIO = "Aperio Image Library v12.0.15\r\n{width}x{height} (240x240) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990"
QPI = (
    "PerkinElmer-QPI-ImageDescription",
    "<DescriptionVersion>2</DescriptionVersion><ImageType>{kind}</ImageType>{more}",
)
SCN = """<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection>
{images}</collection></scn>"""


def tissue(height: int, width: int, channels: int = 3, seed: int = 0) -> Picture:
    """``(Y, X, C)``: smooth colours, which JPEG keeps well."""
    coarse = np.random.default_rng(seed).integers(60, 220, (5, 5, channels), dtype=np.uint8)
    planes = [
        np.asarray(Image.fromarray(coarse[..., n]).resize((width, height), Image.Resampling.BICUBIC))
        for n in range(channels)
    ]
    return np.stack(planes, axis=-1)


def pyramid(finest: NDArray[Any], levels: int) -> list[NDArray[Any]]:
    """``(Y, X[, C])`` images, each with every second pixel of the one before."""
    return [finest[:: 2**n, :: 2**n] for n in range(levels)]


def write_pyramid(path: Path, levels: Sequence[NDArray[Any]], **options: Any) -> Path:
    """A TIFF of tiled pages, one for each level, as libvips writes it."""
    settings: dict[str, Any] = {"tile": (64, 64), "compression": "zlib", "photometric": "minisblack"}
    if levels[0].ndim == 3:
        settings |= {"photometric": "rgb", "planarconfig": "contig"}
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            file.write(level, metadata=None, subfiletype=1 if number else 0, **settings | options)
    return path


def write_svs(path: Path, levels: Sequence[Picture], *, associated: bool = True) -> Path:
    """Baseline, thumbnail, further levels, label and macro, in Aperio's order."""
    height, width = levels[0].shape[:2]
    description = APERIO.format(height=height, width=width)
    tiled = {"tile": (64, 64), "compression": "jpeg", "compressionargs": {"level": 95}}
    common = {"metadata": None, "photometric": "rgb", "software": False}
    small = tissue(32, 40)
    with tifffile.TiffWriter(path) as file:
        file.write(levels[0], description=description, **tiled, **common)
        file.write(small, description="Aperio Image Library thumbnail", compression="jpeg", **common)
        for level in levels[1:]:
            file.write(level, description="Aperio Image Library level", **tiled, **common)
        if associated:
            for kind, flag in (("label", 1), ("macro", 9)):
                file.write(small, description=f"Aperio {kind}", subfiletype=flag, compression="lzw", **common)
    return path


def write_qptiff(path: Path, levels: Sequence[NDArray[Any]], names: Sequence[str]) -> Path:
    """Levels ``(Y, X, C)`` as one page for each channel, a thumbnail, and a label."""

    def described(kind: str, more: str = "") -> str:
        root, inside = QPI
        return (
            f'<?xml version="1.0" encoding="utf-16"?><{root}>{inside.format(kind=kind, more=more)}</{root}>'
        )

    common: dict[str, Any] = {"metadata": None, "software": "PerkinElmer-QPI", "compression": "lzw"}
    grey = {
        "photometric": "minisblack",
        "tile": (64, 64),
        "resolution": (20_000, 20_000),
        "resolutionunit": 3,
    }
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            kind = "ReducedResolution" if number else "FullResolution"
            for channel, name in enumerate(names):
                text = described(kind, f"<Name>{name}</Name>")
                file.write(np.ascontiguousarray(level[..., channel]), description=text, **grey, **common)
            if number == 0:
                thumbnail = tissue(20, 30)
                file.write(thumbnail, description=described("Thumbnail"), photometric="rgb", **common)
        file.write(tissue(24, 18), description=described("Overview"), photometric="rgb", **common)
        file.write(tissue(16, 18), description=described("Label"), photometric="rgb", **common)
    return path


def write_scn(path: Path, levels: Sequence[Picture]) -> Path:
    """A macro image, and a slide of several levels, described by one XML."""
    pages = [tissue(30, 20), *levels]

    def image(name: str, first: int, count: int) -> str:
        lines = "".join(f'<dimension sizeX="1" sizeY="1" r="{n}" ifd="{first + n}"/>' for n in range(count))
        return f'<image name="{name}"><pixels sizeX="1" sizeY="1">{lines}</pixels></image>'

    text = SCN.format(images=image("image_0000", 0, 1) + image("image_0001", 1, len(levels)))
    with tifffile.TiffWriter(path) as file:
        for number, page in enumerate(pages):
            file.write(
                page, tile=(64, 64), compression="zlib", photometric="rgb", metadata=None, software=False,
                description=text if number == 0 else None, resolution=(20_000, 20_000), resolutionunit=3,
            )  # fmt: skip
    return path


def write_ndpi(path: Path, levels: Sequence[Picture]) -> Path:
    """Pages whose one JPEG has restart markers, with 64-bit offsets of the next page; a macro image."""
    content = bytearray(b"II" + struct.pack("<HQ", 42, 0))
    pointer = 4
    for picture, lens in [*((level, 20.0 / 2**n) for n, level in enumerate(levels)), (tissue(32, 64), -1.0)]:
        where = _add_ndpi_page(content, picture, lens)
        content[pointer : pointer + 8] = struct.pack("<Q", where)
        pointer = where + 2 + 12 * struct.unpack_from("<H", content, where)[0]
    path.write_bytes(content)
    return path


def _add_ndpi_page(content: bytearray, picture: Picture, lens: float) -> int:
    """Append a page; returns where its directory begins."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=95, subsampling=0, restart_marker_blocks=8)
    jpeg = stream.getvalue()
    height, width = picture.shape[:2]

    def append(data: bytes) -> int:
        content.extend(bytes(len(content) % 2))
        content.extend(data)
        return len(content) - len(data)

    starts = list(_restarts(jpeg))
    strip = append(jpeg)
    bits = append(struct.pack("<3H", 8, 8, 8))
    make = append(b"Hamamatsu\0")
    resolution = append(struct.pack("<2I", 20_000, 1))
    restarts = append(struct.pack(f"<{len(starts)}I", *starts))
    lens_bits = struct.unpack("<I", struct.pack("<f", lens))[0]
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, bits), (259, 3, 1, 7), (262, 3, 1, 6),
        (271, 2, 10, make), (273, 4, 1, strip), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, len(jpeg)),
        (282, 5, 1, resolution), (283, 5, 1, resolution), (296, 3, 1, 3), (65420, 4, 1, 1),
        (65421, 11, 1, lens_bits), (65426, 4, len(starts), restarts),
    ]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return append(directory + bytes(8) + bytes(4 * len(tags)))


def _restarts(jpeg: bytes) -> Iterator[int]:
    """Where the parts between restart markers begin."""
    scan = jpeg.index(b"\xff\xda")
    yield scan + 2 + int.from_bytes(jpeg[scan + 2 : scan + 4], "big")
    for place in range(scan, len(jpeg) - 1):
        if jpeg[place] == 0xFF and 0xD0 <= jpeg[place + 1] <= 0xD7:
            yield place + 2


def write_ome_tiff(path: Path, levels: Sequence[NDArray[Any]], axes: str, **metadata: Any) -> Path:
    """An OME-TIFF whose coarser levels lie in sub-directories, as the standard says."""
    rgb = axes.endswith("S")
    options = {"tile": (64, 64), "compression": "zlib", "photometric": "rgb" if rgb else "minisblack"}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(levels[0], subifds=len(levels) - 1, metadata={"axes": axes, **metadata}, **options)
        for level in levels[1:]:
            file.write(level, subfiletype=1, metadata=None, **options)
    return path


def write_ome_zarr(
    path: Path,
    levels: Sequence[NDArray[Any]],
    axes: str,
    *,
    version: str = "0.5",
    pixel_um: float | None = 0.5,
    channels: Sequence[dict[str, str]] = (),
) -> Path:
    """Levels with axes such as ``cyx``, in chunks of 64 pixels."""
    format_number = 2 if version == "0.4" else 3
    root = zarr.open_group(path, mode="w", zarr_format=format_number)
    datasets = []
    for number, level in enumerate(levels):
        chunks = tuple(64 if axis in "yx" else 1 for axis in axes)
        array = root.create_array(str(number), shape=level.shape, dtype=level.dtype, chunks=chunks)
        array[...] = level
        scale = [(pixel_um or 1.0) * 2**number if axis in "yx" else 1.0 for axis in axes]
        transform = {"type": "scale", "scale": scale}
        datasets.append({"path": str(number), "coordinateTransformations": [transform]})
    unit = {} if pixel_um is None else {"unit": "micrometer"}
    described = {
        "multiscales": [
            {
                "name": "made",
                "axes": [
                    {"name": a, "type": "space", **unit} if a in "zyx" else {"name": a, "type": "channel"}
                    for a in axes
                ],
                "datasets": datasets,
                **({"version": version} if version == "0.4" else {}),
            }
        ]
    }
    if channels:
        described["omero"] = {"channels": list(channels)}  # type: ignore[assignment]
    root.attrs.update(described if version == "0.4" else {"ome": {"version": version, **described}})
    return path


def spoil(path: Path, level: int, tile: int, change: Any) -> tuple[int, int]:
    """Change the bytes of one tile; returns its first row and column."""
    with tifffile.TiffFile(path) as file:
        page = file.series[0].levels[level].keyframe
        offset, count = page.dataoffsets[tile], page.databytecounts[tile]
        row, column = divmod(tile, -(-page.imagewidth // page.tilewidth))
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = change(bytes(content[offset : offset + count]))
    path.write_bytes(content)
    return row * page.tilelength, column * page.tilewidth
