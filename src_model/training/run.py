"""A run from its first to its last event: stages, epochs, steps, and saving after each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

from src_model.config import TrainConfig
from src_model.errors import CheckpointError, OutputError, Stopped
from src_model.events import (
    CheckpointSaved,
    Control,
    EpochFinished,
    Event,
    RunFinished,
    RunStarted,
    RunStopped,
    StageFinished,
    StepFinished,
    Warned,
)
from src_model.models.pretrained import load_encoder_weights
from src_model.training.clock import Clock
from src_model.training.keeper import Keeper
from src_model.training.run_folder import RunFolder
from src_model.training.scoring import write_reports
from src_model.training.sources import Sources
from src_model.training.stage_work import Compute, StageWork
from src_model.training.stages import Plan, Stage
from src_model.training.state import RunState, load_tensors, read_state
from src_model.training.usage import dominance_warnings


class Run:
    """One run; ``state`` is replaced after each epoch.

    Parameters
    ----------
    config, plan
        What is trained.
    folder
        Locked for this run.
    control
        Pause and stop.
    """

    state: RunState

    def __init__(self, config: TrainConfig, plan: Plan, folder: RunFolder, control: Control) -> None:
        self.config, self.plan, self.folder, self.control = config, plan, folder, control
        self.keeper = Keeper(config, plan, folder)

    def events(self, state: RunState, sources: Sources) -> Iterator[Event]:
        """All events of a run that goes on from ``state``.

        Raises
        ------
        OutputError
            When the folder is gone or not writable, or the disk is full; says what is kept.
        """
        try:
            yield from self._events(state, sources)
        except OutputError as error:
            raise OutputError(f"{error} {self._kept()}".rstrip()) from error

    def _events(self, state: RunState, sources: Sources) -> Iterator[Event]:
        self.state, self.sources = state, sources
        self.compute = Compute.resolve(self.config)
        self.clock = Clock(self.plan.stages, state.history)
        self._mend()
        yield RunStarted(
            run=self.folder.path,
            model=self.config.model.name,
            device=str(self.compute.device),
            precision=self.compute.precision,
            train_images=len(self.sources.training),
            validation_images=len(self.sources.validation),
            stages=tuple(stage.name for stage in self.plan.stages),
            resumed_from=self._position(),
        )
        for message in (*self.plan.warnings, *sources.warnings, *self._unused_epochs()):
            yield Warned(message=message)
        try:
            for stage in self.plan.stages:
                if not self.state.history.done(stage):
                    yield from self._train(stage)
                    yield from self._close(stage)
        except Stopped:
            yield self._stopped()
            return
        yield from self.finish(self.state)

    def _mend(self) -> None:
        """Do what a kill after an epoch may have left undone."""
        history = self.state.history
        self.keeper.tidy(history)
        for stage in self.plan.stages:
            if history.done(stage):
                self.keeper.complete(history, stage)

    def finish(self, state: RunState) -> Iterator[Event]:
        """The end of a run that has all its epochs; what a kill may have left undone is done first."""
        last = self.plan.stages[-1]
        best = state.history.best(last)
        self.keeper.complete(state.history, last)
        report = None
        if self.config.report:
            report = yield from write_reports(self.config, self.folder.model, self.control)
        yield RunFinished(
            run=self.folder.path,
            checkpoint=self.folder.model,
            dice=best.dice,
            seconds=sum(record.seconds for record in state.history.records),
            report=report,
        )

    def _train(self, stage: Stage) -> Iterator[Event]:
        """The epochs of a stage that are left."""
        work = self._work(stage)
        for epoch in range(len(self.state.history.of(stage)) + 1, stage.settings.epochs + 1):
            self.clock.start_epoch()
            yield from self._steps(work, epoch)
            record = work.end_epoch(epoch, self.clock.epoch_seconds)
            self.state = replace(
                self.state,
                micro_batch=work.stepper.micro_batch,
                history=self.state.history.with_record(record),
            )
            improved = self.keeper.save(self.state, work)
            self.clock.end_epoch(stage)
            yield EpochFinished(
                epochs=stage.settings.epochs,
                seconds_left=self.clock.left_after(stage, epoch),
                **asdict(record),
            )
            if improved:
                yield self._saved(stage)
            for message in dominance_warnings(self.state.history.of(stage), self.config.balance_weight):
                yield Warned(message=message)

    def _work(self, stage: Stage) -> StageWork:
        """Network and optimiser as they were after the last epoch, or at the beginning."""
        history = self.state.history
        base = self.keeper.weights_before(history, stage)
        work = StageWork(
            self.config,
            stage,
            self.sources,
            self.compute,
            micro_batch=self.state.micro_batch,
            base=base,
            between=lambda: self.clock.wait(self.control),
        )
        if history.of(stage):
            average = None if work.average is None else work.average.model
            load_tensors(self.folder.state, work.model, work.optimiser, stage, average)
        elif base is None and self.config.model.encoder_weights is not None:
            load_encoder_weights(work.model, self.config.model.encoder_weights)
        return work

    def _steps(self, work: StageWork, epoch: int) -> Iterator[Event]:
        stage = work.stage
        batches = work.batches(epoch)
        work.start_epoch()
        for number, indices in enumerate(batches, start=1):
            self.clock.start_step()
            result = work.step(indices, epoch, number, len(batches))
            self.clock.end_step()
            for message in result.warnings:
                yield Warned(message=message)
            yield StepFinished(
                stage=stage.name,
                epoch=epoch,
                epochs=stage.settings.epochs,
                step=number,
                steps=len(batches),
                loss=result.total,
                seconds_left=self.clock.left(stage, epoch, number, len(batches)),
            )

    def _close(self, stage: Stage) -> Iterator[Event]:
        """The end of a stage that has all its epochs."""
        self.keeper.complete(self.state.history, stage)
        best = self.state.history.best(stage)
        yield self._saved(stage)
        yield from self._fallen_behind(stage)
        yield StageFinished(
            stage=stage.name,
            best_dice=best.dice,
            best_epoch=best.epoch,
            seconds=sum(record.seconds for record in self.state.history.of(stage)),
        )

    def _fallen_behind(self, stage: Stage) -> Iterator[Warned]:
        """Say so where the mixture did not help, and where the better weights lie."""
        earlier = self.keeper.stage_before(stage)
        if earlier is None:
            return
        history = self.state.history
        before, best = history.best(earlier), history.best(stage)
        if best.dice < before.dice:
            yield Warned(
                message=f"Stage {stage.name} ended with a validation Dice of {best.dice:.3f}, below the "
                f"{before.dice:.3f} of stage {before.stage}; give it more epochs, or use the model of stage "
                f"{before.stage}, {self.folder.best(before)}."
            )

    def _saved(self, stage: Stage) -> CheckpointSaved:
        """Where the best checkpoint of the stage lies for the user."""
        best = self.state.history.best(stage)
        published = best == self.state.history.chosen(self.plan.stages)
        path = self.folder.model if published else self.folder.best(best)
        return CheckpointSaved(path=path, stage=best.stage, epoch=best.epoch, dice=best.dice)

    def _position(self) -> str | None:
        records = self.state.history.records
        return f"stage {records[-1].stage}, epoch {records[-1].epoch}" if records else None

    def _unused_epochs(self) -> Iterator[str]:
        """Say so where a stage was given more epochs after the next one had begun."""
        history = self.state.history
        for stage in self.plan.stages:
            if history.done(stage) and len(history.of(stage)) < stage.settings.epochs:
                yield (
                    f"Stage {stage.name} of this run is over after {len(history.of(stage))} epochs; its new "
                    f"number, {stage.settings.epochs}, has no effect. Start a new run to train it longer."
                )

    def _kept(self) -> str:
        """What is left of a run that could not write, as the state on disk has it."""
        if not self.folder.reachable:
            return ""
        try:
            last = read_state(self.folder.state).history.records[-1]
        except CheckpointError:
            return "No epoch was saved yet: resume the run afterwards to begin again."
        return (
            f"Everything up to stage {last.stage}, epoch {last.epoch} is kept: resume the run afterwards to "
            "go on."
        )

    def _stopped(self) -> RunStopped:
        position = self._position()
        kept = (
            f"everything up to {position} is kept in {self.folder.path}; resume it to go on"
            if position
            else f"no epoch was finished yet; resume {self.folder.path} to begin again"
        )
        checkpoint = self.folder.model if position else None
        return RunStopped(
            run=self.folder.path, checkpoint=checkpoint, message=f"Training was stopped: {kept}."
        )
