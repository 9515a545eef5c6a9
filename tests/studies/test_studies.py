"""A study: arms on the same folds, sharing stage 1, resumable, and summed up from their own files."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from src_model.errors import ConfigError
from src_model.evaluation.events import CaseScored
from src_model.evaluation.table import ScoreTable
from src_model.events import Control, EpochFinished, Event, RunStarted, Warned
from src_model.lock import lock_file
from src_model.studies import run_study as run_study_module
from src_model.studies.events import ArmStarted, StudyFinished, StudyStopped
from src_model.studies.run_study import run_study
from src_model.studies.study import Study, list_studies, read_study
from src_model.studies.summary import summarise

STUDY = Study.model_validate(
    {
        "arms": {
            "unet": {
                "title": "U-Net",
                "native": True,
                "settings": {"stage": "first"},
            },
            "mixture": {
                "title": "+ mixture",
                "after": "unet",
                "top_k": [1, 4],
                "flips": True,
                "settings": {"stage": "second"},
            },
        }
    }
)
FOLDERS = ("unet", "unet-native", "mixture", "mixture-top1", "mixture-top4", "mixture-flips")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pairs of bright rectangles on noise."""
    root = tmp_path_factory.mktemp("study") / "data"
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(4):
        mask = np.zeros((32, 32), np.uint8)
        mask[4 + number : 20, 6:22] = 1
        image = (rng.integers(0, 60, (32, 32, 3)) + 100 * mask[..., None]).astype(np.uint8)
        Image.fromarray(image).save(root / "images" / f"case{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"case{number}.png")
    return root


def settings(data: Path, **more: Any) -> dict[str, Any]:
    """One epoch of a tiny network, two folds."""
    stage = {"epochs": 1, "learning_rate": 1e-2, "weight_decay": 0.0}
    return {
        "data": {"root": data, "image_size": 32, "folds": 2},
        "model": {"options": {"base_channels": 4, "mixture_width": 4}},
        "batch_size": 2,
        "stage1": stage,
        "stage2": stage,
        "device": "cpu",
        "keep": "last",
        "report_resolution": "training",
        **more,
    }


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """A complete study and its events."""
    out = tmp_path_factory.mktemp("complete")
    return out, list(run_study(STUDY, settings(data), out))


def test_every_arm_scores_every_image_once(finished: tuple[Path, list[Event]]) -> None:
    out, events = finished

    tables = {
        name: [ScoreTable.read(out / name / f"fold-{n}" / "metrics.csv") for n in (1, 2)] for name in FOLDERS
    }

    assert isinstance(events[-1], StudyFinished)
    for folds in tables.values():
        assert sorted(case for table in folds for case in table.cases) == [f"case{n}" for n in range(4)]


def test_arms_after_another_start_from_its_weights(finished: tuple[Path, list[Event]]) -> None:
    out, _ = finished
    for fold in ("fold-1", "fold-2"):
        before = load_file(out / "unet" / fold / "model.safetensors")
        after = load_file(out / "mixture" / fold / "model.safetensors")

        assert all(torch.equal(after[key], value) for key, value in before.items())
        assert any(key.startswith("mixture.") for key in after)


def test_each_run_of_a_study_leaves_a_report_but_nothing_to_resume(
    finished: tuple[Path, list[Event]],
) -> None:
    out, _ = finished

    reports = {path.parent.parent.name for path in out.glob("*/fold-1/report.html")}

    assert reports == set(FOLDERS)
    assert not list(out.glob("*/*/last.safetensors"))


def test_a_complete_study_is_not_run_again(finished: tuple[Path, list[Event]], data: Path) -> None:
    out, _ = finished

    events = list(run_study(STUDY, settings(data), out))

    assert [type(event) for event in events] == [StudyFinished]


def test_a_stopped_study_goes_on_to_the_same_scores(
    finished: tuple[Path, list[Event]], data: Path, tmp_path: Path
) -> None:
    whole, _ = finished
    control = Control()
    events = []
    for event in run_study(STUDY, settings(data), tmp_path, control=control):
        events.append(event)
        if isinstance(event, EpochFinished) and event.stage == "2":
            control.stop()

    rest = list(run_study(STUDY, settings(data), tmp_path))

    assert isinstance(events[-1], StudyStopped)
    assert "start it again" in events[-1].message.lower()
    assert next((e.arm, e.fold) for e in rest if isinstance(e, ArmStarted)) == ("mixture", 1)
    for name in FOLDERS:
        for fold in ("fold-1", "fold-2"):
            one, other = (root / name / fold / "metrics.csv" for root in (whole, tmp_path))
            assert one.read_text() == other.read_text()


def test_a_study_stopped_while_it_scores_keeps_the_trained_run(
    finished: tuple[Path, list[Event]], data: Path, tmp_path: Path
) -> None:
    whole, _ = finished
    control = Control()
    events = []
    for event in run_study(STUDY, settings(data), tmp_path, control=control):
        events.append(event)
        if isinstance(event, CaseScored):
            control.stop()

    rest = list(run_study(STUDY, settings(data), tmp_path))

    assert isinstance(events[-1], StudyStopped)
    first = next((e.arm, e.fold) for e in rest if isinstance(e, ArmStarted))
    started = [event for event in rest if isinstance(event, RunStarted)]
    assert first == ("unet", 1)
    assert len(started) == 3  # of four runs; the first was trained already
    one, other = (root / "unet" / "fold-1" / "metrics.csv" for root in (whole, tmp_path))
    assert one.read_text() == other.read_text()


def test_two_processes_share_a_study(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_study_module, "_WAIT", 0.0)
    events: list[Event] = []
    with ExitStack() as other:
        other.enter_context(lock_file(tmp_path / "unet" / ".fold-1.lock"))  # a process that works on it
        for event in run_study(STUDY, settings(data), tmp_path):
            events.append(event)
            if isinstance(event, Warned) and "other processes" in event.message:
                other.close()  # that process died

    begun = [(event.arm, event.fold) for event in events if isinstance(event, ArmStarted)]
    assert begun == [("unet", 2), ("mixture", 2), ("unet", 1), ("mixture", 1)]
    assert isinstance(events[-1], StudyFinished)


def test_a_study_that_waits_for_another_process_can_be_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_study_module, "_WAIT", 0.0)
    control = Control()
    events: list[Event] = []
    with ExitStack() as other:
        for fold in (1, 2):
            other.enter_context(lock_file(tmp_path / "unet" / f".fold-{fold}.lock"))
        for event in run_study(STUDY, settings(data), tmp_path, control=control):
            events.append(event)
            control.stop()

    assert [type(event) for event in events] == [Warned, StudyStopped]


