"""What a month of usage costs to read: seconds, and the memory of the process.

Run it with `python -m benchmarks.chargeback [EVENTS]`; 200,000 if nothing is given. So many events of 40 systems and 60
cost centers are written to a temporary directory and read as `midwatch costs chargeback` reads them, in a process of
its own.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from costs.chargeback import chargeback
from costs.months import Month
from costs.tags_policy import Policy
from stream.chargeback_run import read_month
from stream.settings import load_settings


def write_usage(path: Path, events: int) -> None:
    """Write events of October 2026."""
    rng = random.Random(1)
    with path.open("w") as file:
        for number in range(events):
            event = {
                "type": "usage",
                "id": f"0af7651916cd43dd8448eb211c{number:06}",
                "time": f"2026-10-{number % 31 + 1:02}T10:{number % 60:02}:00Z",
                "environment": "production",
                "system": f"system-{number % 40}",
                "agent": "triage",
                "model": "gpt-4o",
                "provider": "azure",
                "input_tokens": rng.randrange(9000),
                "cached_input_tokens": 10,
                "output_tokens": 300,
                "tags": {"cost-center": f"47{number % 60:02}", "business-unit": "retail"},
            }
            file.write(f"{json.dumps(event)}\n")


def read_usage(path: Path) -> None:
    """Read the events and print what it took."""
    started = time.perf_counter()
    book, _ = read_month(Month.parse("2026-10"), Policy(), [path], load_settings(None, {}))
    report = chargeback(book, ("cost-center",))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{path.stat().st_size >> 20:,} MB, {book.counted:,} events, {len(book.charges):,} charges, "
        f"{len(report.lines)} lines: {seconds:.1f} s, {peak} MB at most in memory"
    )


def main() -> None:
    """Write the events, and read them in a fresh process."""
    if sys.argv[1:2] == ["--read"]:
        read_usage(Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "usage.jsonl"
        write_usage(path, int(sys.argv[1]) if sys.argv[1:] else 200_000)
        subprocess.run([sys.executable, "-m", "benchmarks.chargeback", "--read", str(path)], check=True)


if __name__ == "__main__":
    main()
