"""The probability of each cause, given all the evidence: naive Bayes over binned evidence, tempered.

The order of the runbook decides the triage result; this decides how sure a machine may be. P(cause | bins) is
proportional to prior x product of P(bin | cause)^t. The likelihoods are data, learned from labelled cases with Laplace
smoothing; the exponent `t` is learned on other cases and undoes the overconfidence that comes of treating sources as
independent. What is missing is left out of the product.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from schemas.base import JsonObject
from schemas.outputs import RankedCause
from schemas.words import CAUSES, Cause
from triage.evidence import FEATURES


@dataclass(frozen=True)
class Likelihoods:
    """Priors by cause, and for each feature and bin the likelihood under each cause, in the order of `CAUSES`."""

    priors: tuple[float, ...]
    temper: float
    table: Mapping[str, Mapping[str, tuple[float, ...]]]

    def to_json(self) -> JsonObject:
        """As stored: the causes are named, so that the table can be read."""
        return {
            "causes": list(CAUSES),
            "priors": list(self.priors),
            "temper": self.temper,
            "likelihoods": {
                feature: {word: list(self.table[feature][word]) for word in sorted(self.table[feature])}
                for feature in FEATURES
                if feature in self.table
            },
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Likelihoods:
        """Raises ValueError where the table is about other causes than this version's."""
        if tuple(data["causes"]) != CAUSES:
            raise ValueError(
                f"the likelihoods are for the causes {data['causes']}, not {list(CAUSES)}: learn them anew"
            )
        table = {
            feature: {word: tuple(values) for word, values in words.items()}
            for feature, words in data["likelihoods"].items()
        }
        return cls(tuple(data["priors"]), float(data["temper"]), table)


@cache
def learned() -> Likelihoods:
    """The table that comes with Midwatch."""
    return Likelihoods.from_json(json.loads(files("triage").joinpath("likelihoods.json").read_text("utf-8")))


def posterior(bins: Mapping[str, str], likelihoods: Likelihoods) -> dict[Cause, float]:
    """The probability of each cause; a bin that the table does not know counts as missing."""
    logs = [math.log(prior) for prior in likelihoods.priors]
    for feature in FEATURES:
        values = likelihoods.table.get(feature, {}).get(bins.get(feature, ""))
        if values is not None:
            logs = [log + likelihoods.temper * math.log(value) for log, value in zip(logs, values, strict=True)]
    top = max(logs)
    weights = [math.exp(log - top) for log in logs]
    total = math.fsum(weights)
    return {cause: weight / total for cause, weight in zip(CAUSES, weights, strict=True)}


def rank(probabilities: Mapping[Cause, float]) -> tuple[RankedCause, ...]:
    """The causes, most probable first, to four decimals; ties in the order of `CAUSES`."""
    ordered = sorted(CAUSES, key=lambda cause: (-round(probabilities[cause], 4), CAUSES.index(cause)))
    return tuple(RankedCause(cause=cause, probability=round(probabilities[cause], 4)) for cause in ordered)


def learn(
    observed: Sequence[tuple[Mapping[str, str], Cause]],
    smoothing: float = 1.0,
    temper: float = 1.0,
    priors: Mapping[Cause, float] | None = None,
    weights: Sequence[float] | None = None,
) -> Likelihoods:
    """The table that labelled observations teach, with `smoothing` pseudo-observations of every bin under every cause.

    Priors are the shares of the causes among the observations, unless they are given. An observation counts as much as
    its weight says, one if none are given.
    """
    weighed = [1.0] * len(observed) if weights is None else weights
    counts = [sum(1 for _, cause in observed if cause == wanted) for wanted in CAUSES]
    given = priors or {cause: count + smoothing for cause, count in zip(CAUSES, counts, strict=True)}
    mass = math.fsum(given[cause] for cause in CAUSES)
    return Likelihoods(
        priors=tuple(round(given[cause] / mass, 6) for cause in CAUSES),
        temper=temper,
        table={feature: _feature_table(feature, observed, weighed, smoothing) for feature in FEATURES},
    )


def _feature_table(
    feature: str, observed: Sequence[tuple[Mapping[str, str], Cause]], weights: Sequence[float], smoothing: float
) -> dict[str, tuple[float, ...]]:
    pairs = zip(observed, weights, strict=True)
    seen = [(bins[feature], cause, weight) for (bins, cause), weight in pairs if feature in bins]
    words = sorted({word for word, _, _ in seen})
    tallies = {word: dict.fromkeys(CAUSES, 0.0) for word in words}
    for word, cause, weight in seen:
        tallies[word][cause] += weight
    totals = {cause: sum(tallies[word][cause] for word in words) + smoothing * len(words) for cause in CAUSES}
    return {
        word: tuple(round((tallies[word][cause] + smoothing) / totals[cause], 6) for cause in CAUSES) for word in words
    }
