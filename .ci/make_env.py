"""Make the development environment on a bare machine; standard library only.

Usage: python3 .ci/make_env.py VENV

Installs, in this order: the system libraries that a Qt window needs (Debian and Ubuntu, where the
user may), a virtual environment (also where ``ensurepip`` is missing), torch, and this project
with its test tools. Does nothing when the environment is already up to date.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = os.environ.get("UTANET_TORCH", "torch==2.13.0")
WINDOW_PACKAGES = [
    "xvfb",
    "libgl1",
    "libegl1",
    "libopengl0",
    "libglu1-mesa",
    "libgl1-mesa-dri",
    "libxkbcommon-x11-0",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-keysyms1",
    "libxcb-shape0",
    "libxcb-xinerama0",
    "libdbus-1-3",
]


def main() -> None:
    """Bring the environment named on the command line up to date."""
    if sys.version_info < (3, 11):  # noqa: UP036 -- the very check
        sys.exit(
            f"napari-utanet needs Python 3.11 or newer, but this is {sys.version.split()[0]}; set PYTHON=..."
        )
    folder = Path(sys.argv[1]).resolve()
    stamp = folder / "installed.txt"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + f"{TORCH} {ROOT}".encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    install_system_packages()
    python = make_venv(folder)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    say(f"installing {TORCH}")
    run([*pip, "--quiet", TORCH])
    say("installing napari-utanet and its test tools (a few minutes the first time)")
    run([*pip, "--quiet", "--editable", f"{ROOT}[all,test]"])
    stamp.write_text(wanted)


def install_system_packages() -> None:
    """Install what is missing of the libraries behind a Qt window, where this user may."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-query"):
        return
    missing = [name for name in WINDOW_PACKAGES if not is_installed(name)]
    if not missing:
        return
    if os.geteuid() == 0:
        prefix = []
    elif shutil.which("sudo") and run(["sudo", "-n", "true"], check=False):
        prefix = ["sudo", "-n"]
    else:
        say(f"no right to install system packages; if no window opens: apt-get install {' '.join(missing)}")
        return
    say(f"installing system packages: {' '.join(missing)}")
    quiet = ["-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run([*prefix, "apt-get", "update", "-q"], check=False, env=environment)
    if not run([*prefix, "apt-get", "install", *quiet, *missing], check=False, env=environment):
        say("the system packages could not be installed; going on without them")


def is_installed(package: str) -> bool:
    """Whether Debian's package of that name is installed."""
    query = ["dpkg-query", "-W", "-f=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"


def make_venv(folder: Path) -> Path:
    """A virtual environment with pip; returns its interpreter."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        say(f"making the environment {folder}")
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    if not run([str(python), "-c", "import pip"], check=False):
        if not run([str(python), "-m", "ensurepip", "--upgrade"], check=False):
            bootstrap_pip(python)
        run([str(python), "-m", "pip", "install", "--quiet", "--upgrade", "pip"])
    return python


def bootstrap_pip(python: Path) -> None:
    """Install pip from its own wheel, for systems that ship Python without ``ensurepip``."""
    say("this Python has no ensurepip; fetching pip from PyPI")
    index = "https://pypi.org/pypi/pip/json"
    with urllib.request.urlopen(index, timeout=60) as answer:
        files = json.load(answer)["urls"]
    wheel = next(file for file in files if file["packagetype"] == "bdist_wheel")
    with urllib.request.urlopen(urllib.parse.urljoin(index, wheel["url"]), timeout=60) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != wheel["digests"]["sha256"]:
        sys.exit("The downloaded pip does not match its checksum; run the command again.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / wheel["filename"]
        path.write_bytes(content)
        run([str(python), f"{path}/pip", "install", "--quiet", "--no-index", str(path)])


def run(command: list[str], *, check: bool = True, env: dict[str, str] | None = None) -> bool:
    """Run a command; with ``check``, end with one sentence when it fails."""
    quiet = None if check else subprocess.DEVNULL
    done = subprocess.run(command, check=False, env=env, stdout=quiet, stderr=quiet).returncode == 0
    if check and not done:
        sys.exit(f"This step failed, see the lines above: {' '.join(command)}")
    return done


def say(text: str) -> None:
    """One line of progress."""
    print(f"[environment] {text}", flush=True)


if __name__ == "__main__":
    main()
