"""Draw one detection of each detector for docs/detectors.md: `python -m benchmarks.detector_pictures FOLDER`.

A small history with one incident is written as a file, `midwatch backtest` runs over it, and the incident is drawn as
its plot draws it. The pictures are small, and the same in every run.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from detectors.words import at
from schemas.words import DetectorName
from stream.backtest import Config, backtest, make_detector
from stream.backtest_plot_course import draw_course
from stream.backtest_plot_style import STYLE
from stream.backtest_trace import Chooser, courses

START: Final = 19_723 * 1440
"""Monday, 2024-01-01, 00:00 UTC."""
HOUR, DAY = 60, 1440
_COLOURS = 48

Row = dict[str, Any]
Made = tuple[Iterable[Row], tuple[int, int], dict[str, Any]]
"""The history's rows, the incident's first minute and the one behind its last, the detector's settings."""


def _flows(rng: np.random.Generator) -> Made:
    """Three flows over nine days; one escalates 3.3 times as often for two hours."""
    minutes, begin, end = 9 * DAY, 8 * DAY + 134, 8 * DAY + 254
    t = np.arange(minutes)
    volume = 22.0 * (1 + 0.5 * np.sin(2 * np.pi * (t / HOUR - 8) / 24))

    def rows() -> Iterable[Row]:
        for flow, share in (("refund", 0.041), ("returns", 0.03), ("tracking", 0.02)):
            rate = np.full(minutes, share)
            if flow == "refund":
                rate[begin:end] *= 3.3
            n = rng.poisson(volume)
            for minute, (trials, events) in enumerate(zip(n, rng.binomial(n, rate), strict=True)):
                yield {"time": at(START + minute), "flow": flow, "interactions": trials, "escalations": events}

    return rows(), (begin, end), {}


def _agents(rng: np.random.Generator) -> Made:
    """An agent with a stray denial now and then, until somebody talks it into asking for what it may not have."""
    minutes, begin, end = 6 * DAY, 5 * DAY + 190, 5 * DAY + 235
    n = rng.poisson(25.0, minutes)
    x = rng.binomial(n, 0.0002)
    x[begin:end] += rng.poisson(1.2, end - begin)

    def rows() -> Iterable[Row]:
        for minute in range(minutes):
            yield {"time": at(START + minute), "agent": "payments", "requests": n[minute], "denials": x[minute]}

    return rows(), (begin, end), {}


def _scores(rng: np.random.Generator) -> Made:
    """Scores of one flow by the hour; a new prompt costs half a point."""
    hours, begin = 24 * 24, 20 * 24 + 9
    n = rng.poisson(6.0, hours)

    def rows() -> Iterable[Row]:
        for hour in range(hours):
            drop = 0.55 if hour >= begin else 0.0
            score = np.clip(rng.normal(4.2 - drop, 0.7, n[hour]), 1, 5)
            yield {
                "time": at(START + HOUR * hour),
                "flow": "refund",
                "criterion": "escalation_appropriateness",
                "score_sum": f"{score.sum():.3f}",
                "score_sumsq": f"{(score**2).sum():.6f}",
                "scores": n[hour],
            }

    return rows(), (HOUR * begin, HOUR * hours), {}


def _spend(rng: np.random.Generator) -> Made:
    """A budget of 10,000 dollars a month; in the second month the pace rises by half."""
    hours, begin, end = 58 * 24, 40 * 24, 58 * 24
    t = np.arange(hours)
    course = 12.0 * (1 + 0.4 * np.sin(2 * np.pi * (t - 8) / 24)) * np.where(t // 24 % 7 < 5, 1.0, 0.6)
    cost = course * rng.gamma(20, 1 / 20, hours) * np.where(t >= begin, 1.6, 1.0)

    def rows() -> Iterable[Row]:
        for hour in range(hours):
            yield {"time": at(START + HOUR * hour), "budget": "assistants", "cost_usd": f"{cost[hour]:.4f}"}

    return rows(), (HOUR * begin, HOUR * end), {"budgets": {"assistants": {"amount_usd": 8_500.0}}}


def _silent(rng: np.random.Generator) -> Made:
    """A flow that speaks by day and sleeps at night; on the tenth day it falls silent at noon."""
    minutes, begin, end = 10 * DAY, 9 * DAY + 12 * HOUR, 9 * DAY + 14 * HOUR
    t = np.arange(minutes)
    n = rng.poisson(np.where((t // HOUR % 24 >= 7) & (t // HOUR % 24 < 20), 2.5, 0.05))
    n[begin:end] = 0

    def rows() -> Iterable[Row]:
        for minute in np.flatnonzero(n).tolist():
            yield {"time": at(START + minute), "flow": "refund", "interactions": n[minute], "escalations": 0}

    return rows(), (begin, end), {}


PICTURES: Final[dict[DetectorName, Callable[[np.random.Generator], Made]]] = {
    "escalation_rate": _flows,
    "authorization_denials": _agents,
    "burn_rate": _spend,
    "evaluation_drop": _scores,
    "silence": _silent,
}


def picture(detector: DetectorName, seed: int = 4) -> bytes:
    """One detection as a PNG of few colours. Raises RuntimeError where the detector does not find the incident."""
    rows, (begin, end), settings = PICTURES[detector](np.random.default_rng(seed))
    with tempfile.TemporaryDirectory(prefix="midwatch-pictures-") as folder:
        where = {"environment": "production", "system": "orders"}
        history = [row | where for row in rows]
        dims = {name: value for name, value in history[0].items() if name in ("flow", "agent", "budget", "criterion")}
        counts = _write(Path(folder, "counts.csv"), history)
        label = {"start": at(START + begin), "end": at(START + end), "kind": "incident"} | where | dims
        found = backtest(counts, _write(Path(folder, "labels.csv"), [label]), detector, Config("defaults", settings))
    report = found.report
    if not report.metrics or not report.metrics["page"].found:
        raise RuntimeError(f"{detector} does not page the incident of its picture")
    scene = Chooser(report, found.view).scenes([])[:1]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 4.4), layout="constrained", dpi=90)
        draw_course(figure.subfigures(), courses(make_detector(detector, settings), found.view, scene)[0], [report])
        image = BytesIO()
        figure.savefig(image, format="png")
    small = BytesIO()
    Image.open(image).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def _write(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Write every picture into the folder that is named."""
    names = sys.argv[1:] if arguments is None else arguments
    if len(names) != 1 or not Path(names[0]).is_dir():
        sys.stderr.write("usage: python -m benchmarks.detector_pictures FOLDER (which must exist)\n")
        return 2
    for detector in PICTURES:
        image = picture(detector)
        Path(names[0], f"{detector}.png").write_bytes(image)
        print(f"{detector}.png: {len(image) // 1024} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
