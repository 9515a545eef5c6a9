"""Disks that fill up and folders that vanish while a training runs: one sentence, nothing saved is lost."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from src_model import files, tensors
from src_model.cli import main
from src_model.config import TrainConfig
from src_model.errors import DataError, OutputError
from src_model.events import EpochFinished, Event, RunFinished, Warned
from src_model.training import sources
from src_model.training.sources import load_sources
from src_model.training.state import read_state
from src_model.training.trainer import train

MakeConfig = Callable[..., TrainConfig]
WritesOf = Callable[..., None]


@pytest.fixture
def fail_to_write(monkeypatch: pytest.MonkeyPatch) -> WritesOf:
    """Let every file whose name begins so fail with that error when its temporary name shall be replaced."""
    publish = files._publish

    def fail(beginning: str, number: int = errno.ENOSPC) -> None:
        def write(temporary: Path, target: Path) -> None:
            if target.name.startswith(beginning):
                raise OSError(number, os.strerror(number))
            publish(temporary, target)

        monkeypatch.setattr(files, "_publish", write)

    return fail


def _until(events: Iterator[Event], stage: str, epoch: int) -> None:
    """Go on to the end of that epoch, which is saved then."""
    next(e for e in events if isinstance(e, EpochFinished) and (e.stage, e.epoch) == (stage, epoch))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("file", ["best-", "last", "model", "history"])
def test_a_disk_that_fills_up_is_named_with_what_is_kept_and_the_run_can_be_resumed(
    make_config: MakeConfig, fail_to_write: WritesOf, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    config = make_config(stage="first", keep="last")
    events = train(config)
    _until(events, "1", 1)
    fail_to_write(file)

    with pytest.raises(OutputError) as caught:
        list(events)
    monkeypatch.undo()

    message = str(caught.value)
    epoch = 1 if file in ("best-", "last") else 2
    assert message.startswith(f"Could not write {config.out / file}")
    assert "No space left on device. Free some space on that disk" in message
    assert message.endswith(f"up to stage 1, epoch {epoch} is kept: resume the run afterwards to go on.")
    assert read_state(config.out / "last.safetensors").history.records[-1].epoch == epoch
    assert not list(config.out.glob(".*.part*"))
    assert isinstance(list(train(config.model_copy(update={"resume": True})))[-1], RunFinished)


def test_a_checkpoint_that_no_state_names_does_not_fill_the_disk_further(
    make_config: MakeConfig, fail_to_write: WritesOf
) -> None:
    config = make_config(stage="first", keep="last")
    events = train(config)
    _until(events, "1", 1)
    before = _names(config.out)
    fail_to_write("last")

    with pytest.raises(OutputError):
        list(events)

    assert _names(config.out) == before


def test_a_disk_that_is_full_from_the_first_epoch_says_that_nothing_was_saved_yet(
    make_config: MakeConfig, fail_to_write: WritesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(stage="first")
    fail_to_write("best-")

    with pytest.raises(OutputError, match=r"No epoch was saved yet: resume the run afterwards to begin"):
        list(train(config))
    monkeypatch.undo()

    assert _names(config.out) == [".lock", "config.yaml"]
    assert isinstance(list(train(config.model_copy(update={"resume": True})))[-1], RunFinished)


def test_a_run_that_could_not_write_its_first_file_leaves_no_folder(
    make_config: MakeConfig, fail_to_write: WritesOf
) -> None:
    config = make_config()
    fail_to_write("config")

    with pytest.raises(OutputError, match=r"Could not write .*config\.yaml: No space left"):
        list(train(config))

    assert not config.out.exists()


def test_a_folder_that_cannot_even_be_locked_is_not_left_behind(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()

    def full(file: Path) -> None:
        file.parent.mkdir()
        file.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("src_model.training.run_folder.lock_file", full)
    with pytest.raises(OutputError, match=r"Cannot use .* as run folder: No space left on device"):
        list(train(config))

    assert not config.out.exists()


def test_a_folder_that_may_no_longer_be_written_to_keeps_what_it_holds(
    make_config: MakeConfig, fail_to_write: WritesOf
) -> None:
    config = make_config(stage="first")
    events = train(config)
    _until(events, "1", 1)
    fail_to_write("", errno.EACCES)

    with pytest.raises(OutputError, match=r"Permission denied\. Choose .* epoch 1 is kept"):
        list(events)

    assert read_state(config.out / "last.safetensors").history.records[-1].epoch == 1
    assert not list(config.out.glob(".*.part*"))


def test_a_run_folder_that_was_deleted_ends_the_run_instead_of_being_made_again(
    make_config: MakeConfig,
) -> None:
    config = make_config(stage="first")
    events = train(config)
    _until(events, "1", 1)
    shutil.rmtree(config.out)

    with pytest.raises(OutputError, match=r"run folder .*run was deleted or moved, .* start a new one\.$"):
        list(events)

    assert not config.out.exists()


def test_a_run_folder_that_was_moved_away_is_resumed_after_it_was_put_back(make_config: MakeConfig) -> None:
    config = make_config(stage="first")
    events = train(config)
    _until(events, "1", 1)
    away = config.out.with_name("away")
    config.out.rename(away)
    with pytest.raises(OutputError, match="put it back and resume"):
        list(events)
    away.rename(config.out)

    epochs = [
        e.epoch for e in train(config.model_copy(update={"resume": True})) if isinstance(e, EpochFinished)
    ]

    assert epochs == [2]


def test_images_that_vanish_in_the_middle_cost_the_report_alone(
    make_config: MakeConfig, dataset: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(dataset, root)
    config = make_config(stage="first", data={"root": root}, report=True)
    events = train(config)
    _until(events, "1", 1)
    shutil.rmtree(root)

    *_, warned, finished = events

    assert isinstance(warned, Warned)
    assert "The model is complete but its report could not be written" in warned.message
    assert str(root) in warned.message
    assert isinstance(finished, RunFinished)


def test_a_stopped_run_whose_images_have_vanished_says_so_and_loses_nothing(
    make_config: MakeConfig, dataset: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(dataset, root)
    config = make_config(stage="first", data={"root": root})
    events = train(config)
    _until(events, "1", 1)
    events.close()  # type: ignore[attr-defined]
    root.rename(tmp_path / "away")
    before = _names(config.out)

    with pytest.raises(DataError, match=r"There is no folder .*data; check the path"):
        list(train(config.model_copy(update={"resume": True})))
    (tmp_path / "away").rename(root)

    assert _names(config.out) == before
    assert isinstance(list(train(config.model_copy(update={"resume": True})))[-1], RunFinished)


def test_a_folder_that_vanishes_while_it_is_read_is_not_trained_on_by_half(
    make_config: MakeConfig, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    shutil.copytree(dataset, root)
    load = sources.load_usable

    def vanish(*arguments: object) -> object:
        loaded = load(*arguments)  # type: ignore[arg-type]
        shutil.rmtree(root)
        return loaded

    monkeypatch.setattr(sources, "load_usable", vanish)

    with pytest.raises(DataError, match="vanished while its images were read; put it back"):
        load_sources(make_config(data={"root": root}))


def test_the_command_line_says_it_in_one_line_without_a_traceback(
    make_config: MakeConfig,
    fail_to_write: WritesOf,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    config = make_config(stage="first")
    (tmp_path / "given.yaml").write_text(config.to_yaml())
    arguments = ["train", "--config", str(tmp_path / "given.yaml"), "--out", str(config.out)]
    monkeypatch.setattr("sys.argv", ["utanet", *arguments])
    fail_to_write("last")

    with pytest.raises(SystemExit) as ended:
        main()

    *_, last = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 1
    assert last.startswith(f"utanet: Could not write {config.out / 'last.safetensors'}: No space left")


def test_an_error_of_safetensors_without_a_number_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    def refuse(*_: object, **__: object) -> None:
        raise SafetensorError("something else")

    monkeypatch.setattr("safetensors.torch.save_file", refuse)

    with pytest.raises(OutputError, match=r"Could not write .*x\.safetensors: something else"):
        tensors.write_tensors(tmp_path / "x.safetensors", {}, {})

    assert _names(tmp_path) == []
