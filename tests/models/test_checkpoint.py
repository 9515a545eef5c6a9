"""Checkpoints: everything comes back, and what cannot be trusted is refused in one sentence."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from src_model.config import ClassInfo, Normalisation
from src_model.errors import CheckpointError, OutputError
from src_model.models.checkpoint import load_checkpoint, read_checkpoint_info, save_checkpoint
from src_model.models.header import FORMAT, FORMAT_VERSION
from src_model.models.utanet import UTANet

Make = Callable[..., UTANet]


@pytest.fixture
def path(tmp_path: Path, small_utanet: Make) -> Path:
    return save_checkpoint(tmp_path / "model.safetensors", small_utanet())


def rewrite(path: Path, **metadata: str) -> None:
    """Save the same weights under other metadata."""
    header = json.loads(path.read_bytes()[8 : 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]])
    save_file(load_file(path), path, metadata={**header["__metadata__"], **metadata})


def test_a_round_trip_is_bit_equal(tmp_path: Path, small_utanet: Make) -> None:
    model = small_utanet(num_classes=3, top_k=3).train().to(memory_format=torch.channels_last)
    model(torch.randn(2, 3, 32, 32))  # BatchNorm statistics move
    model.eval()

    loaded = load_checkpoint(save_checkpoint(tmp_path / "model.safetensors", model))

    own, theirs = model.state_dict(), loaded.model.state_dict()
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[key], theirs[key]) and own[key].dtype == theirs[key].dtype for key in own)
    image = torch.randn(1, 3, 20, 20)
    same_format = loaded.model.to(memory_format=torch.channels_last)
    assert torch.equal(model(image).logits, same_format(image).logits)
    assert not loaded.model.training
    assert all(p.requires_grad and p.device.type == "cpu" for p in loaded.model.parameters())


def test_the_description_comes_back(tmp_path: Path, small_utanet: Make) -> None:
    classes = (ClassInfo(name="gland", color="#ff0000"), ClassInfo(name="núcleo"))
    path = save_checkpoint(
        tmp_path / "new" / "model.safetensors",
        small_utanet(num_classes=3, train_unused=False),
        classes=classes,
        normalisation=Normalisation(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)),
        pixel_size_um=0.25,
        history=[{"epoch": 1, "dice": 0.5}, {"epoch": 2, "dice": 0.75}],
        training={"image_size": 128, "sampling": "crop"},
    )

    for info in (load_checkpoint(path), read_checkpoint_info(path)):
        assert info.config["name"] == "utanet"
        assert info.config["options"]["train_unused"] is False
        assert info.classes == classes
        assert info.normalisation.std == (0.4, 0.5, 0.6)
        assert info.pixel_size_um == 0.25
        assert info.history[1] == {"epoch": 2, "dice": 0.75}
        assert info.training == {"image_size": 128, "sampling": "crop"}
        assert "torch" in info.versions


def test_half_precision_takes_half_the_bytes_and_gives_nearly_the_same_logits(
    tmp_path: Path, small_utanet: Make
) -> None:
    model = small_utanet().train()
    model(torch.randn(2, 3, 32, 32))  # BatchNorm statistics and counters move
    model.eval()

    whole = save_checkpoint(tmp_path / "whole.safetensors", model)
    half = save_checkpoint(tmp_path / "half.safetensors", model, half=True)

    assert 0.45 < half.stat().st_size / whole.stat().st_size < 0.6
    loaded = load_checkpoint(half).model
    assert {value.dtype for value in load_file(half).values()} == {torch.float16, torch.int64}
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32, torch.int64}
    image = torch.randn(1, 3, 32, 32)
    expected = model(image).logits
    assert (loaded(image).logits - expected).abs().max() < 0.02 * expected.abs().max()
    counters = {key: value for key, value in model.state_dict().items() if value.dtype == torch.int64}
    assert counters
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in counters.items())


def test_a_weight_too_large_for_half_precision_is_refused_and_nothing_written(
    tmp_path: Path, small_utanet: Make
) -> None:
    model = small_utanet()
    with torch.no_grad():
        model.head[3].weight[0, 0] = -70_000

    with pytest.raises(CheckpointError, match=r"'head\.3\.weight' reaches 7e\+04, .* without half=True"):
        save_checkpoint(tmp_path / "m.safetensors", model, half=True)

    assert list(tmp_path.iterdir()) == []


def test_opening_a_checkpoint_uses_no_random_numbers(path: Path) -> None:
    before = torch.get_rng_state()

    load_checkpoint(path)

    assert torch.equal(before, torch.get_rng_state())


def test_a_loaded_model_does_not_hold_the_file(path: Path) -> None:
    model = load_checkpoint(path).model

    path.write_bytes(b"")

    assert torch.isfinite(model(torch.randn(1, 3, 16, 16)).logits).all()


def test_saving_replaces_the_old_file_and_leaves_no_other(path: Path, small_utanet: Make) -> None:
    save_checkpoint(path, small_utanet(stage=1))

    assert load_checkpoint(path).config["stage"] == 1
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


def test_a_wrong_number_of_classes_is_refused(tmp_path: Path, small_utanet: Make) -> None:
    with pytest.raises(CheckpointError, match="Expected 2 foreground classes or none but got 1"):
        save_checkpoint(
            tmp_path / "m.safetensors", small_utanet(num_classes=3), classes=[ClassInfo(name="a")]
        )


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path, small_utanet: Make) -> None:
    (tmp_path / "blocked").write_text("")

    with pytest.raises(OutputError, match="blocked"):
        save_checkpoint(tmp_path / "blocked" / "m.safetensors", small_utanet())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint .*absent\.safetensors"):
        load_checkpoint(tmp_path / "absent.safetensors")


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Cannot read"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        (0, "is empty"),
        (3, "truncated"),
        (8, "truncated"),
        (500, "truncated"),
        (-1, "1 of .* bytes are missing"),
    ],
)
def test_a_truncated_file_is_refused(path: Path, kept: int, sentence: str) -> None:
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(CheckpointError, match=sentence):
        load_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"a": torch.zeros(1)}, path, _use_new_zipfile_serialization=zipped)

    with pytest.raises(CheckpointError, match=r"could run code .* `utanet convert`"):
        load_checkpoint(path)


def test_any_other_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("These are my notes, and they are long enough.")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")

    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_checkpoint(tmp_path / "notes.txt")
    with pytest.raises(CheckpointError, match="not a checkpoint of this program"):
        load_checkpoint(tmp_path / "foreign.safetensors")


def test_a_newer_format_is_refused_with_the_remedy(path: Path) -> None:
    rewrite(path, format_version=str(FORMAT_VERSION + 1))

    with pytest.raises(CheckpointError, match="reads up to 1; update napari-utanet"):
        load_checkpoint(path)


def test_a_damaged_description_is_refused(path: Path) -> None:
    rewrite(path, format=FORMAT, description='{"config": {}}')

    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint_info(path)


def _change_config(path: Path, **values: object) -> None:
    description = json.loads(read_checkpoint_info(path).to_metadata()["description"])
    description["config"].update(values)
    rewrite(path, description=json.dumps(description))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": "resunet"}, "cannot build: There is no network 'resunet'"),
        ({"options": {"wings": 2}}, "has no option 'wings'"),
        ({"num_classes": 7}, r"another network than 'utanet': 'head\.3\.weight' has shape"),
        ({"stage": 1}, r"'mixture\.\S+' has no place in it"),
    ],
)
def test_weights_of_another_architecture_are_refused(
    path: Path, values: dict[str, object], sentence: str
) -> None:
    _change_config(path, **values)

    with pytest.raises(CheckpointError, match=sentence):
        load_checkpoint(path)


def test_missing_weights_are_named(tmp_path: Path, small_utanet: Make) -> None:
    path = save_checkpoint(tmp_path / "m.safetensors", small_utanet(stage=1))
    _change_config(path, stage=2)

    with pytest.raises(CheckpointError, match=r"'mixture\.\S+' is missing"):
        load_checkpoint(path)
