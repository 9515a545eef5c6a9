"""Two-stage training as a generator of frozen events, resumable at any kill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from src_model.config import TrainConfig
from src_model.errors import ConfigError, DataError, Stopped
from src_model.events import Control, Event, RunStopped
from src_model.memory import kept_memory
from src_model.models.registry import models_with_domains
from src_model.training.domains import with_domains
from src_model.training.encoder_weights import fetch_encoder_weights
from src_model.training.resume import check_same_run, frozen_settings
from src_model.training.run import Run
from src_model.training.run_folder import RunFolder, open_run_folder
from src_model.training.sources import Sources, load_sources
from src_model.training.stage_work import Compute
from src_model.training.stages import plan_stages
from src_model.training.state import RunState, read_state


def train(config: TrainConfig, *, control: Control | None = None) -> Iterator[Event]:
    """Train a network as ``config`` says; nothing happens until the first event is asked for.

    Stage 1 trains encoder and decoder with plain skips. Stage 2 starts from its best weights,
    freezes them and trains the mixture alone. After each epoch the run folder can be resumed
    from: a run that was killed, stopped or abandoned (``close()``) and then resumed ends with the
    same weights as one that was not (bit for bit on a CPU with the same number of threads).

    Parameters
    ----------
    config
        Everything about the run; it is not changed.
    control
        Pause and stop; checked between the steps.

    Yields
    ------
    Event
        :class:`RunStarted` first and :class:`RunFinished` last, or :class:`RunStopped` after a
        stop. Before the first one stand :class:`Downloading` where weights for the encoder have
        to be fetched, before the last one those of its scoring (see
        :func:`src_model.evaluation.evaluate.evaluate`). A run that is resumed when it is complete gives
        :class:`RunFinished` alone.

    Raises
    ------
    ConfigError
        When the settings contradict each other, the run folder or the run that is resumed.
    ModelError
        When the network cannot be made, or there are no such weights for its encoder.
    DeviceError
        When this machine has no such device.
    DownloadError
        When the encoder's weights cannot be fetched.
    DataError
        When an image or mask cannot be used.
    NonFiniteLossError
        When the loss is no longer a number; the last good checkpoint is kept.
    OutputError
        When the run folder cannot be written; the last good state is kept.
    """
    plan = plan_stages(config)
    config = with_domains(config)
    _check_classes(config)
    Compute.resolve(config)
    with open_run_folder(config) as folder, kept_memory():
        state = _saved_state(folder, config)
        control = control or Control()
        run = Run(config, plan, folder, control)
        if state is not None and all(state.history.done(stage) for stage in plan.stages):
            yield from run.finish(state)
            return
        if state is None:
            try:
                yield from fetch_encoder_weights(config.model, control)
            except Stopped:
                yield _stopped_early(folder)
                return
        sources = load_sources(config)
        state = state or RunState(
            config=frozen_settings(config), data=sources.fingerprint, micro_batch=config.batch_size
        )
        _check_sources(state, sources, config)
        folder.write_config(config)
        yield from run.events(state, sources)


def _stopped_early(folder: RunFolder) -> RunStopped:
    return RunStopped(
        run=folder.path,
        checkpoint=None,
        message="Training was stopped before it began; start it again to go on with the download.",
    )


def _check_classes(config: TrainConfig) -> None:
    if config.classes and config.model.name in models_with_domains():
        raise ConfigError(
            f"The classes of '{config.model.name}' are named by each dataset's dataset.json; leave classes "
            "out."
        )
    expected = max(config.model.num_classes - 1, 1)
    if config.classes and len(config.classes) != expected:
        raise ConfigError(
            f"There are {len(config.classes)} classes by name but {expected} foreground classes; name each "
            "one, or none."
        )


def _check_sources(state: RunState, sources: Sources, config: TrainConfig) -> None:
    if state.data != sources.fingerprint:
        raise DataError(
            f"The images in {config.data.root} are not those that this run was begun with; put them back, "
            "or start a new run in another folder."
        )


def _saved_state(folder: RunFolder, config: TrainConfig) -> RunState | None:
    """State to resume from, after checking that it is of the same run; ``None`` at the beginning."""
    if not folder.state.exists():
        return None
    state = read_state(folder.state)
    check_same_run(state.config, config)
    return replace(state, config=frozen_settings(config))
