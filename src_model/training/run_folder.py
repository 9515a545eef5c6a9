"""The folder of a run: its lock, its files, and what may be done with a folder that is in use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from src_model.config import TrainConfig
from src_model.errors import CheckpointError, ConfigError, DataError, OutputError
from src_model.files import atomic_path, atomic_write_text, remove_leftovers
from src_model.lock import lock_file
from src_model.training.history import EpochRecord, History

_LOCK = ".lock"


@dataclass(frozen=True)
class RunFolder:
    """Paths and file operations of one run.

    ``last.safetensors`` (to resume from) is written after the best checkpoint of the same epoch,
    and best checkpoints carry their epoch in their name. So a kill between the two leaves a file
    that the state does not name, never a state with the weights of another epoch.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The configuration as YAML."""
        return self.path / "config.yaml"

    @property
    def state(self) -> Path:
        """State after the last finished epoch."""
        return self.path / "last.safetensors"

    @property
    def model(self) -> Path:
        """The checkpoint for the user."""
        return self.path / "model.safetensors"

    @property
    def history(self) -> Path:
        """One line for each epoch."""
        return self.path / "history.csv"

    def best(self, record: EpochRecord) -> Path:
        """The checkpoint of that epoch, kept while it is the best of its stage."""
        return self.path / f"best-stage{record.stage}-epoch{record.epoch}.safetensors"

    def publish(self, record: EpochRecord) -> None:
        """Make that epoch's checkpoint the user's: a second name of the same file where possible.

        Raises
        ------
        CheckpointError
            When that checkpoint is no longer there.
        OutputError
            When it cannot be written; the user's checkpoint stays as it was.
        """
        if not self.best(record).exists():
            raise CheckpointError(
                f"The run's best checkpoint {self.best(record)} is missing; put it back, or start a new run "
                "in another folder."
            )
        if _same_file(self.best(record), self.model):
            return
        with atomic_path(self.model) as temporary:
            temporary.unlink()
            try:
                os.link(self.best(record), temporary)
            except OSError:
                shutil.copy2(self.best(record), temporary)

    @property
    def reachable(self) -> bool:
        """Whether the folder that was locked is still there."""
        return os.path.exists(self.path / _LOCK)  # noqa: PTH110 - never raises

    def check_there(self) -> None:
        """Refuse to go on without the folder that was locked: writing would make another one.

        Raises
        ------
        OutputError
            When it was deleted or moved, or can no longer be reached.
        """
        if not self.reachable:
            raise OutputError(
                f"The run folder {self.path} was deleted or moved, or can no longer be reached; put it back "
                "and resume the run, or start a new one."
            )

    def discard(self, record: EpochRecord) -> None:
        """Delete the checkpoint of an epoch that no state names."""
        with suppress(OSError):
            self.best(record).unlink(missing_ok=True)

    def prune(self, keep: list[EpochRecord]) -> None:
        """Delete best checkpoints other than those to keep."""
        kept = {self.best(record) for record in keep}
        for path in self.path.glob("best-stage*.safetensors"):
            if path not in kept:
                with suppress(OSError):
                    path.unlink()

    def write_history(self, history: History) -> None:
        """Write the history, for people and spreadsheets."""
        atomic_write_text(self.history, history.to_csv())

    def write_config(self, config: TrainConfig) -> None:
        """Write the configuration so that it can be used again from anywhere."""
        plain = config.with_absolute_inputs().model_copy(
            update={"out": config.out.absolute(), "resume": False}
        )
        atomic_write_text(self.config, plain.to_yaml())

    def check_use(self, resume: bool) -> None:
        """Refuse to write over a run or model, and to resume what is no run.

        Raises
        ------
        ConfigError
            Naming the folder and the remedy.
        """
        run = self.config.exists() or self.state.exists()
        if not resume and (run or self.model.exists()):
            raise ConfigError(
                f"The folder {self.path} already holds a run; resume it, or choose another folder."
            )
        if resume and not run and any(file.name != _LOCK for file in self.path.iterdir()):
            raise ConfigError(
                f"The folder {self.path} holds no run to resume; check the path or leave resume out."
            )


@contextmanager
def open_run_folder(config: TrainConfig) -> Iterator[RunFolder]:
    """Lock the run folder of ``config`` for this run, and tidy what a killed run left behind.

    Raises
    ------
    ConfigError
        When another training uses the folder, when it holds a run that shall not be resumed, or
        when there is nothing to resume.
    OutputError
        When the folder cannot be made or written to.
    """
    folder = RunFolder(config.out)
    if config.resume and not config.out.is_dir():
        raise ConfigError(f"There is no run to resume in {config.out}; check the path or leave resume out.")
    with _locked(config.out):
        remove_leftovers(config.out)
        folder.check_use(config.resume)
        yield folder


def _same_file(source: Path, copy: Path) -> bool:
    """Whether ``copy`` is another name, or an unchanged copy, of ``source``."""
    if not copy.exists():
        return False
    one, other = source.stat(), copy.stat()
    return source.samefile(copy) or (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock."""
    new = not path.exists()
    with ExitStack() as stack:
        try:
            owner = stack.enter_context(lock_file(path / _LOCK))
        except OSError as error:
            if new:
                _remove_unused(path)
            raise OutputError(
                f"Cannot use {path} as run folder: {error.strerror}; choose a folder that can be written to."
            ) from error
        if owner is not None:
            raise ConfigError(
                f"Another training (process {owner}) is using the folder {path}; stop that one or choose "
                "another folder."
            )
        try:
            yield
        except (ConfigError, DataError, OutputError):
            if new:
                _remove_unused(path)
            raise


def _remove_unused(path: Path) -> None:
    """Remove a folder that nothing but the lock was written into: the run never began."""
    with suppress(OSError):
        if [file.name for file in path.iterdir()] == [_LOCK]:
            (path / _LOCK).unlink()
            path.rmdir()
