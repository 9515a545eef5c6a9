"""The record of a run, one entry per epoch, and all that follows from it: best epochs, what is done."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from src_model.events import ExpertUsage
from src_model.training.stages import Stage


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch; the fields are those of :class:`src_model.events.EpochFinished`."""

    stage: str
    epoch: int
    train_loss: float
    segmentation_loss: float
    balance_loss: float
    validation_loss: float
    dice: float
    iou: float
    learning_rate: float
    expert_usage: ExpertUsage | None
    seconds: float
    domain_dice: dict[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EpochRecord:
        """The inverse of :meth:`to_dict`, also after a way through JSON."""
        usage = values["expert_usage"]
        rows = None if usage is None else tuple(tuple(row) for row in usage)
        return cls(**{**values, "expert_usage": rows})

    @property
    def score(self) -> tuple[float, float]:
        """What a better epoch has more of: Dice, then a low validation loss."""
        return self.dice, -self.validation_loss


@dataclass(frozen=True)
class History:
    """All epochs of a run so far, in order; a new one is made for each epoch."""

    records: tuple[EpochRecord, ...] = ()

    def with_record(self, record: EpochRecord) -> History:
        """This history and one more epoch."""
        return History((*self.records, record))

    def of(self, stage: Stage) -> tuple[EpochRecord, ...]:
        """The epochs of one stage."""
        return tuple(record for record in self.records if record.stage == stage.name)

    def best(self, stage: Stage) -> EpochRecord:
        """The epoch that counts of a stage that has one: the best, the first of equals; or the last."""
        if stage.keep == "last":
            return self.of(stage)[-1]
        return max(self.of(stage), key=lambda record: record.score)

    def done(self, stage: Stage) -> bool:
        """Whether a stage has all its epochs, or the next one has begun."""
        own = self.of(stage)
        return len(own) >= stage.settings.epochs or bool(own and own[-1] is not self.records[-1])

    def chosen(self, stages: Sequence[Stage]) -> EpochRecord | None:
        """The epoch whose weights the user gets.

        That is the best of the last stage, but not before that stage is done or has become
        at least as good as the stage before: a stop early in stage 2 must not cost a good model.
        """
        chosen: EpochRecord | None = None
        for stage in stages:
            if not self.of(stage):
                break
            best = self.best(stage)
            if chosen is None or self.done(stage) or best.score >= chosen.score:
                chosen = best
        return chosen

    def to_csv(self) -> str:
        """One line per epoch under a line of names; the expert usage in columns of its own."""
        rows = [_flat(record) for record in self.records]
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def _flat(record: EpochRecord) -> dict[str, Any]:
    row = record.to_dict()
    usage = row.pop("expert_usage") or ()
    domains = {f"dice_{name}": value for name, value in (row.pop("domain_dice") or {}).items()}
    shares = {
        f"router{r}_expert{e}": share
        for r, shares in enumerate(usage, start=1)
        for e, share in enumerate(shares, start=1)
    }
    return {**row, **domains, **shares}
