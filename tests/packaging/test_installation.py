"""The plugin is found from a wheel and from an editable install, with its sample data."""

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_python(code: str, *, path: Path | None = None) -> str:
    """Standard output of a fresh interpreter, with ``path`` searched before everything else."""
    prefix = "" if path is None else f"import sys; sys.path.insert(0, {str(path)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", prefix + code], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed_wheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


FIND_PLUGIN = """
from npe2 import PluginManager, PluginManifest
import napari_utanet
manifest = PluginManifest.from_distribution("napari-utanet")
widgets = sorted(w.display_name for w in manifest.contributions.widgets)
print(napari_utanet.__file__)
print(widgets)
"""

DOCKS = ["UTANet: Experts", "UTANet: Segment", "UTANet: Train"]


def test_a_wheel_holds_the_manifest_the_packages_and_the_sample_data_inside_the_plugin(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert "napari_utanet/napari.yaml" in names
    assert "napari_utanet/py.typed" in names
    assert "src_model/py.typed" in names
    assert "src_model/evaluation/report.html.j2" in names
    assert any(name.startswith("napari_utanet/sample_data/nuclei/train/images/") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"napari_utanet", "src_model"}


def test_an_installed_wheel_lists_the_three_docks(installed_wheel: Path) -> None:
    file, widgets = run_python(FIND_PLUGIN, path=installed_wheel).splitlines()

    assert Path(file).is_relative_to(installed_wheel)
    assert widgets == str(DOCKS)


def test_an_installed_wheel_finds_its_sample_data_within_itself(installed_wheel: Path) -> None:
    code = "from napari_utanet.samples import sample_folder; print(sample_folder())"

    folder = Path(run_python(code, path=installed_wheel).strip())

    assert folder == installed_wheel / "napari_utanet" / "sample_data"
    assert len(list((folder / "nuclei" / "test" / "images").iterdir())) == 12


def test_an_installed_wheel_offers_its_model_and_holds_the_model_card(installed_wheel: Path) -> None:
    code = "from napari_utanet.shelf import shared_shelf; print(shared_shelf().choices()[0])"
    models = installed_wheel / "napari_utanet" / "sample_data" / "models"

    assert run_python(code, path=installed_wheel).strip() == str(
        ("Nuclei (included)", models / "nuclei.safetensors")
    )
    assert (models / "nuclei.safetensors").read_bytes() == (
        ROOT / "sample_data" / "models" / "nuclei.safetensors"
    ).read_bytes()
    assert "## Limits" in (models / "nuclei.md").read_text(encoding="utf-8")


def test_this_installation_lists_the_three_docks() -> None:
    manifest = metadata.distribution("napari-utanet").entry_points.select(group="napari.manifest")

    assert [entry.value for entry in manifest] == ["napari_utanet:napari.yaml"]
    assert run_python(FIND_PLUGIN).splitlines()[1] == str(DOCKS)


def test_the_manifest_passes_npe2_validate(installed_wheel: Path) -> None:
    for path in (ROOT / "napari.yaml", installed_wheel / "napari_utanet" / "napari.yaml"):
        done = subprocess.run(
            [sys.executable, "-m", "npe2", "validate", str(path)], capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_plugin_loads_neither_torch_nor_napari() -> None:
    code = "import sys, napari_utanet; print([m for m in ('torch', 'napari', 'monai') if m in sys.modules])"

    assert run_python(code).strip() == "[]"


def test_importing_the_science_loads_no_heavy_library() -> None:
    code = "import sys, src_model; print([m for m in ('torch', 'numpy', 'monai') if m in sys.modules])"

    assert run_python(code).strip() == "[]"


def test_the_sample_data_stays_small() -> None:
    size = sum(file.stat().st_size for file in (ROOT / "sample_data").rglob("*") if file.is_file())

    assert size < 20e6
