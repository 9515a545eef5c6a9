"""Keeps a run on disk: the best checkpoints, the state to resume from, the history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from src_model.config import TrainConfig
from src_model.errors import OutputError
from src_model.models.checkpoint import load_checkpoint, read_checkpoint_info, save_checkpoint
from src_model.models.registry import list_models
from src_model.training.history import EpochRecord, History
from src_model.training.run_folder import RunFolder
from src_model.training.stage_work import StageWork
from src_model.training.stages import Plan, Stage
from src_model.training.state import RunState, save_state


class Keeper:
    """Writes and finds the files of a run; everything it does may be done again after a kill.

    The order matters: first the best checkpoint of the epoch, then the state that names it, and
    only then are older files removed and the user's checkpoint replaced.
    """

    def __init__(self, config: TrainConfig, plan: Plan, folder: RunFolder) -> None:
        self.config, self.stages, self.folder = config, plan.stages, folder

    def save(self, state: RunState, work: StageWork) -> bool:
        """Save everything after the epoch that ends ``state.history``; whether it is the one that counts.

        Raises
        ------
        OutputError
            When the folder is gone or not writable, or the disk is full; what was saved before is intact.
        """
        self.folder.check_there()
        history, stage, sources = state.history, work.stage, work.sources
        newest = history.records[-1]
        improved = newest == history.best(stage)
        if improved:
            save_checkpoint(
                self.folder.best(newest),
                work.result,
                classes=self.config.classes or sources.classes,
                normalisation=sources.training.normalisation,
                pixel_size_um=self.config.pixel_size_um,
                history=[record.to_dict() for record in history.records],
                training=self._provenance(newest)
                | {"image_hashes": sources.image_hashes, "held_out": sources.held_out},
                domains=sources.domains,
            )
        average = None if work.average is None else work.average.model
        try:
            save_state(self.folder.state, state, work.model, work.optimiser, stage, average)
        except OutputError:
            self.folder.discard(newest)
            raise
        self.tidy(history)
        return improved

    def tidy(self, history: History) -> None:
        """Give the user the chosen checkpoint and the history; remove what is best no longer."""
        chosen = history.chosen(self.stages)
        if chosen is not None:
            self.folder.publish(chosen)
            self.folder.write_history(history)
        self.folder.prune([history.best(stage) for stage in self.stages if history.of(stage)])

    def complete(self, history: History, stage: Stage) -> None:
        """Write the whole history of a stage that is done into its best checkpoint."""
        self.folder.check_there()
        path = self.folder.best(history.best(stage))
        until = history.records.index(history.of(stage)[-1]) + 1
        if len(read_checkpoint_info(path).history) != until:
            checkpoint = load_checkpoint(path)
            save_checkpoint(
                path,
                checkpoint.model,
                classes=checkpoint.classes,
                normalisation=checkpoint.normalisation,
                pixel_size_um=checkpoint.pixel_size_um,
                history=[record.to_dict() for record in history.records[:until]],
                training=checkpoint.training,
                domains=checkpoint.domains,
            )
        self.tidy(history)

    def weights_before(self, history: History, stage: Stage) -> Mapping[str, Tensor] | None:
        """The weights that a stage starts from; ``None`` where it starts from random ones."""
        if not (stage.frozen or stage.continues):
            return None
        before = self.stage_before(stage)
        path = self.config.model.stage1_from if before is None else self.folder.best(history.best(before))
        return None if path is None else load_checkpoint(path).model.state_dict()

    def stage_before(self, stage: Stage) -> Stage | None:
        """The stage of this run that comes before."""
        position = self.stages.index(stage)
        return self.stages[position - 1] if position else None

    def _provenance(self, record: EpochRecord) -> dict[str, Any]:
        data = self.config.data
        if self.config.model.name in list_models(dims=3):
            seen: dict[str, Any] = {"patch_size": self.config.volume.patch_size}
        else:
            keys = ("sampling", "image_size", "intensity_range")
            seen = {key: getattr(data, key) for key in keys}
        return {
            "dataset": ", ".join(root.name for root in (data.root, *data.more_roots)),
            "encoder_weights": self.config.model.encoder_weights,
            **seen,
            "seed": self.config.seed,
            "stage": record.stage,
            "epoch": record.epoch,
            "dice": record.dice,
            "iou": record.iou,
        }
