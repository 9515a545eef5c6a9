"""Finds damage in JPEG data that decoders pass over in silence, filling in what they miss."""

from __future__ import annotations

import re

_END = b"\xff\xd9"
"""The last marker of JPEG and of JPEG 2000."""
_FILL_AFTER_END = 64
"""Some programs pad a tile; its end marker is looked for so many bytes from the end."""
_NO_MARKER = re.compile(rb"\xff[^\x00\xc4\xd0-\xd7\xda\xdb\xdd\xfe\xff]", re.DOTALL)
"""Within a scan, byte 255 is followed by 0, by a restart, or by what begins another scan."""


def check_jpeg(data: bytes) -> None:
    """Find damage in a whole JPEG.

    Raises
    ------
    ValueError
        When the start or end is missing, or the data hold what no JPEG may.
    """
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("a JPEG tile does not begin as one")
    end = check_end(data)
    scan = data.find(b"\xff\xda")
    if scan < 0 or _NO_MARKER.search(data, scan, end):
        raise ValueError("a JPEG tile is damaged")


def check_restart(data: bytes) -> None:
    """Find damage in what lies between two restarts of a JPEG, or between the last and its end.

    Raises
    ------
    ValueError
        When neither a restart nor an end closes it, or the data hold what no JPEG may.
    """
    close = max(data.rfind(b"\xff" + bytes([marker])) for marker in range(0xD0, 0xDA))
    if close < max(len(data) - _FILL_AFTER_END, 0):
        raise ValueError("a part of the JPEG ends before its picture does")
    if _NO_MARKER.search(data, 0, close):
        raise ValueError("a part of the JPEG is damaged")


def check_end(data: bytes) -> int:
    """Where the end marker of a JPEG or JPEG 2000 tile lies.

    Raises
    ------
    ValueError
        When it is not near the end of the tile.
    """
    end = data.rfind(_END)
    if end < max(len(data) - _FILL_AFTER_END, 0):
        raise ValueError("a tile ends before its picture does")
    return end
