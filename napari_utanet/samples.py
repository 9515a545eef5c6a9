"""Sample images for napari's File > Open Sample, and the folder that they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from src_model.errors import DataError

LayerData = tuple[Any, dict[str, Any], str]

SHOWN = 3
"""So many test images of a stain are opened as one sample."""


def sample_folder() -> Path:
    """The sample data: inside an installed package, or beside it in a checkout of the project.

    Raises
    ------
    DataError
        When neither is there.
    """
    package = Path(__file__).parent
    for folder in (package / "sample_data", package.parent / "sample_data"):
        if (folder / "nuclei").is_dir():
            return folder
    raise DataError("The sample data of napari-utanet is missing; install the package again.")


def nuclei_tissue() -> list[LayerData]:
    """Stained tissue, as in histology: images that the sample training never saw."""
    return _nuclei(colored=True, name="tissue nuclei")


def nuclei_fluorescence() -> list[LayerData]:
    """Fluorescence microscopy: images that the sample training never saw."""
    return _nuclei(colored=False, name="fluorescent nuclei")


def colon_glands() -> list[LayerData]:
    """Immunohistochemical staining of colon glands, from scikit-image."""
    from skimage.data import immunohistochemistry

    return [(immunohistochemistry(), {"name": "colon glands"}, "image")]


def _nuclei(*, colored: bool, name: str) -> list[LayerData]:
    from skimage.io import imread

    files = sorted((sample_folder() / "nuclei" / "test" / "images").iterdir())
    images = [image for file in files if _is_colored(image := imread(file)) == colored][:SHOWN]
    layers: list[LayerData] = [
        (image, {"name": f"{name} {number}", "visible": number == 1}, "image")
        for number, image in enumerate(images, start=1)
    ]
    return layers[::-1]  # the last one opened is the active one, and the only one visible


def _is_colored(image: Any) -> bool:
    return bool(image.ndim == 3 and (image[..., 0] != image[..., 1]).any())
