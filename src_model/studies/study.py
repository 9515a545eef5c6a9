"""What a study compares: its arms, read from a YAML file and validated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from src_model.config import Frozen
from src_model.errors import ConfigError
from src_model.nested import read_yaml

_FILES = Path(__file__).parent

Experts = Annotated[int, Field(ge=1)]


class Scoring(NamedTuple):
    """One more way to score a trained model."""

    name: str
    """Of the folder for its scores."""
    title: str
    """As tables name it."""
    top_k: int | None = None
    """Mixed experts; ``None`` = as trained."""
    flips: bool = False
    resolution: Literal["native"] | None = None
    """``None`` = that of the run's own report."""


class Arm(Frozen):
    """One way to train."""

    title: str
    """As tables name it."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Laid over the protocol's."""
    after: str | None = None
    """An arm before this one whose weights of stage 1 this arm starts from (``stage: second``)."""
    top_k: tuple[Experts, ...] = ()
    """Numbers of mixed experts that its model is scored with besides the one it was trained with."""
    flips: bool = False
    """Whether its model is also scored with the mean over four mirrorings."""
    native: bool = False
    """Whether its model is also scored against the masks as they are stored, where its protocol scores at
    the size of the training images."""

    def scorings(self, name: str, trained_top_k: int) -> tuple[Scoring, ...]:
        """The further ways in which the model of this arm, called ``name``, is scored."""
        further = [
            Scoring(f"{name}-top{k}", f"{self.title}, top-{k}", top_k=k)
            for k in self.top_k
            if k != trained_top_k
        ]
        if self.flips:
            further.append(Scoring(f"{name}-flips", f"{self.title}, flips", flips=True))
        if self.native:
            further.append(Scoring(f"{name}-native", f"{self.title}, native", resolution="native"))
        return tuple(further)


class Study(Frozen):
    """Several arms that are trained on the same folds."""

    arms: dict[str, Arm] = Field(min_length=1)
    """By their folder's name, in the order in which they are trained."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        known: set[str] = set()
        for name, arm in self.arms.items():
            if arm.after is not None and arm.after not in known:
                raise ValueError(f"the arm '{name}' comes after '{arm.after}', which is no arm before it")
            if not name or set(name) & set("/\\") or name.startswith("."):
                raise ValueError(f"'{name}' is no name of a folder")
            known.add(name)
        return self


def list_studies() -> list[str]:
    """Names of the studies that come with the package."""
    return sorted(file.stem for file in _FILES.glob("*.yaml"))


def read_study(name: str | Path) -> Study:
    """A study of the package by its name, or one from a YAML file.

    Raises
    ------
    ConfigError
        When there is no such study, or the file does not describe one.
    """
    file = _FILES / f"{name}.yaml" if str(name) in list_studies() else Path(name)
    if not file.is_file():
        raise ConfigError(
            f"There is no study '{name}'; choose one of {', '.join(list_studies())}, or give a YAML file."
        )
    try:
        return Study.model_validate(read_yaml(file))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "its arms"
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"The study {file} does not fit at {place}: {reason}.") from error
