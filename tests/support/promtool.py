"""Prometheus's own tool, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.real import unavailable


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it; the test is skipped (or fails, where everything must be there) without it."""
    program = shutil.which("promtool")
    if program is None:
        unavailable("promtool is not installed (Debian: prometheus)")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
