"""A real OpenTelemetry collector with its kafka exporter, built once with Go from `tests/otelcol`, and cached.

`python -m tests.support.otelcol` builds it ahead, and says where it is, or why there is none.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "tests/otelcol"
CACHE: Final = ROOT / ".cache"
EXTERNAL: Final = "MIDWATCH_OTELCOL"
"""Names a collector that is there already."""

BUILD_SECONDS: Final = 900


class CollectorUnavailable(Exception):
    """It cannot be had here; the message says why."""


def build_collector() -> Path:
    """The program; later calls find it in the cache. Raises CollectorUnavailable: no Go, or it could not build it."""
    if given := os.environ.get(EXTERNAL):
        return Path(given)
    sources = b"".join((SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    wanted = CACHE / f"otelcol-{hashlib.sha256(sources).hexdigest()[:12]}"
    if wanted.is_file():
        return wanted
    go = shutil.which("go")
    if go is None:
        raise CollectorUnavailable(f"no Go to build a collector with; or name one in {EXTERNAL}")
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        program = Path(scratch) / "otelcol"
        command = [go, "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", str(program), "."]
        try:
            done = subprocess.run(
                command, cwd=SOURCE, env={**os.environ, "GOTOOLCHAIN": "local"}, capture_output=True, text=True,
                timeout=BUILD_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise CollectorUnavailable(f"Go took more than {BUILD_SECONDS} s") from None
        if done.returncode != 0:
            raise CollectorUnavailable(f"Go could not build a collector: {done.stderr.strip()[-500:]}")
        program.rename(wanted)
    return wanted


def otelcol() -> Path:
    """The program. Without Go, or without its modules, the test is skipped: no other test needs either."""
    try:
        return build_collector()
    except CollectorUnavailable as why:
        pytest.skip(f"no OpenTelemetry collector: {why}")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build_collector().name}\n")
    except CollectorUnavailable as why:
        sys.exit(str(why))
