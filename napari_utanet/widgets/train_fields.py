"""The fields of the Train dock, with what each one means."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import SpinBox
from qtpy.QtCore import Qt

from napari_utanet.widgets.fields import Choice, Form, PathField
from napari_utanet.widgets.run_dock import check_box, device_field
from napari_utanet.wording import sentence_case
from src_model.data.layouts import layout_named, list_layouts
from src_model.protocols import list_protocols, purpose

_SOURCES = [("Sample nuclei", "sample"), ("A folder", "folder"), ("Layers in the viewer", "layers")]
_PROTOCOLS = {
    "quick": "Quick, for a CPU",
    "paper": "As in the paper",
    "native": "Crops at native resolution",
}
"""Those that any dataset may be trained by; the others are for one dataset and keep their names."""


class TrainFields:
    """Two forms: where the images come from, and how to train on them."""

    def __init__(self) -> None:
        self.source = _choice("source", _SOURCES, "Where the images and their masks come from.")
        self.folder = PathField(
            placeholder="Images with their masks",
            tooltip="A folder with one subfolder of images and one of masks, files like a.png and "
            "a_mask.png, or a dataset laid out as its authors give it out.",
            title="Choose a folder of images and masks",
        )
        self.layout = _layout_choice()
        self.image_layer = Choice(
            empty="No image is open", name="image_layer", tooltip="The image that was drawn on."
        )
        self.labels_layer = Choice(
            empty="No labels layer",
            name="labels_layer",
            tooltip="The labels layer with the objects painted; everything unpainted counts as background.",
        )
        self.model = _choice("model", [("utanet", "utanet")], "The architecture to train.")
        self.imagenet = check_box(
            "Start from ImageNet",
            "imagenet",
            "Begin with an encoder that has learned from a million photographs; it is fetched once from "
            "download.pytorch.org.",
        )
        self.protocol = _protocol_choice()
        self.stage1_epochs = _number(
            "stage1_epochs", 0, 100_000, "Passes over the images that train encoder and decoder."
        )
        self.stage2_epochs = _number(
            "stage2_epochs", 0, 100_000, "Passes that train the mixture of experts, the rest frozen."
        )
        self.batch_size = _number(
            "batch_size", 1, 4096, "Images per training step; halved by itself when memory runs out."
        )
        self.classes = _number(
            "classes",
            1,
            254,
            "Foreground classes. 1: everything that is not background, whatever its number in the masks.",
        )
        self.device = device_field()
        self.out = PathField(
            placeholder="A new folder for each run",
            tooltip="Where the run is kept, with all that is needed to resume it. Empty: a new folder in "
            "your user data, named by date and time.",
            title="Choose a run folder",
        )
        self._imagenet_offered, self._resumable = True, False
        self.data = Form()
        self.settings = Form()
        self._fill()

    def by_name(self) -> dict[str, Any]:
        """The fields by the name of the state they show."""
        names = (
            "source", "folder", "layout", "image_layer", "labels_layer", "model", "imagenet", "protocol",
            "stage1_epochs", "stage2_epochs", "batch_size", "classes", "device", "out",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def show_source(self, source: str) -> None:
        """Show the fields that the source of images needs."""
        self.data.set_row_shown(self.folder, source == "folder")
        self.data.set_row_shown(self.layout, source == "folder")
        self.data.set_row_shown(self.image_layer, source == "layers")
        self.data.set_row_shown(self.labels_layer, source == "layers")

    def offer_imagenet(self, offered: bool) -> None:
        """The check box rests for networks that cannot start from ImageNet weights."""
        self._imagenet_offered = offered
        self.imagenet.enabled = offered and not self._resumable

    def rest_for_resume(self, resumable: bool) -> None:
        """A resumed run has its own settings, all but device and folder."""
        for field in (
            self.source, self.folder, self.layout, self.image_layer, self.labels_layer, self.model,
            self.protocol, self.stage1_epochs, self.stage2_epochs, self.batch_size, self.classes,
        ):  # fmt: skip
            if isinstance(field, PathField):
                field.setEnabled(not resumable)
            else:
                field.enabled = not resumable
        self._resumable = resumable
        self.offer_imagenet(self._imagenet_offered)

    def _fill(self) -> None:
        self.data.add("Images", self.source)
        self.data.add("Folder", self.folder)
        self.data.add("Layout", self.layout)
        self.data.add("Image", self.image_layer)
        self.data.add("Labels", self.labels_layer)
        self.settings.add("Protocol", self.protocol)
        self.settings.add("Architecture", self.model)
        self.settings.add("", self.imagenet)
        self.settings.add("Epochs, stage 1", self.stage1_epochs)
        self.settings.add("Epochs, stage 2", self.stage2_epochs)
        self.settings.add("Batch", self.batch_size)
        self.settings.add("Classes", self.classes)
        self.settings.add("Device", self.device)
        self.settings.add("Run folder", self.out)


def _choice(name: str, choices: list[tuple[str, str]], tooltip: str) -> Choice:
    field = Choice(empty="", name=name, tooltip=tooltip)
    field.set_choices(choices)
    return field


def _layout_choice() -> Choice:
    """Pairs first; each says what belongs into the folder when it is pointed at."""
    layouts = [layout_named(name) for name in reversed(list_layouts())]
    titles = [(sentence_case(layout.title), layout.name) for layout in layouts]
    field = _choice(
        "layout", [("Recognise by itself", "auto"), *titles], "How the images and masks lie in the folder."
    )
    _explain(
        field,
        ["By the names of files and subfolders.", *(f"Expected: {layout.expects}." for layout in layouts)],
    )
    return field


def _protocol_choice() -> Choice:
    """The general protocols first; each says what it is for when it is pointed at."""
    names = [*_PROTOCOLS, *(name for name in list_protocols() if name not in _PROTOCOLS)]
    field = _choice(
        "protocol",
        [(_PROTOCOLS.get(name, name), name) for name in names],
        "Sets epochs, batch and how images are cut; those of one dataset also network and layout.",
    )
    _explain(field, [purpose(name) for name in names])
    return field


def _explain(field: Choice, tips: list[str]) -> None:
    for row, tip in enumerate(tips):
        field.native.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)


def _number(name: str, least: int, most: int, tooltip: str) -> SpinBox:
    return SpinBox(min=least, max=most, value=least, name=name, tooltip=tooltip)
