"""The fault suite: real Kafka, real Redis, three workers, steady load, and everything that can go wrong.

Run it with `make chaos` (about ten minutes), `make chaos ARGS="--long"` before a release (a million records and 200
faults). It prints what must hold with what was found, and how long the engine took to recover; the exit code is 1 if
something does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.chaos.faults import FAULTS, describe
from benchmarks.chaos.report import show, to_json
from benchmarks.chaos.run import Options, run
from benchmarks.chaos.schedule import kinds_for
from benchmarks.chaos.world import NotHere

SHORT: Final = {"minutes": 8.0, "events": 100_000, "faults": 30}
LONG: Final = {"minutes": 0.0, "events": 1_000_000, "faults": 200}
RATE: Final = 1000
SPEED: Final = 60.0
"""Event time to real time: a tick a second."""

FAILED: Final = 1
USAGE: Final = 2


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    kinds = "\n".join(f"  {name:16} {describe(name)}" for name in FAULTS)
    parser = argparse.ArgumentParser(
        prog="make chaos ARGS=",
        description=__doc__,
        epilog=f"kinds of faults:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--long", action="store_true", help="a million records and 200 faults, however long it takes")
    parser.add_argument("--seed", type=int, default=1, help="another seed: another fleet, other faults (1)")
    parser.add_argument("--minutes", type=float, help="how long faults go on at least (8, or 0 with --long)")
    parser.add_argument("--events", type=int, help="records to send at least")
    parser.add_argument("--faults", type=int, help="faults to make at least")
    parser.add_argument("--rate", type=int, default=RATE, help=f"events a second ({RATE})")
    parser.add_argument("--speed", type=float, default=SPEED, help=f"event time to real time ({SPEED:.0f})")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="Kafka brokers, 1 or 3 (1)")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="only this fault; may be repeated")
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON; - for standard output, and no table")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep configurations and logs here")
    return parser


def main() -> int:
    """Run; 0 if everything holds, 1 if not, 2 for a command line that makes no sense or a machine that lacks parts."""
    given = arguments().parse_args()
    size = LONG if given.long else SHORT
    try:
        kinds = kinds_for(list(FAULTS), given.brokers, given.only)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    options = Options(
        kinds,
        given.seed,
        given.minutes if given.minutes is not None else float(size["minutes"]),
        given.events if given.events is not None else int(size["events"]),
        given.faults if given.faults is not None else int(size["faults"]),
        given.rate,
        given.speed,
        given.brokers,
    )
    # What the suite's own clients think of a broker that is killed is no news.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    log = Console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix="midwatch-chaos-run-"))
    started = time.monotonic()
    try:
        result = asyncio.run(run(options, folder, lambda words: log.print(words, highlight=False, markup=False)))
    except NotHere as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    finally:
        if given.keep is not None:
            shutil.copytree(folder, given.keep, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    result.facts["total_minutes"] = round((time.monotonic() - started) / 60, 1)
    whole = to_json(result.checks, result.happened, result.facts)
    if given.json == "-":
        print(json.dumps(whole, indent=1))
    else:
        show(Console(), result.checks, result.happened, result.facts)
        if given.json is not None:
            Path(given.json).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return 0 if whole["ok"] else FAILED


if __name__ == "__main__":
    sys.exit(main())
