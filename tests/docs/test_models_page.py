"""The page on the cost of the networks is true, and its command says so when it is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = DOCS / "make_models.py"
PAGE = DOCS / "models.md"


def _check(command: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, command, "--check"], capture_output=True, text=True, check=False)


def test_the_documented_costs_and_claims_are_the_counted_ones() -> None:
    done = _check(COMMAND)

    assert done.returncode == 0, done.stderr


def test_a_page_that_is_out_of_date_is_named_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import generated

    page = tmp_path / "page.md"
    page.write_text("<!-- part: begin -->\nold\n<!-- part: end -->\n")
    new = generated.with_blocks(page.read_text(), {"part": "new"})
    monkeypatch.setattr(sys, "argv", ["docs/make_models.py", "--check"])

    with pytest.raises(SystemExit) as end:
        generated.finish(page, new)

    assert str(end.value.code) == f"{page} is out of date; run python docs/make_models.py"
    assert "old" in page.read_text()


def test_latencies_are_read_from_the_page_and_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import make_models

    known = make_models.known_latencies(PAGE.read_text())

    assert list(known) == [network.label for network in make_models.NETWORKS]
    assert all(time.isdigit() for time in known.values())


def test_the_small_networks_keep_to_what_they_were_made_for() -> None:
    # parameters (M) at most, GMAC at most, in both columns of stage 2
    limits = {"light-utanet-slim": (12.3, 5.8), "light-utanet-mobile": (3.5, 2.5)}
    for name, (parameters, gmac) in limits.items():
        rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}`")]
        measured = [row for row in rows if len(row) == 9]
        assert measured
        for row in measured:
            assert float(row[2]) <= parameters
            assert float(row[5]) <= float(row[6]) <= gmac
