"""The rules that keep the code readable are checked, not only written down."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    file for package in ("src_model", "napari_utanet") for file in (ROOT / package).rglob("*.py")
)


def test_no_module_is_longer_than_300_lines() -> None:
    long = {
        str(file.relative_to(ROOT)): n for file in SOURCES if (n := len(file.read_text().splitlines())) > 300
    }

    assert long == {}


def test_one_sentence_opens_every_module() -> None:
    silent = [str(file) for file in SOURCES if not ast.get_docstring(ast.parse(file.read_text()))]

    assert silent == []


def test_threads_start_only_where_they_may() -> None:
    starters = ("threading.Thread(", "QThread(", "ThreadPoolExecutor(", "thread_worker", "create_worker")

    users = {
        str(file.relative_to(ROOT)) for file in SOURCES if any(word in file.read_text() for word in starters)
    }

    assert users <= {"napari_utanet/worker.py", "src_model/inference/slides/pipeline.py"}
