"""The ``utanet`` command: every engine of the package from a terminal.

Exit codes: 0 done, 1 failed with one sentence, 2 bad usage, 130 interrupted with everything kept.
"""

from __future__ import annotations

import logging
import os
import sys

from src_model.cli import check, judge, protocols, segment, study
from src_model.cli.commands import app
from src_model.errors import UTANetError

__all__ = ["app", "check", "judge", "main", "protocols", "segment", "study"]


def main() -> None:
    """Run the command line; errors become one sentence on standard error, never a traceback."""
    debugging = bool(os.environ.get("UTANET_DEBUG"))
    if not debugging:  # what is wrong with a file, its error says in a sentence
        logging.getLogger("tifffile").addHandler(logging.NullHandler())
    try:
        app()
    except UTANetError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("Interrupted.", 130)
    except Exception as error:
        if debugging:
            raise
        _fail(
            f"Unexpected error ({type(error).__name__}: {error}); set UTANET_DEBUG=1 to see its origin.",
            1,
        )


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"utanet: {message}\n")
    raise SystemExit(code)
