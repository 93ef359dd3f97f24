"""The order of faults: seeded, endless, in rounds of three phases.

gentle   every kind once, shuffled, each with a short breath before it
slower   kills and SIGTERMs with longer breaths, so that workers get deep into their work
burst    kills, SIGTERMs and cut connections a fraction of a second apart, with no time to recover between them
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

GENTLE: Final = (0.5, 3.0)
SLOWER: Final = (4.0, 10.0)
BURST: Final = (0.1, 1.0)
SLOWER_FAULTS: Final = ("kill", "term", "kill")
BURST_KINDS: Final = ("kill", "kill", "term", "redis_cut", "kafka_cut")
BURST_FAULTS: Final = 30
CLUSTER_ONLY: Final = frozenset({"leader_move"})
"""With one broker there is nobody to lead instead."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault to come: after so many seconds, and whether everything must have recovered before."""

    kind: str
    phase: str
    after_seconds: float
    recovered: bool = True


def kinds_for(every: Sequence[str], brokers: int, only: Sequence[str] = ()) -> list[str]:
    """The kinds that a run plays. Raises ValueError for one that does not exist or needs more brokers."""
    unknown = [kind for kind in only if kind not in every]
    if unknown:
        raise ValueError(f"no such fault: {', '.join(unknown)}; there are {', '.join(every)}")
    impossible = [kind for kind in only if kind in CLUSTER_ONLY and brokers < 2]
    if impossible:
        raise ValueError(f"{', '.join(impossible)} needs --brokers 3")
    return [kind for kind in (only or every) if brokers > 1 or kind not in CLUSTER_ONLY]


def rounds(kinds: Sequence[str], seed: int) -> Iterator[Planned]:
    """Faults without end. The same kinds and seed give the same ones."""
    chance = random.Random(f"schedule/{seed}")
    while True:
        for kind in chance.sample(list(kinds), len(kinds)):
            yield Planned(kind, "gentle", chance.uniform(*GENTLE))
        for kind in SLOWER_FAULTS:
            if kind in kinds:
                yield Planned(kind, "slower", chance.uniform(*SLOWER))
        sudden = [kind for kind in BURST_KINDS if kind in kinds]
        for number in range(BURST_FAULTS if sudden else 0):
            yield Planned(chance.choice(sudden), "burst", chance.uniform(*BURST), recovered=number == 0)
