"""Numbers in plain words, the same in every dock."""

from __future__ import annotations

from collections.abc import Sequence


def time_left(seconds: float | None) -> str:
    """``"about 3 min left"``; empty where nothing is known yet."""
    if seconds is None or seconds < 0:
        return ""
    if seconds < 10:
        return "a few seconds left"
    return f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """``"0.8 s"``, ``"42 s"``, ``"3 min"``, ``"2 h 5 min"``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def count(number: int, thing: str) -> str:
    """``"1 object"``, ``"12 objects"``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def amount(size: int) -> str:
    """``"under 1 MB"``, ``"34 MB"``, ``"1.2 GB"``, of bytes."""
    if size < 1e6:
        return "under 1 MB"
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def listed(names: Sequence[str]) -> str:
    """``"a"``, ``"a and b"``, ``"a, b and c"``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def sentence_case(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]
