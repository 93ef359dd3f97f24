"""`midwatch evaluate calibrate`: from a labelled file to the agreement by criterion, as text or JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation.agreement import Agreement, Estimate, agreement
from evaluation.build import build_judge
from evaluation.criteria import load_criteria
from evaluation.labelled import judge_labelled, needs_judge, read_labelled
from stream.settings import Settings


@dataclass(frozen=True, slots=True)
class Calibration:
    """The agreements, and what has no score; `methods` says how the scores came to be."""

    agreements: tuple[Agreement, ...]
    no_data: Mapping[str, int]
    methods: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "criteria": [asdict(one) for one in self.agreements],
            "no_data": dict(self.no_data),
            "methods": dict(self.methods),
        }


def calibrate(path: Path, settings: Settings, environ: Mapping[str, str]) -> Calibration:
    """Judge what has no score yet, and compare. Raises LabelledFileError, CriteriaError, JudgeConfigError, OSError."""
    return asyncio.run(_calibrate(path, settings, environ))


async def _calibrate(path: Path, settings: Settings, environ: Mapping[str, str]) -> Calibration:
    lines = read_labelled(path)
    criteria = load_criteria(settings.judge.criteria_file)
    judge = build_judge(settings, environ) if needs_judge(lines) else None
    try:
        pairs = await judge_labelled(lines, judge, criteria)
    finally:
        if judge is not None:
            await judge.aclose()
    found = [agreement(name, pairs.labels[name], pairs.scores[name]) for name in sorted(pairs.labels)]
    return Calibration(tuple(found), dict(sorted(pairs.no_data.items())), dict(sorted(pairs.methods.items())))


def text_of(calibration: Calibration) -> Iterator[str]:
    """The lines to print."""
    for one in calibration.agreements:
        yield f"{one.criterion}: {one.pairs} pairs"
        yield f"  Spearman's rho  {_shown(one.spearman)}"
        yield f"  weighted kappa  {_shown(one.kappa)}"
        yield f"  score - label   {_shown(one.bias)}"
        yield "  label \\ score" + "".join(f"{score:>7}" for score in range(1, 6))
        for label, row in enumerate(one.confusion, 1):
            yield f"  {label:>13}" + "".join(f"{count:>7}" for count in row)
    if calibration.no_data:
        yield "no score: " + ", ".join(f"{number} {reason}" for reason, number in calibration.no_data.items())
    if calibration.methods.get("scripted"):
        yield "The scores are those of the scripted judge: they say nothing about a model."


def _shown(estimate: Estimate) -> str:
    if estimate.value is None:
        return "not defined (one side is always the same)"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.2f} (too few pairs for an interval)"
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"
