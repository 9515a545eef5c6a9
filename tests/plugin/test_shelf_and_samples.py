"""The remembered models, and the sample images."""

from pathlib import Path

import numpy as np
import pytest

from napari_utanet import shelf as shelf_module
from napari_utanet.samples import colon_glands, nuclei_fluorescence, nuclei_tissue, sample_folder
from napari_utanet.shelf import KEPT, Shelf, included_models
from napari_utanet.wording import duration, time_left
from src_model.errors import DataError


def make_model(folder: Path, name: str) -> Path:
    path = folder / name / "model.safetensors"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_models_are_remembered_newest_first_in_the_next_session(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "models.json")
    first, second = make_model(tmp_path, "a"), make_model(tmp_path, "b")
    shelf.add(first)
    shelf.add(second)
    shelf.add(first)

    later = Shelf(tmp_path / "models.json")

    assert later.choices() == [("a", first), ("b", second)]


def test_a_deleted_model_is_not_offered(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "models.json")
    path = make_model(tmp_path, "a")
    shelf.add(path)

    path.unlink()

    assert shelf.choices() == []


def test_two_models_of_one_name_can_be_told_apart(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "models.json")
    shelf.add(make_model(tmp_path / "x", "run"))
    shelf.add(make_model(tmp_path / "y", "run"))

    names = [name for name, _ in shelf.choices()]

    assert len(set(names)) == 2


def test_only_the_latest_models_are_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "models.json")

    for number in range(KEPT + 3):
        shelf.add(make_model(tmp_path, f"run {number}"))

    assert len(shelf.paths) == KEPT


@pytest.mark.parametrize("content", ["not json", '{"a": 1}', "[1, 2]"])
def test_a_damaged_list_of_models_counts_as_empty(tmp_path: Path, content: str) -> None:
    file = tmp_path / "models.json"
    file.write_text(content)

    assert Shelf(file).paths == []


def test_a_shelf_that_cannot_be_written_still_offers_its_models(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder is needed")
    shelf = Shelf(tmp_path / "blocked" / "models.json")
    path = make_model(tmp_path, "a")

    shelf.add(path)

    assert shelf.paths == [path]


@pytest.fixture
def included(tmp_path: Path) -> Path:
    path = tmp_path / "package" / "nuclei.safetensors"
    path.parent.mkdir()
    path.touch()
    return path


def test_the_included_model_is_offered_first_under_a_name_of_its_own(tmp_path: Path, included: Path) -> None:
    shelf = Shelf(tmp_path / "models.json", [included])
    own = make_model(tmp_path, "nuclei")

    shelf.add(own)

    assert shelf.choices() == [("Nuclei (included)", included), ("nuclei", own)]


def test_the_newest_own_model_is_preferred_to_the_included_one(tmp_path: Path, included: Path) -> None:
    shelf = Shelf(tmp_path / "models.json", [included])
    assert shelf.preferred == included

    first, second = make_model(tmp_path, "a"), make_model(tmp_path, "b")
    shelf.add(first)
    shelf.add(second)

    assert shelf.preferred == second
    assert Shelf(tmp_path / "none.json").preferred is None


def test_opening_the_included_model_chooses_it_and_does_not_remember_it(
    tmp_path: Path, included: Path
) -> None:
    shelf = Shelf(tmp_path / "models.json", [included])
    chosen: list[Path] = []
    shelf.chosen.connect(chosen.append)

    shelf.add(included)

    assert (chosen, shelf.paths) == ([included], [])
    assert not (tmp_path / "models.json").exists()


def test_many_own_models_do_not_drive_the_included_one_away(tmp_path: Path, included: Path) -> None:
    shelf = Shelf(tmp_path / "models.json", [included])

    for number in range(KEPT + 3):
        shelf.add(make_model(tmp_path, f"run {number}"))

    assert shelf.choices()[0] == ("Nuclei (included)", included)
    assert len(shelf.choices()) == KEPT + 1


def test_an_included_model_that_was_remembered_once_is_offered_once(tmp_path: Path, included: Path) -> None:
    Shelf(tmp_path / "models.json").add(included)

    assert Shelf(tmp_path / "models.json", [included]).choices() == [("Nuclei (included)", included)]


def test_this_installation_includes_a_model_for_nuclei() -> None:
    assert [path.name for path in included_models()] == ["nuclei.safetensors"]


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02 a pickle", b"version https://git-lfs.github.com/spec/v1"]
)
def test_a_damaged_included_model_is_left_out_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "nuclei.safetensors").write_bytes(content)
    monkeypatch.setattr(shelf_module, "sample_folder", lambda: tmp_path)

    assert included_models() == []
    assert "The included model is not offered" in caplog.text


def test_without_sample_data_no_model_is_included(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise DataError("The sample data is missing.")

    monkeypatch.setattr(shelf_module, "sample_folder", missing)
    assert included_models() == []

    monkeypatch.setattr(shelf_module, "sample_folder", lambda: tmp_path)
    assert included_models() == []


def test_the_samples_are_unseen_images_of_each_stain() -> None:
    tissue, fluorescence = nuclei_tissue(), nuclei_fluorescence()

    assert len(tissue) == len(fluorescence) == 3
    assert all((image[..., 0] != image[..., 1]).any() for image, _, _ in tissue)
    assert all((image[..., 0] == image[..., 1]).all() for image, _, _ in fluorescence)
    assert (sample_folder() / "nuclei" / "train").is_dir()


def test_the_colon_glands_come_with_scikit_image() -> None:
    ((image, arguments, kind),) = colon_glands()

    assert (np.shape(image), arguments["name"], kind) == ((512, 512, 3), "colon glands", "image")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.84, "0.8 s"), (42, "42 s"), (180, "3 min"), (7500, "2 h 5 min"), (3600, "1 h")]
)
def test_durations_read_like_speech(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (3, "a few seconds left"), (200, "about 3 min left")]
)
def test_time_left_reads_like_speech(seconds: float | None, text: str) -> None:
    assert time_left(seconds) == text
