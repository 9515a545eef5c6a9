"""The run folder: one training at a time, nothing overwritten, nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src_model.config import TrainConfig
from src_model.errors import CheckpointError, ConfigError, OutputError
from src_model.training.history import EpochRecord
from src_model.training.run_folder import RunFolder, open_run_folder


def _config(out: Path, resume: bool = False) -> TrainConfig:
    return TrainConfig.parse({"data": {"root": "data"}, "out": out, "resume": resume})


def _record(epoch: int) -> EpochRecord:
    numbers = dict.fromkeys(
        ("train_loss", "segmentation_loss", "balance_loss", "validation_loss", "dice", "iou"), 0.5
    )
    return EpochRecord(stage="1", epoch=epoch, learning_rate=1e-3, seconds=1.0, expert_usage=None, **numbers)


def test_a_second_training_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        open_run_folder(_config(tmp_path)),
        pytest.raises(ConfigError, match=rf"process {os.getpid()}\) is using the folder"),
        open_run_folder(_config(tmp_path)),
    ):
        pass


def test_the_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    with open_run_folder(_config(tmp_path)):
        pass

    with open_run_folder(_config(tmp_path)) as folder:
        assert folder.path == tmp_path


def test_a_refused_run_leaves_no_folder_behind_and_never_takes_the_users(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    for name in ("new", "given"):
        with pytest.raises(ConfigError, match="refused"), open_run_folder(_config(tmp_path / name)):
            raise ConfigError("refused")

    assert [entry.name for entry in tmp_path.iterdir()] == ["given"]


def test_a_new_folder_with_files_stays(tmp_path: Path) -> None:
    with open_run_folder(_config(tmp_path / "run")) as folder:
        folder.write_config(_config(tmp_path / "run"))

    assert folder.config.is_file()


def test_the_lock_of_another_process_holds_until_that_process_dies(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from src_model.training.run_folder import _locked\n"
        "with _locked(Path(sys.argv[1])):\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"locked"
        with pytest.raises(ConfigError, match=f"process {process.pid}"), open_run_folder(_config(tmp_path)):
            pass
        process.kill()

    with open_run_folder(_config(tmp_path)) as folder:
        assert folder.path == tmp_path


def test_a_folder_with_a_run_is_refused_unless_it_shall_be_resumed(tmp_path: Path) -> None:
    with open_run_folder(_config(tmp_path)) as folder:
        folder.write_config(_config(tmp_path))

    with (
        pytest.raises(ConfigError, match="already holds a run; resume it"),
        open_run_folder(_config(tmp_path)),
    ):
        pass
    with open_run_folder(_config(tmp_path, resume=True)) as folder:
        assert folder.path == tmp_path


def test_a_model_without_a_run_is_neither_overwritten_nor_resumed(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"precious")

    with pytest.raises(ConfigError, match="already holds a run"), open_run_folder(_config(tmp_path)):
        pass
    with (
        pytest.raises(ConfigError, match="holds no run to resume"),
        open_run_folder(_config(tmp_path, resume=True)),
    ):
        pass


def test_resuming_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="There is no run to resume"),
        open_run_folder(_config(tmp_path / "typo", resume=True)),
    ):
        pass

    assert not (tmp_path / "typo").exists()


def test_a_run_killed_before_its_first_file_can_be_resumed(tmp_path: Path) -> None:
    with open_run_folder(_config(tmp_path)):
        pass
    (tmp_path / ".config.0011aabb.part.yaml").write_text("half")

    with open_run_folder(_config(tmp_path, resume=True)):
        left = [path.name for path in tmp_path.iterdir()]

    assert left == [".lock"]


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("I am a file")

    with pytest.raises(OutputError, match="Cannot use"), open_run_folder(_config(tmp_path / "run")):
        pass


def test_the_configuration_goes_through_yaml_and_back(tmp_path: Path) -> None:
    config = _config(tmp_path / "run")
    folder = RunFolder(tmp_path)

    folder.write_config(config)

    again = TrainConfig.from_yaml(folder.config)
    data = config.data.model_copy(update={"root": Path("data").absolute()})
    assert again == config.model_copy(update={"data": data})


@pytest.mark.parametrize("links", [True, False], ids=["linked", "copied"])
def test_the_published_model_is_the_best_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("this file system has no links")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    folder = RunFolder(tmp_path)
    folder.best(_record(1)).write_bytes(b"first")
    folder.best(_record(2)).write_bytes(b"second")

    folder.publish(_record(1))
    folder.publish(_record(2))
    folder.publish(_record(2))
    folder.prune([_record(2)])

    assert folder.model.read_bytes() == b"second"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best-stage1-epoch2.safetensors",
        "model.safetensors",
    ]


def test_a_missing_best_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"best-stage1-epoch4\.safetensors is missing"):
        RunFolder(tmp_path).publish(_record(4))
