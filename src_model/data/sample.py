"""What a network is shown, and what it should answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Sample:
    """One image or volume, or a part of one."""

    image: NDArray[np.float32]
    """``(C, H, W)`` or ``(C, D, H, W)``, standardised."""
    mask: NDArray[np.int64]
    """``(H, W)`` or ``(D, H, W)``; class numbers, with one class 0 and 1."""
    case_id: str
    """Which case it is from."""
    domain: str | None = None
    """Which domain it is of; ``None`` where there is but one."""
