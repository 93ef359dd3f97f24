"""The limit: the same job in C++ on librdkafka and simdjson, with its counts in memory and no store at all.

Built from `throughput_c.cpp` when a compiler and both libraries with their headers are there (on Debian:
`apt-get install g++ pkg-config librdkafka-dev libsimdjson-dev`); else the table says what is missing.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.throughput_meter import Measured, say, task_of_arguments

SOURCE: Final = Path(__file__).with_suffix(".cpp")
CACHE: Final = Path(__file__).resolve().parents[1] / ".cache"
LIBRARIES: Final = ("rdkafka", "simdjson")


@cache
def missing() -> str:
    """Why it cannot be built here, in one line; empty if it can."""
    if shutil.which("g++") is None or shutil.which("pkg-config") is None:
        return "not built: no g++ or no pkg-config"
    for library in LIBRARIES:
        if subprocess.run(["pkg-config", "--exists", library], check=False).returncode:  # noqa: S607
            return f"not built: no headers of {library} (Debian: lib{library}-dev)"
    try:
        program()
    except subprocess.CalledProcessError as error:
        return f"not built: {error.stderr.strip().splitlines()[-1]}"
    return ""


@cache
def program() -> Path:
    """The program, built if it is not there yet."""
    target = CACHE / f"bench-c-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}"
    if not target.exists():
        CACHE.mkdir(exist_ok=True)
        flags = subprocess.run(
            ["pkg-config", "--cflags", "--libs", *LIBRARIES],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        command = ["g++", "-O3", "-march=native", "-std=c++17", "-o", str(target), str(SOURCE), *flags]
        subprocess.run(command, capture_output=True, text=True, check=True)
    return target


def main() -> None:
    """Run it on the task in the second argument, and hand its result on."""
    _, task = task_of_arguments()
    words = [task.bootstrap, task.topic, task.name, str(task.events)]
    done = subprocess.run([str(program()), *words], capture_output=True, text=True, check=True)
    say(msgspec.json.decode(done.stdout, type=Measured))


if __name__ == "__main__":
    main()
