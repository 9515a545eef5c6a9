"""GlaS, the gland segmentation challenge: its original flat folder, and the folders of U-Net repositories."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from src_model.data.case import Case
from src_model.data.layouts.base import Found, Layout, Parts
from src_model.data.layouts.folders import files, match, pair_folders, split_files, subfolders, with_splits
from src_model.data.layouts.pairs import pair_parts
from src_model.data.problems import Problem

GRADES = "Grade.csv"
_ANNOTATION = re.compile(r"(train|testA|testB)_\d+_anno", re.IGNORECASE)
_PREPARED = {"labelcol"}
"""Name of the masks' folder in prepared copies."""
_NAMED_AFTER_IT = re.compile(r"glas(?![a-z])|warwick", re.IGNORECASE)


class GlaS(Layout):
    """Gland Segmentation in Colon Histology Images (Sirinukunwattana et al., 2017)."""

    name = "glas"
    title = "GlaS"
    expects = (
        "train_1.bmp beside train_1_anno.bmp, testA_*, testB_* and Grade.csv, or the folders 'img' and "
        "'labelcol'"
    )
    kind = "instances"
    classes = ("gland",)

    def recognises(self, root: Path) -> bool:
        if _original(root) is not None:
            return True
        pairs = [both for folder in with_splits(root) if (both := pair_folders(folder)) is not None]
        if any(masks.name.lower() in _PREPARED for _, masks in pairs):
            return True
        return bool(pairs) and _NAMED_AFTER_IT.search(root.name) is not None

    def parts(self, root: Path) -> Parts:
        folder = _original(root)
        if folder is None:
            return pair_parts(root)
        parts = {name: partial(_list, folder, (name,)) for name in ("train", "testA", "testB")}
        return {**parts, "test": partial(_list, folder, ("testA", "testB"))}


def _original(root: Path) -> Path | None:
    """The folder of the original files: this one, or one in it, as the archive unpacks."""
    return next(
        (
            folder
            for folder in (root, *subfolders(root).values())
            if any(_ANNOTATION.fullmatch(file.stem) for file in files(folder))
        ),
        None,
    )


def _list(folder: Path, prefixes: Iterable[str]) -> Found:
    wanted = tuple(f"{prefix.lower()}_" for prefix in prefixes)
    pictures = [file for file in files(folder) if file.name.lower().startswith(wanted)]
    found = match(*split_files(pictures, ("_anno",)), ("_anno",))
    grades, problems = _read_grades(folder / GRADES)
    cases = tuple(_with_grade(case, grades) for case in found.cases)
    if grades:
        problems += [
            Problem(case.image, f"it is not listed in {GRADES} and counts as a patient of its own", "note")
            for case in cases
            if not case.facts
        ]
    return Found(cases, (*found.problems, *problems))


def _with_grade(case: Case, grades: dict[str, tuple[str, str]]) -> Case:
    if case.id.lower() not in grades:
        return case
    patient, grade = grades[case.id.lower()]
    return replace(case, group=f"patient {patient}", facts=(("grade", grade),))


def _read_grades(path: Path) -> tuple[dict[str, tuple[str, str]], list[Problem]]:
    """Patient and grade by the image's name in lower case; the real file has stray spaces."""
    if not path.is_file():
        return {}, [Problem(path, "it is missing, so each image counts as a patient of its own", "note")]
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines())]
    header = [cell.lower() for cell in rows[0]] if rows else []
    columns = [_column(header, word) for word in ("name", "patient", "grade")]
    if None in columns:
        what = "it lacks the columns 'name', 'patient ID' and 'grade', so each image counts as a patient"
        return {}, [Problem(path, what, "note")]
    name, patient, grade = (column for column in columns if column is not None)
    complete = [row for row in rows[1:] if len(row) > max(name, patient, grade) and row[patient]]
    return {row[name].lower(): (row[patient], row[grade]) for row in complete}, []


def _column(header: list[str], word: str) -> int | None:
    return next((place for place, cell in enumerate(header) if word in cell), None)
