"""How late Midwatch is: tick to verdict under load, one evaluation of many series, a start with many series.

`python -m benchmarks.latency [--rate N] [--minutes N] [--series N...] [--shards N] [--skip-live] [--json]`. The first
is measured on a real worker with a real Kafka where there is one (`MIDWATCH_KAFKA`, or Java), the others in this
process, in processor seconds, against an embedded Redis.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.latency_live import WAIT_MS, tick_to_verdict
from benchmarks.latency_series import SHARDS, evaluation
from benchmarks.throughput_servers import servers

RATE: Final = 5_000
MINUTES: Final = 12
SERIES: Final = (10_000, 100_000)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of the ordered values do not exceed."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def live(rate: float, minutes: int) -> dict[str, Any]:
    """Tick to verdict, and from it the end of an event's minute to its verdict with the default waits."""
    with servers() as at:
        found = tick_to_verdict(at, rate, minutes)
        seconds = found.pop("seconds")
        if not seconds:
            raise RuntimeError("the run brought no verdict; try more --minutes or a lower --rate")
        p50, p99 = quantile(seconds, 0.5), quantile(seconds, 0.99)
        wait = WAIT_MS / 1000
        return {
            **found,
            "broker": at.broker,
            "verdicts": len(seconds),
            "tick_to_verdict": {"p50": p50, "p99": p99, "worst": seconds[-1]},
            "minute_to_verdict": {"p50": p50 + wait, "p99": p99 + wait},
        }


def show_live(found: dict[str, Any]) -> None:
    """Print what the live run found."""
    tick, minute = found["tick_to_verdict"], found["minute_to_verdict"]
    print(f"{found['verdicts']} verdicts at {found['rate']:,.0f} events/s; {found['broker']}")
    print(f"  tick to verdict           p50 {tick['p50']:.3f} s, p99 {tick['p99']:.3f} s, worst {tick['worst']:.3f} s")
    print(f"  end of minute to verdict  p50 {minute['p50']:.3f} s, p99 {minute['p99']:.3f} s, with the waits (7 s)")
    if found["sending_late_seconds"] > 1:
        print(f"  sending fell {found['sending_late_seconds']:.1f} s behind: the machine is too busy for this rate")


def show_series(found: dict[str, Any]) -> None:
    """Print what one size found."""
    print(f"{found['series']:,} series in {found['shards']} shards")
    print(f"  one evaluation   {found['tick_cpu_median']:.3f} CPU-s, worst of ten {found['tick_cpu_worst']:.3f}")
    print(f"  one checkpoint   {found['checkpoint_cpu']:.3f} CPU-s")
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in found["start_cpu"].items())
    print(f"  start            {found['start_seconds']:.2f} s to the end of the first evaluation (CPU-s: {parts})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.latency", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=RATE, help=f"events a second, {RATE:,} if not given")
    parser.add_argument("--minutes", type=int, default=MINUTES, help="minutes under load")
    parser.add_argument("--series", type=int, nargs="*", default=list(SERIES), help="sizes of the evaluations")
    parser.add_argument("--shards", type=int, default=SHARDS, help=f"shards that they are in, {SHARDS} if not given")
    parser.add_argument("--skip-live", action="store_true", help="evaluations and starts only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    found: dict[str, Any] = {}
    if not chosen.skip_live:
        found["live"] = live(chosen.rate, chosen.minutes)
        if not chosen.json:
            show_live(found["live"])
    found["evaluations"] = []
    with servers(embedded=True) as at:
        for series in chosen.series:
            found["evaluations"].append(evaluation(series, at.redis, chosen.shards))
            if not chosen.json:
                show_series(found["evaluations"][-1])
                sys.stdout.flush()
    if chosen.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
