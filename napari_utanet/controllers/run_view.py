"""What every run asks of its dock, and what the offer of a table of objects does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from napari_utanet.adapters.object_table import ObjectTable


class RunView(Protocol):
    """One button, one bar, one sentence."""

    def set_running(self, running: bool, *, stopping: bool = False) -> None:
        """Turn the button into Cancel and back."""

    def set_progress(self, done: int, total: int, text: str) -> None:
        """``total`` 0 = busy without measure."""

    def set_status(self, text: str, *, error: bool = False) -> None:
        """The one line that says what is going on."""


class ObjectsView(Protocol):
    """A button that opens the table of the objects found last; ``objects_clicked`` is a signal."""

    objects_clicked: Any

    def set_objects_offered(self, title: str | None) -> None:
        """Whose objects can be looked at; ``None`` = nobody's."""

    def show_objects(self, table: ObjectTable) -> None:
        """Open the table."""

    def set_status(self, text: str, *, error: bool = False) -> None:
        """The one line that says what is going on."""
