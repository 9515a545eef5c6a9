"""What a dataset layout is: it recognises a folder, names its splits, and lists the cases of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from src_model.data.case import Case
from src_model.data.problems import Problem, summarise

Kind = Literal["semantic", "instances", "classes"]
"""What the numbers of a mask are: foreground or not, numbers of objects, or numbers of classes."""

MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_segmentation", "_seg", "_anno", "_gt")
"""What may follow the image's name in the mask's name, in any case."""

UNDIVIDED = ""
"""Name of the part that a folder itself is, where it is not divided into splits."""


@dataclass(frozen=True)
class Found:
    """The cases of one part of a dataset, and what is wrong with it."""

    cases: tuple[Case, ...] = ()
    problems: tuple[Problem, ...] = ()
    kind: Kind | None = None
    """Where it differs from that of the layout."""
    classes: tuple[str, ...] | None = None
    """Where they differ from those of the layout."""

    def __add__(self, other: Found) -> Found:
        return Found(
            self.cases + other.cases,
            self.problems + other.problems,
            self.kind or other.kind,
            self.classes or other.classes,
        )


@dataclass(frozen=True)
class Listing:
    """What a folder holds."""

    root: Path
    cases: tuple[Case, ...]
    findings: tuple[Problem, ...] = ()
    """What is wrong, file by file."""
    layout: str = "pairs"
    """Name of the layout, as ``layout`` of a configuration takes it."""
    title: str = "folder of pairs"
    """Name of the layout for people."""
    kind: Kind = "semantic"
    classes: tuple[str, ...] = ()
    """Names of the foreground classes 1, 2, ... where the format tells them."""
    dims: Literal[2, 3] = 2
    """Whether a case is an image or a volume."""
    splits: tuple[str, ...] = ()
    """Splits that the folder is divided into, e.g. ``train`` and ``test``."""
    split: str | None = None
    """Which of them this is; ``None`` = the folder is not divided, or not below this part."""

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each kind of problem."""
        return summarise(self.findings)


Parts = Mapping[str, Callable[[], Found]]
"""Splits by name, each listed when it is called; :data:`UNDIVIDED` is the folder itself."""


class Layout(ABC):
    """One way in which a dataset lies on disk."""

    name: ClassVar[str]
    """As the configuration and the command line take it."""
    title: ClassVar[str]
    """For people."""
    expects: ClassVar[str]
    """What the folder should hold, as the end of a sentence."""
    kind: ClassVar[Kind] = "semantic"
    classes: ClassVar[tuple[str, ...]] = ()
    dims: ClassVar[Literal[2, 3]] = 2

    @abstractmethod
    def recognises(self, root: Path) -> bool:
        """Whether the folder is laid out so; looks at names only, so it is quick."""

    @abstractmethod
    def parts(self, root: Path) -> Parts:
        """The splits of the folder."""

    def with_mask_endings(self, endings: tuple[str, ...]) -> Layout:  # noqa: ARG002 - for those that use it
        """The same layout where a mask's name is the image's followed by one of ``endings``."""
        return self
