"""NIfTI volumes: axes, orientation, spacing, masks on the same grid, and what is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from src_model.data.volumes import (
    is_volume_path,
    read_mask_volume,
    read_volume,
    same_grid,
    volume_stem,
    write_mask_volume,
)
from src_model.errors import DataError, ImageError, OutputError

WriteVolume = Callable[..., Path]
RAS = np.diag([2.0, 3.0, 4.0, 1.0])
LPS = np.array([[-2.0, 0, 0, 10], [0, -3.0, 0, 20], [0, 0, 4.0, 30], [0, 0, 0, 1]])
TURNED = np.array([[0, 0, 2.0, -5], [-3.0, 0, 0, 7], [0, 4.0, 0, 1], [0, 0, 0, 1]])


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_axes_are_channels_z_y_x_with_the_spacing_in_that_order(write_volume: WriteVolume, name: str) -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)

    volume = read_volume(write_volume(name, values, RAS))

    assert volume.values.shape == (1, 4, 3, 2)
    assert volume.shape == (4, 3, 2)
    assert volume.values.dtype == np.int16
    assert np.array_equal(volume.values[0], values.transpose(2, 1, 0))
    assert volume.spacing_mm == (4.0, 3.0, 2.0)


@pytest.mark.parametrize("affine", [LPS, TURNED])
def test_every_orientation_becomes_the_same_volume(
    write_volume: WriteVolume, tmp_path: Path, affine: np.ndarray
) -> None:
    straight = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), RAS)
    wanted = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.io_orientation(affine)
    )
    nib.save(straight, tmp_path / "straight.nii")
    nib.save(straight.as_reoriented(wanted), tmp_path / "turned.nii")

    first, second = read_volume(tmp_path / "straight.nii"), read_volume(tmp_path / "turned.nii")

    assert np.array_equal(first.values, second.values)
    assert first.spacing_mm == pytest.approx(second.spacing_mm)
    assert not np.allclose(first.affine, second.affine)


def test_modalities_become_channels(write_volume: WriteVolume) -> None:
    values = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)

    volume = read_volume(write_volume("v.nii.gz", values))

    assert volume.values.shape == (5, 4, 3, 2)
    assert np.array_equal(volume.values[1], values[..., 1].T)


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("micron", 0.001), ("meter", 1000), ("unknown", 1)])
def test_the_spacing_is_in_millimetres_whatever_the_unit(
    write_volume: WriteVolume, unit: str, factor: float
) -> None:
    volume = read_volume(write_volume("v.nii", np.zeros((2, 2, 2), np.uint8), RAS, unit))

    assert volume.spacing_mm == pytest.approx((4 * factor, 3 * factor, 2 * factor))


@pytest.mark.parametrize("affine", [RAS, LPS, TURNED])
def test_a_mask_is_written_on_the_grid_of_the_file(
    write_volume: WriteVolume, tmp_path: Path, affine: np.ndarray
) -> None:
    values = np.random.default_rng(1).integers(0, 3, (3, 4, 5)).astype(np.uint8)
    source = write_volume("v.nii.gz", values, affine, "micron")
    volume = read_volume(source)

    path = write_mask_volume(tmp_path / "out" / "m.nii.gz", volume.values[0], volume)

    stored, original = nib.load(path), nib.load(source)
    assert np.array_equal(np.asarray(stored.dataobj), values)
    assert np.array_equal(stored.affine, original.affine)
    assert stored.header.get_xyzt_units()[0] == "micron"
    assert stored.get_data_dtype() == np.uint8
    assert same_grid(read_mask_volume(path), volume)
    assert [p.name for p in path.parent.iterdir()] == ["m.nii.gz"]


@pytest.mark.parametrize(("largest", "kind"), [(1, np.uint8), (300, np.uint16), (70000, np.int32)])
def test_a_mask_takes_the_smallest_type_that_holds_it(
    write_volume: WriteVolume, tmp_path: Path, largest: int, kind: Any
) -> None:
    volume = read_volume(write_volume("v.nii", np.zeros((2, 2, 2), np.uint8)))
    mask = np.full((2, 2, 2), largest, np.int64)

    path = write_mask_volume(tmp_path / "m.nii", mask, volume)

    assert nib.load(path).get_data_dtype() == kind
    assert np.array_equal(read_mask_volume(path).values[0], mask)


def test_a_mask_that_cannot_be_stored_is_refused(write_volume: WriteVolume, tmp_path: Path) -> None:
    volume = read_volume(write_volume("v.nii", np.zeros((2, 2, 2), np.uint8)))
    good = np.zeros((2, 2, 2), np.int64)

    with pytest.raises(ImageError, match=r"\(2, 2, 3\) voxels but the volume has \(2, 2, 2\)"):
        write_mask_volume(tmp_path / "m.nii", np.zeros((2, 2, 3), np.uint8), volume)
    with pytest.raises(ImageError, match="whole numbers but got float64"):
        write_mask_volume(tmp_path / "m.nii", good * 0.5, volume)
    with pytest.raises(ImageError, match="from 0 but got -1"):
        write_mask_volume(tmp_path / "m.nii", good - 1, volume)
    with pytest.raises(ImageError, match=r"named \.nii"):
        write_mask_volume(tmp_path / "m.tif", good, volume)
    with pytest.raises(OutputError, match="blocked"):
        (tmp_path / "blocked").write_text("")
        write_mask_volume(tmp_path / "blocked" / "m.nii", good, volume)
    assert not (tmp_path / "m.nii").exists()


def test_whole_numbers_stored_as_floats_are_a_mask_and_fractions_are_not(write_volume: WriteVolume) -> None:
    whole = write_volume("whole.nii", np.full((2, 2, 2), 2.0, np.float32))
    fractions = write_volume("fractions.nii", np.full((2, 2, 2), 0.5, np.float32))
    channels = write_volume("channels.nii", np.zeros((2, 2, 2, 2), np.uint8))

    assert read_mask_volume(whole).values.dtype == np.int64
    with pytest.raises(DataError, match=r"fractions\.nii holds fractions"):
        read_mask_volume(fractions)
    with pytest.raises(DataError, match=r"channels\.nii has 2 channels"):
        read_mask_volume(channels)


def test_another_size_or_place_is_another_grid(write_volume: WriteVolume) -> None:
    moved = RAS.copy()
    moved[0, 3] = 1.0
    values = np.zeros((2, 3, 4), np.uint8)
    first = read_volume(write_volume("a.nii", values, RAS))

    assert same_grid(first, read_volume(write_volume("b.nii", values, RAS + 1e-6)))
    assert not same_grid(first, read_volume(write_volume("c.nii", values, moved)))
    assert not same_grid(first, read_volume(write_volume("d.nii", values[:1], RAS)))


@pytest.mark.parametrize("kept", [5, 40, -30, -3])
def test_a_truncated_gz_is_refused(write_volume: WriteVolume, kept: int) -> None:
    values = np.random.default_rng(0).random((9, 9, 9)).astype(np.float32)
    path = write_volume("v.nii.gz", values)
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(DataError, match=r"v\.nii\.gz cannot be read as NIfTI: it is truncated or damaged"):
        read_volume(path)


def test_a_flipped_byte_in_a_gz_is_refused(write_volume: WriteVolume) -> None:
    path = write_volume("v.nii.gz", np.zeros((9, 9, 9), np.float32))
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # in the checksum
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"damaged \(CRC check failed"):
        read_volume(path)


def test_a_truncated_plain_file_is_refused(write_volume: WriteVolume) -> None:
    path = write_volume("v.nii", np.zeros((9, 9, 9), np.float32))
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(DataError, match="truncated or damaged"):
        read_volume(path)


@pytest.mark.parametrize(
    ("offset", "content"),
    [(40, b"\x09\x00"), (70, b"\x99\x99"), (42, b"\xff\x7f\xff\x7f\xff\x7f"), (344, b"none")],
    ids=["number of axes", "type of the values", "number of voxels", "magic word"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_corrupt_header_is_refused(
    write_volume: WriteVolume, offset: int, content: bytes, packed: bool
) -> None:
    path = write_volume("v.nii", np.ones((4, 4, 4), np.float32))
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + len(content)] = content
    if packed:
        path = path.with_suffix(".nii.gz")
    path.write_bytes(gzip.compress(damaged) if packed else damaged)

    with pytest.raises(DataError, match=r"v\.nii\S* cannot be read as NIfTI"):
        read_volume(path)


def test_a_header_without_a_voxel_size_is_refused(write_volume: WriteVolume, tmp_path: Path) -> None:
    path = write_volume("v.nii", np.zeros((2, 2, 2), np.uint8))
    damaged = bytearray(path.read_bytes())
    damaged[280:328] = bytes(48)  # the rows of the affine
    path.write_bytes(damaged)

    with pytest.raises(DataError, match="no usable voxel size"):
        read_volume(path)


def test_other_files_are_refused_by_name(write_volume: WriteVolume, tmp_path: Path) -> None:
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    (tmp_path / "notes.nii").write_text("not a volume")
    (tmp_path / "image.png").write_bytes(b"png")
    flat = write_volume("flat.nii", np.zeros((4, 4), np.uint8))
    colour = write_volume(
        "colour.nii", np.zeros((2, 2, 2), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    )

    for path, sentence in {
        tmp_path / "absent.nii": "There is no file",
        tmp_path / "image.png": "expected a name that ends in",
        tmp_path / "empty.nii.gz": "is empty",
        tmp_path / "notes.nii": "cannot be read as NIfTI",
        flat: "three spatial axes",
        colour: "expected plain numbers",
    }.items():
        with pytest.raises(DataError, match=sentence):
            read_volume(path)


def test_names_of_volumes() -> None:
    assert is_volume_path("a/B.NII.gz")
    assert not is_volume_path("a.gz")
    assert volume_stem("x/liver.1.nii.gz") == "liver.1"
    assert volume_stem("liver.nii") == "liver"
