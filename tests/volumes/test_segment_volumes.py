"""Segmenting volumes: files and arrays in, masks on the same grid out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from src_model import segment
from src_model.cli import main
from src_model.config import ClassInfo, DomainInfo, Normalisation
from src_model.data.volume_intensity import standardise_volume, volume_to_unit
from src_model.data.volumes import read_volume
from src_model.errors import ConfigError, ImageError, ModelError
from src_model.events import ImageSegmented, SegmentationFinished, TileFinished, Warned
from src_model.inference.network import MemoryRanOut, Network
from src_model.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from src_model.models.registry import create_model

WriteVolume = Callable[..., Path]

SPACING = (1.0, 1.0, 1.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A checkpoint of two domains, one and two foreground classes."""
    torch.manual_seed(0)
    model = create_model(
        "u2net3d",
        domains={"a": {"in_channels": 1, "num_classes": 1}, "b": {"in_channels": 1, "num_classes": 3}},
        base_channels=4,
        poolings=(1, 1, 1),
    )
    domains = {
        "a": DomainInfo(classes=(ClassInfo(name="organ"),), spacing_mm=SPACING),
        "b": DomainInfo(normalisation=Normalisation(mean=(0.2,), std=(0.1,)), spacing_mm=SPACING),
    }
    training = {"patch_size": (8, 8, 8)}
    return save_checkpoint(tmp_path / "model.safetensors", model, domains=domains, training=training)


@pytest.fixture
def checkpoint(file: Path) -> Checkpoint:
    return load_checkpoint(file)


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)


def result_of(source: Any, checkpoint: Checkpoint, **options: Any) -> ImageSegmented:
    last = list(segment(source, checkpoint, device="cpu", precision="float32", **options))[-1]
    assert isinstance(last, SegmentationFinished)
    return last.results[0]


def test_a_nifti_file_gives_a_mask_on_its_own_grid(
    checkpoint: Checkpoint, write_volume: WriteVolume, tmp_path: Path
) -> None:
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])  # stored from right to left
    path = write_volume("in/scan.nii.gz", values(11, 10, 9), affine)

    result = result_of(path, checkpoint, domain="b", out=tmp_path / "out", probability=True)

    assert result.path == tmp_path / "out" / "scan_mask.nii.gz"
    written, source = nib.load(result.path), nib.load(path)
    assert written.shape == source.shape
    np.testing.assert_array_equal(written.affine, source.affine)
    memory = result_of(np.asarray(read_volume(path).values[0]), checkpoint, domain="b").mask
    np.testing.assert_array_equal(read_volume(result.path).values[0], memory)
    probability = read_volume(tmp_path / "out" / "scan_probability.nii.gz").values
    assert probability.shape == (2, 9, 10, 11)


def test_each_domain_has_its_own_classes_and_standardisation(checkpoint: Checkpoint) -> None:
    volume = values(9, 10, 11)

    a = result_of(volume, checkpoint, domain="A", probability=True)
    b = result_of(volume, checkpoint, domain="1", probability=True, tile=32)

    assert a.probability is not None
    assert b.probability is not None
    assert (a.probability.shape, b.probability.shape) == ((1, 9, 10, 11), (2, 9, 10, 11))
    unit = standardise_volume(volume_to_unit(volume[None]), checkpoint.domains["b"].normalisation)
    with torch.inference_mode():
        logits = checkpoint.model(torch.from_numpy(unit)[None], domain="b").logits[0]
    np.testing.assert_allclose(b.probability, logits.softmax(0)[1:].numpy(), atol=1e-5)


