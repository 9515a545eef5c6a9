"""Keeps a run on disk: the best checkpoints, the state to resume from, the history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import AdamW

from src_model.config import TrainConfig
from src_model.models.base import SegmentationModel
from src_model.models.checkpoint import load_checkpoint, read_checkpoint_info, save_checkpoint
from src_model.models.registry import list_models
from src_model.training.history import EpochRecord, History
from src_model.training.run_folder import RunFolder
from src_model.training.sources import Sources
from src_model.training.stages import Plan, Stage
from src_model.training.state import RunState, save_state


class Keeper:
    """Writes and finds the files of a run; everything it does may be done again after a kill.

    The order matters: first the best checkpoint of the epoch, then the state that names it, and
    only then are older files removed and the user's checkpoint replaced.
    """

    def __init__(self, config: TrainConfig, plan: Plan, folder: RunFolder) -> None:
        self.config, self.stages, self.folder = config, plan.stages, folder

    def save(
        self,
        state: RunState,
        stage: Stage,
        model: SegmentationModel,
        optimiser: AdamW,
        sources: Sources,
    ) -> bool:
        """Save everything after the epoch that ends ``state.history``; whether it was the best.

        Raises
        ------
        OutputError
            When the disk is full or the folder is not writable; what was saved before is intact.
        """
        history = state.history
        newest = history.records[-1]
        improved = newest == history.best(stage)
        if improved:
            save_checkpoint(
                self.folder.best(newest),
                model,
                classes=self.config.classes,
                normalisation=sources.training.normalisation,
                pixel_size_um=self.config.pixel_size_um,
                history=[record.to_dict() for record in history.records],
                training=self._provenance(newest) | {"image_hashes": sources.image_hashes},
                domains=sources.domains,
            )
        save_state(self.folder.state, state, model, optimiser, stage)
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

    def best_weights(self, history: History, stage: Stage) -> Mapping[str, Tensor]:
        """The state dictionary of the best epoch of a stage."""
        return load_checkpoint(self.folder.best(history.best(stage))).model.state_dict()

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
