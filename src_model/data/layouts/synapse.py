"""Synapse, abdominal organs in CT: the usual slices and volumes, and the raw NIfTI files."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from src_model.data.case import Case
from src_model.data.layouts.base import UNDIVIDED, Found, Layout, Parts
from src_model.data.layouts.folders import files, subfolders
from src_model.data.problems import Problem, name_some
from src_model.data.volumes import SUFFIXES, read_depth, volume_stem
from src_model.errors import DataError

ORGANS = (
    "aorta",
    "gallbladder",
    "left kidney",
    "right kidney",
    "liver",
    "pancreas",
    "spleen",
    "stomach",
)
"""Classes 1 to 8, in the order of the usual preparation (Chen et al., 2021)."""

RAW_LABELS = (0, 7, 4, 3, 2, 0, 5, 8, 1, 0, 0, 6, 0, 0)
"""Class of each of the 13 organs that the raw files number; 0 = not one of the eight."""

HU_WINDOW = (-125.0, 275.0)
"""Hounsfield units that become 0 and 1."""

SLICES, VOLUMES = "train_npz", "test_vol_h5"
_UNIT = (0.0, 1.0)
_RAW = (("img", "label"), ("averaged-training-images", "averaged-training-labels"))
_UNPACKED = {"abdomen", "rawdata", "training"}
"""Folders that the archives unpack to."""
_NUMBER = re.compile(r"(?:img|label)(\d+)", re.IGNORECASE)
_SLICE = re.compile(r"(.+)_slice\d+", re.IGNORECASE)


class Synapse(Layout):
    """Multi-Atlas Labeling Beyond the Cranial Vault (Landman et al., 2015), eight organs."""

    name = "synapse"
    title = "Synapse multi-organ CT"
    expects = (
        f"'{SLICES}' with *.npz and '{VOLUMES}' with *.npy.h5, or 'img' and 'label' with img0001.nii.gz and "
        "label0001.nii.gz"
    )
    kind = "classes"
    classes = ORGANS

    def recognises(self, root: Path) -> bool:
        below = subfolders(root)
        if SLICES in below or VOLUMES in below:
            return True
        raw = _raw_folders(root)
        return raw is not None and bool(files(raw[0], *SUFFIXES))

    def parts(self, root: Path) -> Parts:
        below = subfolders(root)
        parts = {}
        if SLICES in below:
            parts["train"] = partial(_list_slices, below[SLICES], _names(root, "train"))
        if VOLUMES in below:
            parts["test"] = partial(_list_volumes, below[VOLUMES], _names(root, "test_vol"))
        raw = None if parts else _raw_folders(root)
        return parts if raw is None else {UNDIVIDED: partial(_list_raw, *raw)}


def _raw_folders(root: Path) -> tuple[Path, Path] | None:
    """Folders of raw images and labels, here or below as the archives unpack."""
    below = subfolders(root)
    for images, labels in _RAW:
        if images in below and labels in below:
            return below[images], below[labels]
    deeper = (_raw_folders(folder) for name, folder in below.items() if name in _UNPACKED)
    return next((found for found in deeper if found is not None), None)


def _names(root: Path, part: str) -> frozenset[str] | None:
    """Names in ``lists/lists_Synapse/<part>.txt``; ``None`` where there is no list."""
    for path in (root / "lists" / "lists_Synapse" / f"{part}.txt", root / "lists_Synapse" / f"{part}.txt"):
        if path.is_file():
            lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
            return frozenset(line for line in lines if line)
    return None


def _listed(paths: list[Path], ending: str, names: frozenset[str] | None) -> tuple[list[Path], list[Problem]]:
    """The files that the list names, where there is one, and those that it names in vain."""
    if names is None or not paths:
        return paths, []
    there = {path.name.removesuffix(ending): path for path in paths}
    missing = [
        Problem(paths[0].parent / f"{n}{ending}", "it is listed but missing")
        for n in sorted(names - set(there))
    ]
    return [path for name, path in there.items() if name in names], missing


def _list_slices(folder: Path, names: frozenset[str] | None) -> Found:
    paths, problems = _listed(files(folder, ".npz"), ".npz", names)
    cases = tuple(Case(path.stem, path, path, _case_of(path.stem), window=_UNIT) for path in paths)
    return Found(cases, tuple(problems))


def _case_of(name: str) -> str:
    match = _SLICE.fullmatch(name)
    return match[1] if match else name


def _list_volumes(folder: Path, names: frozenset[str] | None) -> Found:
    from src_model.data.arrays import h5_depth

    paths, problems = _listed(files(folder, ".npy.h5"), ".npy.h5", names)
    cases: list[Case] = []
    for path in paths:
        name = path.name.removesuffix(".npy.h5")
        try:
            depth = h5_depth(path)
        except DataError as error:
            problems.append(Problem(path, str(error).replace(str(path), "it").rstrip(".")))
            continue
        cases += _planes(name, path, path, depth, _UNIT)
    return Found(tuple(cases), tuple(problems))


def _planes(
    name: str,
    image: Path,
    mask: Path,
    depth: int,
    window: tuple[float, float],
    lookup: tuple[int, ...] | None = None,
) -> list[Case]:
    return [
        Case(f"{name}_slice{plane:03}", image, mask, name, plane, window, lookup) for plane in range(depth)
    ]


def _list_raw(images: Path, labels: Path) -> Found:
    masks: dict[str, list[Path]] = {}
    for path in files(labels, *SUFFIXES):
        masks.setdefault(_raw_name(path), []).append(path)
    cases: list[Case] = []
    problems: list[Problem] = []
    for path in files(images, *SUFFIXES):
        name = _raw_name(path)
        found = masks.pop(name, [])
        if len(found) != 1:
            several = f"{len(found)} masks fit it, of which only one may stay ({name_some(found)})"
            problems.append(Problem(path, several if found else "it has no mask"))
            continue
        try:
            depth = read_depth(path)
        except DataError as error:
            problems.append(Problem(path, str(error).replace(str(path), "it").rstrip(".")))
            continue
        cases += _planes(name, path, found[0], depth, HU_WINDOW, RAW_LABELS)
    problems += [Problem(path, "it has no image") for paths in masks.values() for path in paths]
    return Found(tuple(cases), tuple(problems))


def _raw_name(path: Path) -> str:
    """``case0001`` of ``img0001.nii.gz`` and ``label0001.nii.gz``; other names without ``_seg``."""
    name = volume_stem(path)
    number = _NUMBER.fullmatch(name)
    return f"case{number[1]}" if number else name.removesuffix("_seg")