def test_a_checkpoint_silent_about_its_domain_uses_what_it_says_of_the_whole(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = create_model("u2net3d", in_channels=1, num_classes=2, base_channels=4, poolings=(1, 1, 1))
    whole = Normalisation(mean=(0.4,), std=(0.2,))
    plain = save_checkpoint(tmp_path / "plain.safetensors", model, normalisation=whole)
    told = save_checkpoint(
        tmp_path / "told.safetensors", model, domains={"default": DomainInfo(normalisation=whole)}
    )

    results = [result_of(values(9, 9, 9), load_checkpoint(f), probability=True) for f in (plain, told)]

    np.testing.assert_array_equal(results[0].probability, results[1].probability)


def test_memory_that_runs_out_makes_the_patches_smaller_and_never_larger(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    real = Network.logits

    def logits(self: Network, images: np.ndarray) -> torch.Tensor:
        seen.append(images.shape[2:])
        if max(images.shape[2:]) > 16:
            raise MemoryRanOut
        return real(self, images)

    monkeypatch.setattr(Network, "logits", logits)
    model = dataclasses.replace(checkpoint, domains={}, training={"patch_size": [8, 40, 40]})

    events = list(segment(values(10, 50, 50), model, domain="a", device="cpu"))

    notes = [event.message for event in events if isinstance(event, Warned)]
    assert [note.rsplit("patches of ")[1] for note in notes] == ["8 x 20 x 20 voxels.", "8 x 16 x 16 voxels."]
    assert seen[0] == (8, 40, 40)
    assert seen[-1] == (8, 16, 16)


def test_progress_counts_the_patches_and_the_mask_does_not_depend_on_the_axes(checkpoint: Checkpoint) -> None:
    volume = values(12, 10, 9)

    events = list(segment(volume, checkpoint, domain="a", device="cpu", precision="float32"))

    tiles = [event for event in events if isinstance(event, TileFinished)]
    assert [tile.done for tile in tiles] == list(range(1, tiles[-1].total + 1))
    assert tiles[-1].total == 2 * 2 * 2
    plain = events[-1].results[0].mask  # type: ignore[attr-defined]
    for array, axes in ((volume[None], None), (volume[..., None], "ZYXC"), (volume[:, None], "ZCYX")):
        np.testing.assert_array_equal(result_of(array, checkpoint, domain="a", axes=axes).mask, plain)


def test_objects_are_numbered_through_the_whole_volume(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = np.zeros((16, 20, 20), np.float32)
    blocks[2:6, 2:8, 2:8] = blocks[2:14, 12:18, 12:18] = 1
    monkeypatch.setattr(
        Network, "logits", lambda self, images: torch.from_numpy(images * 0 + (images > 0) * 9 - 4)
    )

    result = result_of(blocks, checkpoint, domain="a", instances=True)

    assert result.mask is not None
    assert result.mask.dtype == np.uint32
    assert result.objects == 2
    assert len(np.unique(result.mask[2:14, 12:18, 12:18])) == 1


def test_voxels_of_another_size_than_trained_on_are_told(
    checkpoint: Checkpoint, write_volume: WriteVolume
) -> None:
    path = write_volume("thick.nii.gz", values(9, 9, 9), np.diag([1.0, 1.0, 4.0, 1.0]))

    events = list(segment(path, checkpoint, domain="a", device="cpu"))

    notes = [event.message for event in events if isinstance(event, Warned)]
    assert len(notes) == 1
    assert "voxels of 4 x 1 x 1 mm (Z, Y, X) but the model was trained on 1 x 1 x 1 mm" in notes[0]


def test_what_does_not_fit_is_named_with_the_networks_that_do(
    checkpoint: Checkpoint, write_volume: WriteVolume, tmp_path: Path
) -> None:
    flat = save_checkpoint(tmp_path / "flat.safetensors", create_model("unet", base_channels=4))
    path = write_volume("scan.nii.gz", values(9, 9, 9))

    with pytest.raises(ImageError, match=r"is flat, shape \(20, 30\).*network for images \(utanet"):
        result_of(values(20, 30), checkpoint, domain="a")
    with pytest.raises(ImageError, match=r"is flat.*network for images \(utanet"):
        result_of(
            np.zeros((20, 30, 3), np.uint8) + values(20, 30, 3).astype(np.uint8), checkpoint, domain="a"
        )
    with pytest.raises(ImageError, match=r"is a volume but.*network for volumes: u2net3d"):
        list(segment(path, flat))
    with pytest.raises(ModelError, match="serves several domains; choose one as"):
        list(segment(path, checkpoint))
    with pytest.raises(ModelError, match="no domain 'liver'"):
        list(segment(path, checkpoint, domain="liver"))
    with pytest.raises(ModelError, match="'unet' has no domains"):
        list(segment(values(9, 9), flat, domain="a"))
    with pytest.raises(ImageError, match="has 2 channels but the model expects 1"):
        result_of(write_volume("two.nii", values(9, 9, 9, 2)), checkpoint, domain="a")
    with pytest.raises(ConfigError, match="segments whole volumes; leave roi out"):
        result_of(path, checkpoint, domain="a", roi=(0, 0, 4, 4))
    with pytest.raises(ImageError, match="give one volume"):
        result_of(values(2, 3, 9, 9, 9), checkpoint, domain="a", axes="TCZYX")


def test_the_command_line_segments_a_folder_of_volumes(
    file: Path, write_volume: WriteVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_volume("scans/one.nii.gz", values(9, 9, 9))
    write_volume("scans/two.nii", values(9, 9, 9))
    arguments = [str(tmp_path / "scans"), "--checkpoint", str(file), "--domain", "b", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["utanet", "segment", *arguments, "--out", str(tmp_path / "masks")])

    with pytest.raises(SystemExit) as ended:
        main()

    assert not ended.value.code
    names = sorted(entry.name for entry in (tmp_path / "masks").iterdir())
    assert names == ["one_mask.nii.gz", "two_mask.nii.gz"]
