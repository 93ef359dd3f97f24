"""How long `midwatch backtest` takes for a fleet's history, and how much memory: `python -m benchmarks.backtest`.

Writes a simulated history of escalations by the minute (scenarios/worlds.py; 200 series over six weeks, twelve million
rows) as Parquet and as CSV, with its labels, and runs the command on each, as a process of its own on one core. The run
fails where the processor time or the peak memory is above the goal, which is set for the full size.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from scenarios.worlds import START, World, WorldSettings, escalation_world

GOAL_SECONDS: Final = 60.0
GOAL_GIGABYTES: Final = 2.0
SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took: processor and wall-clock seconds, the process's largest resident memory."""

    format: str
    rows: int
    megabytes: float
    processor_seconds: float
    seconds: float
    peak_gigabytes: float
    firings: int

    @property
    def met(self) -> bool:
        """Whether the run keeps the goal."""
        return self.processor_seconds < GOAL_SECONDS and self.peak_gigabytes < GOAL_GIGABYTES


def tables(world: World) -> Iterator[pa.Table]:
    """The world's history, an hour of all series at a time, as an export by time has it."""
    series, minutes, _ = world.counts.shape
    parts = ([key.environment for key in world.keys], [key.system for key in world.keys])
    names = [pa.array(part) for part in (*parts, [key.dims[0] for key in world.keys])]
    for begin in range(0, minutes, 60):
        span = min(60, minutes - begin)
        row = np.tile(np.arange(series, dtype=np.int32), span)
        when = np.repeat(np.arange(begin, begin + span), series) + START
        block = world.counts[:, begin : begin + span].transpose(1, 0, 2).reshape(-1, 2)
        columns = [pa.array(when * 60_000_000).cast(pa.timestamp("us", "UTC"))]
        columns += [pa.DictionaryArray.from_arrays(row, name) for name in names]
        columns += [pa.array(block[:, 0]), pa.array(block[:, 1])]
        yield pa.table(dict(zip(COLUMNS, columns, strict=True)))


COLUMNS: Final = ("time", "environment", "system", "flow", "interactions", "escalations")


def write(world: World, folder: Path) -> dict[str, Path]:
    """The history as `counts.parquet` and `counts.csv`, its incidents as `labels.csv`."""
    paths = {name: folder / f"counts.{name}" for name in ("parquet", "csv")}
    schema = next(tables(world)).schema
    plain = pa.schema([pa.field(name, pa.string() if n < 4 else pa.int64()) for n, name in enumerate(COLUMNS)])
    with (
        pa.parquet.ParquetWriter(paths["parquet"], schema) as parquet,
        pa.csv.CSVWriter(paths["csv"], plain) as text,
    ):
        for table in tables(world):
            parquet.write_table(table)
            stamps = pa.compute.strftime(table.column("time"), format="%Y-%m-%dT%H:%MZ")
            columns = [stamps, *(table.column(name).cast(pa.string()) for name in COLUMNS[1:4]), *table.columns[4:]]
            text.write_table(pa.table(dict(zip(COLUMNS, columns, strict=True))))
    lines = ["start,end,environment,system,flow,kind"]
    for one in world.incidents:
        key = world.keys[one.row]
        where = f"{key.environment},{key.system},{key.dims[0]}"
        lines.append(f"{_at(one.start)},{_at(one.end)},{where},{one.size:g}x")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return paths


def _at(minute: int) -> str:
    return datetime.fromtimestamp((START + minute) * 60, UTC).strftime("%Y-%m-%dT%H:%MZ")


def measure(path: Path, labels: Path, rows: int) -> Cost:
    """Run the command on one file, on one core, and ask the system what it took."""
    command = [sys.executable, "-m", "stream.cli", "backtest", "--counts", str(path), "--labels", str(labels)]
    command += ["--detector", "escalation_rate", "--json"]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_NUM_THREADS"), "1")
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, env=os.environ | one)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"the backtest failed with exit code {process.returncode}")
        out.seek(0)
        firings = len(json.load(out)["firings"])
    # Linux counts the peak in kilobytes, macOS in bytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Cost(
        path.suffix[1:],
        rows,
        path.stat().st_size / 1e6,
        usage.ru_utime + usage.ru_stime,
        time.perf_counter() - began,
        peak / 1e9,
        firings,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and answer 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--weeks", type=int, default=6)
    parser.add_argument("--runs", type=int, default=1, help="runs of each format; the median is the figure")
    parser.add_argument("--keep", type=Path, help="folder for the files, which stay there; else they are temporary")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    world = escalation_world(SEED, WorldSettings(series=options.series, warm_weeks=1, scored_weeks=options.weeks - 1))
    rows = options.series * options.weeks * 10_080
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        paths = write(world, folder)
        del world
        costs = []
        for path in paths.values():
            found = [measure(path, folder / "labels.csv", rows) for _ in range(options.runs)]
            costs.append(sorted(found, key=lambda cost: cost.processor_seconds)[options.runs // 2])
    if options.json:
        print(json.dumps([asdict(cost) for cost in costs]))
    else:
        for cost in costs:
            print(
                f"{cost.format:8} {cost.rows:,} rows, {cost.megabytes:,.0f} MB: {cost.processor_seconds:.1f} s of "
                f"processor time, {cost.seconds:.1f} s by the clock, {cost.peak_gigabytes:.2f} GB, "
                f"{cost.firings} firings"
            )
        print(f"goal     under {GOAL_SECONDS:g} s of processor time and {GOAL_GIGABYTES:g} GB")
    return 0 if all(cost.met for cost in costs) else 1


if __name__ == "__main__":
    sys.exit(main())