def test_a_study_is_scored_even_where_its_settings_want_no_report(data: Path, tmp_path: Path) -> None:
    events = list(run_study(STUDY, settings(data, report=False), tmp_path))

    assert isinstance(events[-1], StudyFinished)
    assert all((tmp_path / name / "fold-1" / "metrics.csv").is_file() for name in FOLDERS)


def test_the_summary_follows_from_the_files_of_the_runs(finished: tuple[Path, list[Event]]) -> None:
    out, _ = finished

    arms = {arm.name: arm for arm in summarise(STUDY, out)}

    unet, mixture = arms["unet"], arms["mixture"]
    first, second = unet.table.per_case("dice"), mixture.table.per_case("dice")
    assert tuple(arms) == FOLDERS
    assert unet.difference is arms["unet-native"].difference is None  # each is the first at its resolution
    assert mixture.difference == pytest.approx(np.mean([second[c] - first[c] for c in first]))
    assert mixture.test is not None
    assert mixture.seconds is not None
    assert arms["mixture-top1"].seconds is None
    assert {arm.folds for arm in arms.values()} == {2}


def test_the_summary_of_half_a_study_compares_the_images_that_both_have(
    finished: tuple[Path, list[Event]], tmp_path: Path
) -> None:
    out, _ = finished
    for name, folds in (("unet", (1, 2)), ("mixture", (2,))):
        for fold in folds:
            target = tmp_path / name / f"fold-{fold}"
            target.mkdir(parents=True)
            (target / "metrics.csv").write_bytes((out / name / f"fold-{fold}" / "metrics.csv").read_bytes())

    unet, mixture = summarise(STUDY, tmp_path)

    assert (unet.folds, mixture.folds) == (2, 1)
    shared = mixture.table.per_case("dice")
    differences = [shared[case] - unet.table.per_case("dice")[case] for case in shared]
    assert mixture.difference == pytest.approx(np.mean(differences))


def test_a_study_without_folds_is_refused(data: Path, tmp_path: Path) -> None:
    alone = settings(data) | {"data": {"root": data}}

    with pytest.raises(ConfigError, match=r"data\.folds is None"):
        list(run_study(STUDY, alone, tmp_path))


def test_the_studies_of_the_package_are_valid() -> None:
    assert "ablation" in list_studies()
    assert [list(read_study(name).arms) for name in list_studies()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms: {}", "arms"),
        ("arms: {a: {title: A, after: b}}", "'a' comes after 'b'"),
        ("arms: {a: {title: A, top_k: [0]}}", "top_k"),
        ("arms: {a/b: {title: A}}", "no name of a folder"),
        ("arms: {a: {title: A, colour: red}}", "colour"),
    ],
)
def test_a_study_that_does_not_fit_is_refused_in_one_sentence(
    text: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)

    with pytest.raises(ConfigError, match=message) as caught:
        read_study(file)

    assert "\n" not in str(caught.value)


def test_an_unknown_study_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no study 'other'"):
        read_study("other")
