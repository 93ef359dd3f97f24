"""Learns the table of likelihoods from labelled cases, tempers it on others, and measures it on yet others.

Two families of cases, made independently of each other, weigh the same: those of `scenarios.cases`, drawn as counts,
and those of `scenarios.endtoend`, whose events go through detectors and gathering. What only one of them would teach is
thus believed half. `python -m scenarios.learn_likelihoods` writes `triage/likelihoods.json`; with `--check` it only
measures what is there, on both. An incident of the second family costs about half a second; `--keep` keeps what was
played, so that other bins and tests can be tried on the same incidents.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scenarios.cases import PRIORS, labelled_cases
from scenarios.endtoend import Look, looks
from schemas.words import Cause, RecommendationKind
from triage import posterior as posterior_module
from triage.case import Case
from triage.chain import run_chain
from triage.evidence import observe
from triage.posterior import Likelihoods, learn, posterior
from triage.recommendation import advise
from triage.registry import build
from triage.settings import TriageSettings

SURE = 0.9
BUCKETS = 10


@dataclass(frozen=True, slots=True)
class Labelled:
    """A case and its label, and the version that did it where that is known (`None` in a family that has no such)."""

    case: Case
    cause: Cause
    bad_version: str | None = None
    number: int = 0
    """Of the incident, which several looks share."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a labelled case shows: its evidence in bins, and what the chain says of it."""

    labelled: Labelled
    bins: dict[str, str]


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


@dataclass(frozen=True, slots=True)
class Rollbacks:
    """Rollbacks that a table leads to: those of the change that did it, the others, and how many bad changes were."""

    right: int
    wrong: int
    bad_changes: int


def drawn(count: int, seed: int) -> list[Observation]:
    """Observations of `count` cases of `scenarios.cases`."""
    return _observed([Labelled(item.case, item.cause) for item in labelled_cases(count, seed)])


def endtoend(incidents: int, seed: int, workers: int = 1, keep: Path | None = None) -> list[Observation]:
    """Observations of all looks at so many incidents of `scenarios.endtoend`, kept in the folder `keep` if given."""
    store = keep / f"looks-{seed}-{incidents}.pickle" if keep is not None else None
    if store is not None and store.exists():
        found: list[Look] = pickle.loads(store.read_bytes())  # noqa: S301  # our own file, named by the caller
    else:
        found = looks(incidents, seed, workers)
        if store is not None:
            store.write_bytes(pickle.dumps(found))
    return _observed([Labelled(one.case, one.cause, one.bad_version, one.number) for one in found])


def _observed(labelled: Sequence[Labelled]) -> list[Observation]:
    """Through the very checks that run live."""
    checks = build(TriageSettings(), third_party=())
    return [Observation(item, observe(item.case, run_chain(checks, item.case).findings)) for item in labelled]


def measure(table: Likelihoods, observed: Sequence[Observation]) -> Quality:
    """The table's quality on these observations."""
    judged = []
    for one in observed:
        probabilities, cause = posterior(one.bins, table), one.labelled.cause
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
        runbook_right=sum(_runbook(one.bins) == one.labelled.cause for one in observed) / len(judged),
    )


def rollbacks(table: Likelihoods, observed: Sequence[Observation]) -> Rollbacks:
    """How often a rollback is recommended on these observations, and of the wrong thing or without reason."""
    settings = TriageSettings()
    checks = build(settings, third_party=())
    tally: Counter[bool] = Counter()
    for one in observed:
        case, cause, bad = one.labelled.case, one.labelled.cause, one.labelled.bad_version
        result = run_chain(checks, case)
        advice = advise("incident", case, result, posterior(one.bins, table), settings.recommendation)
        kind: RecommendationKind = advice.recommendation.kind
        if kind == "rollback" and advice.target is not None:
            tally[cause == "deployment" and bad in (None, advice.target.from_version)] += 1
    return Rollbacks(tally[True], tally[False], sum(one.labelled.cause == "deployment" for one in observed))


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


def teach(families: Sequence[Sequence[Observation]]) -> Likelihoods:
    """The table of several families, each of which weighs as much as the smallest has observations."""
    least = min(len(family) for family in families)
    observed = [(one.bins, one.labelled.cause) for family in families for one in family]
    weights = [least / len(family) for family in families for _ in family]
    return learn(observed, priors=PRIORS, weights=weights)


def tempered(table: Likelihoods, families: Sequence[Sequence[Observation]]) -> Likelihoods:
    """The table with the exponent that has the least log loss over families, each weighing the same."""

    def loss(temper: float) -> float:
        return sum(measure(replace(table, temper=temper), family).log_loss for family in families)

    return replace(table, temper=min((step / 100 for step in range(50, 121, 2)), key=loss))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="cases drawn as counts to learn from")
    parser.add_argument("--incidents", type=int, default=1_100, help="end-to-end incidents: three quarters teach")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first of them")
    parser.add_argument("--held-out", type=int, default=4_000, help="cases to measure on, of another seed")
    parser.add_argument("--held-out-incidents", type=int, default=250, help="incidents to measure on, of another seed")
    parser.add_argument("--workers", type=int, default=1, help="processes that play incidents")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="folder to keep played incidents in, and take them from"
    )
    parser.add_argument("--check", action="store_true", help="measure the stored table, learn nothing")
    return parser.parse_args()


def main() -> None:
    """Learn, store and measure; or only measure."""
    options = _arguments()
    path = Path(posterior_module.__file__).with_name("likelihoods.json")
    if not options.check:
        seed, cut = options.seed, options.incidents * 3 // 4
        played = endtoend(options.incidents, seed + 10, options.workers, options.keep)
        table = teach([drawn(options.cases, seed), [one for one in played if one.labelled.number < cut]])
        others = [one for one in played if one.labelled.number >= cut]
        table = tempered(table, [drawn(options.cases // 2, seed + 1), others])
        learned_from = {"cases": options.cases, "incidents": options.incidents, "seed": seed}
        path.write_text(json.dumps({"learned_from": learned_from, **table.to_json()}, indent=1) + "\n", "utf-8")
    table = Likelihoods.from_json(json.loads(path.read_text("utf-8")))
    print(f"temper                {table.temper:.2f}")
    _report(table, "drawn as counts", drawn(options.held_out, options.seed + 1_000))
    held_out = endtoend(options.held_out_incidents, options.seed + 90, options.workers, options.keep)
    _report(table, "end to end", held_out)


def _report(table: Likelihoods, name: str, observed: Sequence[Observation]) -> None:
    quality, rolled = measure(table, observed), rollbacks(table, observed)
    print(f"\n{name}, held out      {quality.cases} cases")
    print(f"right cause           {quality.right:.3f}   (the runbook's order alone {quality.runbook_right:.3f})")
    print(f"right when sure       {quality.right_when_sure:.3f}")
    print(f"sure                  {quality.sure:.3f}")
    print(f"calibration error     {quality.calibration_error:.3f}")
    print(f"log loss              {quality.log_loss:.3f}")
    print(f"rollbacks             {rolled.right} right, {rolled.wrong} wrong, {rolled.bad_changes} bad changes")


if __name__ == "__main__":
    main()
