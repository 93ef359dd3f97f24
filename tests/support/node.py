"""Node and the packages of the example in `deploy/subscribers/node`, installed once into the cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.support.real import unavailable

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "deploy/subscribers/node"


def node_example() -> Path:
    """A copy of the example with its packages; skips (or fails, see `unavailable`) without Node, npm or a registry."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        unavailable("node and npm are not installed (Debian: nodejs, npm)")
    lock = (EXAMPLE / "package-lock.json").read_bytes()
    packages = ROOT / ".cache/node" / hashlib.sha256(lock).hexdigest()[:16]
    if not (packages / "node_modules").is_dir():
        packages.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(EXAMPLE / name, packages)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        done = subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=110, check=False)
        if done.returncode != 0:
            shutil.rmtree(packages)
            unavailable(f"kafkajs cannot be installed: {done.stdout}{done.stderr}"[:500])
    for path in EXAMPLE.glob("*.mjs"):
        shutil.copy(path, packages)
    return packages
