"""A run that was abandoned, killed or stopped ends with the weights of one that was not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from src_model import files
from src_model.config import TrainConfig
from src_model.errors import ConfigError, DataError, OutputError
from src_model.events import EpochFinished, Event, RunFinished, RunStarted, StepFinished, Warned
from src_model.models.checkpoint import read_checkpoint_info
from src_model.training.trainer import train

MakeConfig = Callable[..., TrainConfig]
Stop = Callable[[Event], bool]


def _abandon(config: TrainConfig, when: Stop) -> None:
    """Close the generator at the first event for which ``when`` holds."""
    events = train(config)
    for event in events:
        if when(event):
            break
    events.close()  # type: ignore[attr-defined]


def _resume(config: TrainConfig) -> list[Event]:
    return list(train(config.model_copy(update={"resume": True})))


def _assert_same_result(config: TrainConfig, reference: TrainConfig) -> None:
    for pattern in ("model.safetensors", "last.safetensors", "best-stage*"):
        ours, theirs = sorted(config.out.glob(pattern)), sorted(reference.out.glob(pattern))
        assert [path.name for path in ours] == [path.name for path in theirs]
        for one, other in zip(ours, theirs, strict=True):
            first, second = load_file(one), load_file(other)
            assert first.keys() == second.keys()
            assert all(torch.equal(first[key], second[key]) for key in first), one.name
    ours, theirs = (read_checkpoint_info(c.out / "model.safetensors").history for c in (config, reference))
    drop = {"seconds"}
    assert [{k: v for k, v in entry.items() if k not in drop} for entry in ours] == [
        {k: v for k, v in entry.items() if k not in drop} for entry in theirs
    ]


@pytest.fixture(scope="module")
def references() -> dict[str, TrainConfig]:
    """Uninterrupted runs, made once each."""
    return {}


@pytest.fixture
def reference(
    references: dict[str, TrainConfig],
    dataset: Path,
    tmp_path_factory: pytest.TempPathFactory,
    make_config: MakeConfig,
) -> Callable[..., TrainConfig]:
    def make(precision: str) -> TrainConfig:
        if precision not in references:
            out = tmp_path_factory.mktemp("reference") / precision
            references[precision] = make_config(precision=precision).model_copy(update={"out": out})
            list(train(references[precision]))
        return references[precision]

    return make


def _epoch_end(stage: str, epoch: int) -> Stop:
    return lambda e: isinstance(e, EpochFinished) and (e.stage, e.epoch) == (stage, epoch)


def _step_end(stage: str, epoch: int, step: int) -> Stop:
    return lambda e: isinstance(e, StepFinished) and (e.stage, e.epoch, e.step) == (stage, epoch, step)


@pytest.mark.parametrize(
    ("when", "precision"),
    [
        pytest.param(lambda event: True, "float32", id="at the first event"),
        pytest.param(_step_end("1", 1, 2), "float32", id="within the first epoch"),
        pytest.param(_epoch_end("1", 1), "float32", id="after an epoch of stage 1"),
        pytest.param(_step_end("1", 2, 2), "float32", id="within an epoch of stage 1"),
        pytest.param(_epoch_end("1", 2), "float32", id="between the stages"),
        pytest.param(_step_end("2", 1, 1), "float32", id="within the first epoch of stage 2"),
        pytest.param(_epoch_end("2", 1), "float32", id="after an epoch of stage 2"),
        pytest.param(_step_end("2", 2, 3), "float32", id="within an epoch of stage 2"),
        pytest.param(_epoch_end("2", 2), "float32", id="after the last epoch"),
        pytest.param(_step_end("1", 2, 1), "bfloat16", id="within stage 1 in half precision"),
        pytest.param(_epoch_end("2", 1), "bfloat16", id="within stage 2 in half precision"),
    ],
)
def test_an_abandoned_run_goes_on_to_the_same_weights(
    make_config: MakeConfig, reference: Callable[..., TrainConfig], when: Stop, precision: str
) -> None:
    config = make_config(precision=precision)
    _abandon(config, when)

    torch.rand(7)  # somebody else draws from the generator in between
    events = _resume(config)

    assert isinstance(events[-1], RunFinished)
    _assert_same_result(config, reference(precision))


class Killed(BaseException):
    """Ends a run where a kill would."""


def test_a_kill_at_any_write_is_harmless(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = files._publish
    small = {"stage1": {"epochs": 1}, "stage2": {"epochs": 1}, "data": {"image_size": 32}}
    whole = make_config("whole", **small)
    writes: list[str] = []

    def count(temporary: Path, target: Path) -> None:
        writes.append(target.name)
        publish(temporary, target)

    monkeypatch.setattr(files, "_publish", count)
    list(train(whole))
    assert {"last.safetensors", "model.safetensors", "history.csv"} <= set(writes)

    for number in range(len(writes)):
        config = make_config(f"kill{number}", **small)
        monkeypatch.setattr(files, "_publish", _kill_before(number, publish))
        with pytest.raises(Killed):
            list(train(config))
        monkeypatch.setattr(files, "_publish", publish)
        _resume(config)
        _assert_same_result(config, whole)


def _kill_before(number: int, publish: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    """Write ``number`` files, then die; to die after a write is to die before the next."""
    left = iter(range(number, -1, -1))

    def write(temporary: Path, target: Path) -> None:
        if next(left) == 0:
            raise Killed
        publish(temporary, target)

    return write


@pytest.mark.parametrize("stage", ["1", "2"])
def test_a_process_killed_in_a_step_goes_on_to_the_same_weights(
    make_config: MakeConfig, reference: Callable[..., TrainConfig], tmp_path: Path, stage: str
) -> None:
    config = make_config(precision="bfloat16")
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    program = (
        "import sys, torch\n"
        "from src_model.config import TrainConfig\n"
        "from src_model.training.trainer import train\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        "for event in train(TrainConfig.from_yaml(sys.argv[1])):\n"
        "    print(event.kind, getattr(event, 'stage', 0), getattr(event, 'epoch', 0), flush=True)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "config.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.split() == ["step_finished", stage, "2"]:
                process.kill()
                break
        process.wait()
        assert process.returncode < 0

    started, *_ = _resume(config)

    assert isinstance(started, RunStarted)
    assert started.resumed_from == f"stage {stage}, epoch 1"
    _assert_same_result(config, reference("bfloat16"))


def test_a_complete_run_that_is_resumed_is_just_finished_again(make_config: MakeConfig) -> None:
    config = make_config(stage="first")
    *_, finished = train(config)

    assert _resume(config) == [finished]


def test_more_epochs_may_be_asked_for_and_only_those_are_trained(make_config: MakeConfig) -> None:
    config = make_config()
    list(train(config))

    events = _resume(make_config(stage2={"epochs": 3}, stage1={"epochs": 5}))

    trained = [(e.stage, e.epoch) for e in events if isinstance(e, EpochFinished)]
    assert trained == [("2", 3)]
    assert any(isinstance(e, Warned) and "Stage 1 of this run is over" in e.message for e in events)


def test_other_settings_than_before_are_named_and_refused(make_config: MakeConfig) -> None:
    _abandon(make_config(), _epoch_end("1", 1))

    with pytest.raises(ConfigError, match=r"batch_size = 2 but is to be resumed with 3"):
        _resume(make_config(batch_size=3))
    with pytest.raises(ConfigError, match=r"stage1.learning_rate = 0.003"):
        _resume(make_config(stage1={"learning_rate": 1e-4}))


def test_the_device_and_the_place_of_the_folder_may_change(make_config: MakeConfig) -> None:
    config = make_config("before")
    _abandon(config, _epoch_end("1", 1))
    moved = make_config("after", device="auto")
    config.out.rename(moved.out)

    assert isinstance(_resume(moved)[-1], RunFinished)


def test_other_images_than_before_are_refused(make_config: MakeConfig, dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(dataset, root)
    config = make_config(data={"root": root})
    _abandon(config, _epoch_end("1", 1))
    for folder in ("images", "labels"):
        (root / folder / "case0.png").unlink()

    with pytest.raises(DataError, match="not those that this run was begun with"):
        _resume(config)


def test_a_second_start_is_refused_while_the_first_runs(make_config: MakeConfig) -> None:
    config = make_config()
    first = train(config)
    next(first)

    with pytest.raises(ConfigError, match="Another training"):
        next(iter(train(config)))

    first.close()  # type: ignore[attr-defined]


def test_a_folder_with_a_run_is_not_overwritten(make_config: MakeConfig) -> None:
    config = make_config(stage="first")
    list(train(config))
    before = (config.out / "model.safetensors").read_bytes()

    with pytest.raises(ConfigError, match="already holds a run"):
        list(train(config))

    assert (config.out / "model.safetensors").read_bytes() == before


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Let this process write files of a limited size only, as a full disk would."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_the_last_good_state(
    make_config: MakeConfig,
    reference: Callable[..., TrainConfig],
    small_files: Callable[[int], None],
) -> None:
    config = make_config(precision="bfloat16")
    events = train(config)
    for event in events:
        if isinstance(event, EpochFinished):
            break
    small_files(20_000)

    with pytest.raises(OutputError, match=r"Could not write .*safetensors"):
        list(events)
    small_files(-1)
    assert not list(config.out.glob(".*.part*"))
    _resume(config)

    _assert_same_result(config, reference("bfloat16"))
