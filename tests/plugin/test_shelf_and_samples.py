"""The remembered models, and the sample images."""

from pathlib import Path

import numpy as np
import pytest

from napari_utanet.samples import colon_glands, nuclei_fluorescence, nuclei_tissue, sample_folder
from napari_utanet.shelf import KEPT, Shelf
from napari_utanet.wording import duration, time_left


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
