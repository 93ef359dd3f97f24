"""Learns the table of likelihoods from labelled cases, tempers it on others, and measures it on yet others.

`python -m scenarios.learn_likelihoods` writes `triage/likelihoods.json`; with `--check` it only measures what is there.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scenarios.cases import PRIORS, labelled_cases
from schemas.words import Cause
from triage import posterior as posterior_module
from triage.chain import run_chain
from triage.evidence import observe
from triage.posterior import Likelihoods, learn, posterior
from triage.registry import build
from triage.settings import TriageSettings

Observation = tuple[dict[str, str], Cause]
SURE = 0.9
BUCKETS = 10


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a table is on labelled cases."""

    cases: int
    right: float
    """Share of cases whose most probable cause is the right one."""
    right_when_sure: float
    """The same among cases with a cause of at least 90 %."""
    sure: float
    """Share of cases with such a cause."""
    calibration_error: float
    """Expected calibration error: mean gap between confidence and accuracy over ten equal buckets, by their size."""
    log_loss: float
    runbook_right: float
    """Share of cases in which the runbook's order alone names the right cause."""


def observations(count: int, seed: int) -> list[Observation]:
    """Binned evidence and label of `count` cases, through the very checks that run live."""
    checks = build(TriageSettings(), third_party=())
    return [
        (observe(item.case, run_chain(checks, item.case).findings), item.cause) for item in labelled_cases(count, seed)
    ]


def measure(table: Likelihoods, observed: Sequence[Observation]) -> Quality:
    """The table's quality on these observations."""
    judged = []
    for bins, cause in observed:
        probabilities = posterior(bins, table)
        guess = max(probabilities, key=lambda name: probabilities[name])
        judged.append((probabilities[guess], guess == cause, probabilities[cause]))
    sure = [hit for confidence, hit, _ in judged if confidence >= SURE]
    return Quality(
        cases=len(judged),
        right=sum(hit for _, hit, _ in judged) / len(judged),
        right_when_sure=sum(sure) / max(len(sure), 1),
        sure=len(sure) / len(judged),
        calibration_error=_calibration_error([(confidence, hit) for confidence, hit, _ in judged]),
        log_loss=-math.fsum(math.log(max(p, 1e-12)) for _, _, p in judged) / len(judged),
        runbook_right=sum(_runbook(bins) == cause for bins, cause in observed) / len(judged),
    )


def _runbook(bins: dict[str, str]) -> Cause:
    if bins.get("denials", "").startswith("spike"):
        return "authorization_scope"
    if bins.get("dependency", "").startswith("not_engaged"):
        return "dependency"
    if bins.get("scores", "").startswith("dropping"):
        return "judgement"
    if bins.get("changes", "").startswith(("short", "worse")):
        return "deployment"
    if bins.get("dependency") == "engaged":
        return "dependency"
    return "legitimate_traffic"


def _calibration_error(judged: Sequence[tuple[float, bool]]) -> float:
    error = 0.0
    for bucket in range(BUCKETS):
        inside = [item for item in judged if min(int(item[0] * BUCKETS), BUCKETS - 1) == bucket]
        if inside:
            gap = math.fsum(p for p, _ in inside) - sum(hit for _, hit in inside)
            error += abs(gap) / len(judged)
    return error


def train(cases: int, seed: int) -> Likelihoods:
    """The table from `cases` cases, its exponent chosen on half as many others by log loss."""
    table = learn(observations(cases, seed), priors=PRIORS)
    held = observations(cases // 2, seed + 1)
    tempers = [step / 100 for step in range(50, 121, 2)]
    best = min(tempers, key=lambda temper: measure(replace(table, temper=temper), held).log_loss)
    return replace(table, temper=best)


def main() -> None:
    """Learn, store and measure; or only measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="cases to learn from")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first of them")
    parser.add_argument("--held-out", type=int, default=6_000, help="cases to measure on, of another seed")
    parser.add_argument("--check", action="store_true", help="measure the stored table, learn nothing")
    options = parser.parse_args()
    path = Path(posterior_module.__file__).with_name("likelihoods.json")
    if not options.check:
        table = train(options.cases, options.seed)
        stored = {"learned_from": {"cases": options.cases, "seed": options.seed}, **table.to_json()}
        path.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
    table = Likelihoods.from_json(json.loads(path.read_text("utf-8")))
    quality = measure(table, observations(options.held_out, options.seed + 1_000))
    print(f"temper                {table.temper:.2f}")
    print(f"held-out cases        {quality.cases}")
    print(f"right cause           {quality.right:.3f}   (the runbook's order alone {quality.runbook_right:.3f})")
    print(f"right when sure       {quality.right_when_sure:.3f}")
    print(f"sure                  {quality.sure:.3f}")
    print(f"calibration error     {quality.calibration_error:.3f}")
    print(f"log loss              {quality.log_loss:.3f}")


if __name__ == "__main__":
    main()
