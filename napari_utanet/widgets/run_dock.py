"""The common part of the Segment and Experts docks: image, model, device and one big button."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from magicgui.widgets import CheckBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_utanet.controllers.lookup import Facts
from napari_utanet.widgets.dock import Dock
from napari_utanet.widgets.fields import Choice, Form, Status, more_button, native
from napari_utanet.widgets.progress import Progress
from napari_utanet.widgets.theme import PRIMARY, SECONDARY

_DEVICE_NAMES = {"auto": "Automatic", "cpu": "CPU", "mps": "Apple GPU"}


def device_choices(devices: Sequence[str]) -> list[tuple[str, str]]:
    """Names for a list on screen, the automatic choice first."""
    return [(_DEVICE_NAMES.get(name, f"GPU {name.upper()}"), name) for name in ("auto", *devices)]


def check_box(text: str, name: str, tooltip: str) -> CheckBox:
    """A check box with its text beside it."""
    return CheckBox(text=text, name=name, tooltip=tooltip)


def device_field() -> Choice:
    """The list of devices; filled in when they have been found."""
    field = Choice(
        empty="Automatic",
        name="device",
        tooltip="Where to compute. Automatic takes the fastest device of this machine.",
    )
    field.set_choices(device_choices(()))
    return field


class RunDock(Dock):
    """Obeys setters and emits signals; its controller decides.

    Parameters
    ----------
    action
        Text of the big button.
    workers, soon
        See :class:`Dock`.
    """

    run_clicked = Signal()
    cancel_clicked = Signal()
    checkpoint_opened = Signal(object)

    def __init__(self, viewer: Any, action: str, workers: tuple[str, ...], soon: Sequence[str]) -> None:
        super().__init__(viewer, workers, soon)
        self._action = action
        self._running = False
        self.form = Form()
        self.layer = Choice(empty="No image is open", name="layer", tooltip="The image layer to work on.")
        self.stack = Choice(
            empty="", name="stack", tooltip="What the first axis of this image holds: planes or channels."
        )
        self.stack.set_choices([("Planes, one by one", "planes"), ("Channels", "channels")])
        self.checkpoint = Choice(
            empty="No model yet",
            name="checkpoint",
            tooltip="A trained model. Those that you train in UTANet: Train appear here by themselves.",
        )
        self.open_button = more_button("Open a checkpoint file (.safetensors).")
        self.device = device_field()
        self.top_k = Choice(
            empty="",
            name="top_k",
            tooltip="How many experts each router mixes. As trained is usually best.",
        )
        self.top_k.set_choices([("As trained", None), *((str(k), k) for k in range(1, 5))])
        self.button = QPushButton(action)
        self.button.setStyleSheet(PRIMARY)
        self.progress = Progress()
        self.status = Status()
        self.open_button.clicked.connect(self._browse)
        self.button.clicked.connect(self._pressed)

    def add_choices(self, *, after_model: tuple[str, Any] | None = None) -> None:
        """Put the common fields into the form, and one of the dock's own below the model."""
        self.form.add("Image", self.layer)
        self.form.add("First axis", self.stack)
        self.form.add("Model", _beside(self.checkpoint, self.open_button))
        if after_model is not None:
            self.form.add(*after_model)
        self.form.add("Device", self.device)
        self.form.add("Experts mixed", self.top_k)
        self.form.set_row_shown(self.stack, False)

    def add_action(self) -> None:
        """Put button, progress and status below what is there."""
        self.body.addWidget(self.button)
        self.body.addWidget(self.status)
        self.body.addWidget(self.progress)

    def set_layers(self, choices: list[tuple[str, str]]) -> None:
        """Offer these image layers."""
        self.layer.set_choices(choices)

    def set_models(self, choices: list[tuple[str, Path]]) -> None:
        """Offer these checkpoints."""
        self.checkpoint.set_choices(choices)

    def set_facts(self, facts: Facts) -> None:
        """Offer the devices that were found."""
        self.device.set_choices(device_choices(facts.devices))

    def set_stack_shown(self, shown: bool) -> None:
        """Whether the chosen image has an axis whose meaning must be asked."""
        self.form.set_row_shown(self.stack, shown)

    def set_running(self, running: bool, *, stopping: bool = False) -> None:
        """Turn the button into Cancel and back."""
        self._running = running
        self.button.setText(self._action if not running else "Cancelling…" if stopping else "Cancel")
        self.button.setStyleSheet(SECONDARY if running else PRIMARY)
        self.button.setEnabled(not stopping)
        if not running:
            self.progress.clear()

    def set_progress(self, done: int, total: int, text: str) -> None:
        """``total`` 0 = busy without measure."""
        self.progress.show_progress(done, total, text)

    def set_status(self, text: str, *, error: bool = False) -> None:
        """The one line that says what is going on."""
        self.status.say(text, error=error)

    def _pressed(self) -> None:
        (self.cancel_clicked if self._running else self.run_clicked).emit()

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Open a checkpoint", str(Path.home()), "Checkpoints (*.safetensors);;All files (*)"
        )
        if path:
            self.checkpoint_opened.emit(Path(path))


def _beside(field: Any, button: QPushButton) -> QWidget:
    """A field and a button in one row."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    layout.addWidget(native(field), 1)
    layout.addWidget(button)
    row.setToolTip(native(field).toolTip())
    row.setFocusProxy(native(field))
    return row
