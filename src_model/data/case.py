"""One case of a dataset, and what was loaded of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One image or volume and its mask: two files, or a plane of them."""

    id: str
    """Name of the image without its ending; unique in a dataset."""
    image: Path
    mask: Path
    """The same file as ``image`` where the format keeps both in one."""
    group: str
    """Patient or slide: cases of one group are never divided between training and testing."""
    plane: int | None = None
    """Which plane of a volume, counted from 0 along its first axis, of NIfTI along Z."""
    window: tuple[float, float] | None = None
    """Intensities that become 0 and 1; ``None`` = found from the image."""
    lookup: tuple[int, ...] | None = None
    """Class of each number in the mask's file; ``None`` = the number itself."""
    facts: tuple[tuple[str, str], ...] = ()
    """What else the dataset tells of it, e.g. ``("grade", "benign")``."""

    @property
    def place(self) -> str:
        """The image's file, and the plane where it is one of several."""
        return str(self.image) if self.plane is None else f"{self.image} (plane {self.plane})"


class OfCase:
    """What was loaded of a case answers for it."""

    case: Case

    @property
    def id(self) -> str:
        """Of the case."""
        return self.case.id

    @property
    def group(self) -> str:
        """Patient or slide of the case."""
        return self.case.group

    @property
    def place(self) -> str:
        """File of the case, and plane where it is one of several."""
        return self.case.place
