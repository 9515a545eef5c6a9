"""Folders of the Medical Segmentation Decathlon: the cases that ``dataset.json`` lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src_model.data.case import Case
from src_model.data.problems import Problem, summarise
from src_model.data.volumes import volume_stem
from src_model.errors import DataError

DESCRIPTION = "dataset.json"


@dataclass(frozen=True)
class Decathlon:
    """What one folder holds."""

    name: str
    """Of the dataset, e.g. ``Hippocampus``."""
    cases: tuple[Case, ...]
    """Those that can be trained on, by name."""
    modalities: tuple[str, ...]
    """Of the image's channels, in their order."""
    classes: tuple[str, ...]
    """Names of the classes 0, 1, ...; the first is the background."""
    findings: tuple[Problem, ...] = ()
    """What is wrong with listed cases that are left out."""

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each kind of problem."""
        return summarise(self.findings)


def read_decathlon(root: str | Path) -> Decathlon:
    """Read the list of training cases of a folder of the Medical Segmentation Decathlon.

    Parameters
    ----------
    root
        Folder with ``dataset.json``, ``imagesTr`` and ``labelsTr``.

    Raises
    ------
    DataError
        When the folder, its list, or all of the listed files are missing, or the list is damaged.
    """
    root = Path(root)
    description = _read_description(root)
    listed = description.get("training")
    modalities, labels = description.get("modality"), description.get("labels")
    if not isinstance(listed, list) or not isinstance(modalities, dict) or not isinstance(labels, dict):
        raise DataError(
            f"{root / DESCRIPTION} lacks 'training', 'modality' or 'labels'; expected the list of the "
            "Medical Segmentation Decathlon."
        )
    cases: dict[str, Case] = {}
    problems: list[Problem] = []
    for entry in listed:
        case = _case(root, entry)
        if isinstance(case, Problem):
            problems.append(case)
        elif case.id in cases:
            problems.append(Problem(case.image, "it is listed twice, of which the first is used", "note"))
        else:
            cases[case.id] = case
    if not cases:
        found = summarise(problems)[0] if problems else "The list is empty."
        raise DataError(f"{root} holds no case to train on: {found}")
    return Decathlon(
        name=str(description.get("name") or "").strip() or root.name,
        cases=tuple(cases[name] for name in sorted(cases)),
        modalities=_in_order(root, modalities),
        classes=_in_order(root, labels),
        findings=tuple(problems),
    )


def _read_description(root: Path) -> dict[str, Any]:
    path = root / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"There is no {path}; expected a folder of the Medical Segmentation Decathlon with "
            f"{DESCRIPTION}, imagesTr and labelsTr."
        ) from error
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON; use another copy.") from error
    if not isinstance(description, dict):
        raise DataError(f"{path} must hold a JSON object; use another copy.")
    return description


def _case(root: Path, entry: Any) -> Case | Problem:
    """One listed case, or why it is left out."""
    if not isinstance(entry, dict) or not all(isinstance(entry.get(k), str) for k in ("image", "label")):
        return Problem(root / DESCRIPTION, f"its entry {entry!r} names no image and label", "note")
    image, mask = root / entry["image"], root / entry["label"]
    for path in (image, mask):
        if not path.resolve().is_relative_to(root.resolve()):
            return Problem(path, f"it lies outside of {root}")
        if not path.is_file():
            return Problem(path, f"it is listed in {DESCRIPTION} but missing")
    name = volume_stem(image)
    return Case(id=name, image=image, mask=mask, group=name)  # each case is a patient


def _in_order(root: Path, named: Mapping[str, Any]) -> tuple[str, ...]:
    """Names by their number; the numbers must be 0, 1, 2 and so on."""
    try:
        numbered = {int(key): str(value) for key, value in named.items()}
    except ValueError:
        numbered = {}
    if not numbered or sorted(numbered) != list(range(len(numbered))):
        raise DataError(
            f"{root / DESCRIPTION} numbers {dict(named)} but expected names for 0, 1, 2 and so on."
        )
    return tuple(numbered[number] for number in range(len(numbered)))
