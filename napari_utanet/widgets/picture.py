"""A picture of a training pair that keeps its proportions, with a caption."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_utanet.widgets.fields import Status

_HEIGHT = 150


class Picture(QWidget):  # type: ignore[misc]
    """Shows an RGB array, or only the caption."""

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.image = QLabel()
        self.image.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.image.setFixedHeight(_HEIGHT)
        self.image.setToolTip(tooltip)
        self.caption = Status("muted")
        self.caption.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.image)
        layout.addWidget(self.caption)
        self.image.hide()

    def show_picture(self, picture: NDArray[np.uint8] | None, caption: str) -> None:
        """``picture`` is (h, w, 3) or ``None``."""
        self.caption.say(caption)
        self.image.setVisible(picture is not None)
        self.setVisible(picture is not None or bool(caption))
        if picture is not None:
            self.image.setPixmap(_pixmap(picture))


def _pixmap(picture: NDArray[np.uint8]) -> Any:
    height, width, _ = picture.shape
    data = np.ascontiguousarray(picture)
    image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    smooth = Qt.TransformationMode.SmoothTransformation
    ratio = Qt.AspectRatioMode.KeepAspectRatio
    return QPixmap.fromImage(image).scaled(290, _HEIGHT, ratio, smooth)
