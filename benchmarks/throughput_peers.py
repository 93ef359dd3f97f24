"""The environment that the peers of the throughput benchmark run in: made once, from the locked requirements.

It is apart from Midwatch's own, in `.cache`, which git ignores. Installing may fail (no network, no wheel for this
Python); then the benchmark runs without the peer, and says in its table why.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "benchmarks" / "peers.lock"
PLACE: Final = ROOT / ".cache" / "bench-peers"
INSTALL_SECONDS: Final = 600.0


@cache
def missing(package: str) -> str:
    """Why this peer cannot run here, in one line; empty if it can."""
    try:
        _install()
    except (OSError, subprocess.SubprocessError) as error:
        return f"not installed: {_last_line(getattr(error, 'stderr', None) or str(error))}"
    done = subprocess.run([python(), "-c", f"import {package}"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    if package == "bytewax" and sys.version_info >= (3, 13):
        return "not installed: it has no wheels for Python 3.13 and later; try make setup PYTHON=python3.12"
    return f"not installed: {_last_line(done.stderr)}"


def python() -> str:
    """The interpreter of the peers' environment."""
    return str(PLACE / "bin" / "python")


def versions(*packages: str) -> dict[str, str]:
    """The installed version of each package that is there."""
    code = (
        "import sys, importlib.metadata as m\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, m.version(name))\n"
        "    except m.PackageNotFoundError: pass"
    )
    if not Path(python()).exists():
        return {}
    done = subprocess.run([python(), "-c", code, *packages], capture_output=True, text=True, check=False)
    return dict(line.split() for line in done.stdout.splitlines())


@cache
def _install() -> None:
    """Make the environment, unless it is there for these requirements and this Python."""
    mark = PLACE / "made-for"
    wanted = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return
    print("Installing the peers into .cache/bench-peers (a minute)", file=sys.stderr)
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.parent.mkdir(exist_ok=True)
    venv.create(PLACE, with_pip=True)
    pip = [python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    subprocess.run(
        [*pip, "--require-hashes", "-r", str(LOCK)],
        capture_output=True,
        text=True,
        check=True,
        timeout=INSTALL_SECONDS,
    )
    mark.write_text(wanted)


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"
