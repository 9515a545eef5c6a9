"""Every layout by its name, and the one way to find the cases of a folder."""

from __future__ import annotations

from pathlib import Path

from src_model.data.layouts.base import UNDIVIDED, Found, Layout, Listing, Parts
from src_model.data.layouts.decathlon import Decathlon
from src_model.data.layouts.folders import split_name
from src_model.data.layouts.glas import GlaS
from src_model.data.layouts.isic import ISIC
from src_model.data.layouts.kvasir import Kvasir
from src_model.data.layouts.monuseg import MoNuSeg
from src_model.data.layouts.pairs import Pairs
from src_model.data.layouts.synapse import Synapse
from src_model.data.problems import name_some
from src_model.errors import DataError

_LAYOUTS: dict[str, Layout] = {
    "decathlon": Decathlon(),
    "synapse": Synapse(),
    "monuseg": MoNuSeg(),
    "glas": GlaS(),
    "isic": ISIC(),
    "kvasir": Kvasir(),
    "pairs": Pairs(),
}
"""The most particular first, in the order in which a folder is compared with them."""

AUTO = "auto"
_ORDER = ("train", "validation", "test")


def list_layouts() -> list[str]:
    """Names of the layouts that a folder may have, the most particular first."""
    return list(_LAYOUTS)


def layout_named(name: str) -> Layout:
    """The layout of that name.

    Raises
    ------
    DataError
        When there is none.
    """
    if name not in _LAYOUTS:
        known = ", ".join(f"'{known}'" for known in _LAYOUTS)
        raise DataError(f"There is no layout '{name}'; choose '{AUTO}' or one of: {known}.")
    return _LAYOUTS[name]


def recognise(root: str | Path) -> str | None:
    """Name of the first layout that a folder has; ``None`` where none fits.

    Raises
    ------
    DataError
        When there is no such folder.
    """
    top = _folder(root)
    return next((name for name, layout in _LAYOUTS.items() if layout.recognises(top)), None)


def find_cases(
    root: str | Path,
    layout: str = AUTO,
    *,
    split: str | None = None,
    mask_endings: tuple[str, ...] = (),
) -> Listing:
    """Find the images and masks in a folder.

    Parameters
    ----------
    root
        The folder of the dataset.
    layout
        One of :func:`list_layouts`, or ``auto`` to recognise it.
    split
        Which part, e.g. ``test``; in any case. ``None`` = the folder itself, or its ``train`` part
        where the folder itself holds no case.
    mask_endings
        What may follow the image's name in the mask's name; empty = ``MASK_ENDINGS``. With
        ``auto`` they make the folder one of pairs.

    Raises
    ------
    DataError
        When the folder does not exist, there is no such layout or split, or no case is found.
    """
    top = _folder(root)
    if layout == AUTO:
        layout = "pairs" if mask_endings else recognise(top) or "pairs"
        doubt = f", nor is it laid out as one of: {', '.join(name for name in _LAYOUTS if name != layout)}"
    else:
        doubt = ""
    chosen = layout_named(layout)
    if mask_endings:
        chosen = chosen.with_mask_endings(mask_endings)
    parts = chosen.parts(top)
    name = _part(top, parts, split)
    found = parts[name]() if name in parts else Found()
    if not found.cases:
        raise DataError(_nothing(top, chosen, found, name, doubt))
    return Listing(
        root=top,
        cases=found.cases,
        findings=found.problems,
        layout=chosen.name,
        title=chosen.title,
        kind=found.kind or chosen.kind,
        classes=chosen.classes if found.classes is None else found.classes,
        dims=chosen.dims,
        splits=tuple(sorted((part for part in parts if part != UNDIVIDED), key=_usual_order)),
        split=name or None,
    )


def _usual_order(split: str) -> tuple[int, str]:
    return (_ORDER.index(split) if split in _ORDER else len(_ORDER)), split


def _folder(root: str | Path) -> Path:
    top = Path(root)
    if not top.is_dir():
        raise DataError(f"There is no folder {top}; check the path.")
    return top


def _part(top: Path, parts: Parts, split: str | None) -> str:
    """The name of the part that is asked for."""
    named = [name for name in parts if name != UNDIVIDED]
    if split is None:
        return next((name for name in (UNDIVIDED, "train", *named) if name in parts), UNDIVIDED)
    wanted = {name.lower(): name for name in named}
    found = wanted.get(split.lower()) or wanted.get(split_name(split) or "")
    if found is None:
        has = f"it has {', '.join(named)}" if named else "it is not divided"
        raise DataError(f"There is no split '{split}' in {top}; {has}.")
    return found


def _nothing(top: Path, layout: Layout, found: Found, part: str, doubt: str) -> str:
    problems = Listing(top, (), found.problems).problems
    inside = sorted(entry for entry in top.iterdir() if not entry.name.startswith("."))
    seen = problems[0].rstrip(".") if problems else f"it holds {name_some(inside) or 'nothing'}"
    where = f"the split '{part}' of {top}" if part else str(top)
    return f"No pairs of image and mask were found in {where} ({seen}){doubt}; expected {layout.expects}."
