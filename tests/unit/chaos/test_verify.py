"""The fault suite's verifier catches what it is there to catch: each test forges one wrong result."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from benchmarks.chaos.recount import Window
from benchmarks.chaos.verify import Check, Evidence, checks
from schemas.canonical import canonical_json

HOUR: Window = ("flow", "production", "refunds", ("flow-0",), 492_336, "interactions")


def verdict(identity: str, minute: int = 5) -> bytes:
    return canonical_json(
        {
            "verdict_id": identity,
            "scope": {"environment": "production", "system": "refunds"},
            "decided_at": f"2026-03-01T00:{minute:02d}:00Z",
            "status": "firing",
            "trigger": {"detector": "escalation_rate"},
        }
    )


SAID = {"ver_a": verdict("ver_a"), "ver_b": verdict("ver_b", 6), "fir_a/page/firing": b'{"firing_id":"fir_a"}'}
GOOD = Evidence(
    wanted_said=SAID,
    wanted_windows={HOUR: 20},
    poison={("agent.interactions", 0, 7)},
    rejected={("agent.interactions", 0, 7)},
    said={identity: Counter({body: 1}) for identity, body in SAID.items()},
    windows={HOUR: 20},
    letters=Counter({("agent.interactions", 0, 7): 1}),
)


def failed(evidence: Evidence) -> dict[str, Check]:
    return {check.demand: check for check in checks(evidence) if not check.ok}


def test_a_right_result_passes() -> None:
    """Nothing is found where everything is as in the golden run."""
    assert failed(GOOD) == {}


def test_repeats_with_the_same_bytes_are_harmless() -> None:
    """A verdict or a dead letter that stands there thrice is still the one that was wanted."""
    said = {identity: Counter({body: 3}) for identity, body in SAID.items()}
    assert failed(replace(GOOD, said=said, letters=Counter({("agent.interactions", 0, 7): 3}))) == {}


def test_a_miscounted_event_is_found() -> None:
    """One event too many or too few, or in a window that should not be there, and how many they are together."""
    assert failed(replace(GOOD, windows={HOUR: 21})).keys() == {"events miscounted"}
    assert failed(replace(GOOD, windows={}))["events miscounted"].found == 20
    elsewhere: Window = (*HOUR[:4], HOUR[4] + 1, HOUR[5])
    found = failed(replace(GOOD, windows={HOUR: 17, elsewhere: 3}))["events miscounted"]
    assert found.found == 6
    assert found.examples[0].endswith("17 instead of 20")


def test_a_lost_verdict_is_found() -> None:
    """What the golden run says and the engine did not; firings are counted apart."""
    said = dict(GOOD.said)
    del said["ver_b"]
    assert failed(replace(GOOD, said=said))["verdicts lost"].examples == ("ver_b",)
    del said["fir_a/page/firing"]
    assert failed(replace(GOOD, said=said)).keys() == {"verdicts lost", "firings lost"}


def test_an_id_with_two_bodies_is_found() -> None:
    """The same id with another word in it, although the right one is there as well."""
    said = {**GOOD.said, "ver_a": Counter({SAID["ver_a"]: 1, verdict("ver_a", 9): 1})}
    assert failed(replace(GOOD, said=said)).keys() == {"ids with two bodies", "other bytes than in the golden run"}


def test_a_body_with_two_ids_is_found() -> None:
    """The same statement under a second id would page twice."""
    said = {**GOOD.said, "ver_x": Counter({verdict("ver_x"): 1})}
    found = failed(replace(GOOD, said=said))
    assert found["bodies with two ids"].examples == ("ver_a and ver_x",)
    assert found["said and not in the golden run"].examples == ("ver_x",)


def test_other_bytes_under_the_right_id_are_found() -> None:
    """A verdict that is there once, but says something else."""
    said = {**GOOD.said, "ver_a": Counter({verdict("ver_a", 9): 1})}
    assert failed(replace(GOOD, said=said)).keys() == {"other bytes than in the golden run"}


def test_dead_letters_must_be_the_poison() -> None:
    """Poison without a letter, a letter for a good record, and poison that was read as an event."""
    place = ("agent.interactions", 0, 7)
    assert failed(replace(GOOD, letters=Counter())).keys() == {"poison without a dead letter"}
    more = Counter({place: 1, ("agent.usage", 1, 2): 1})
    assert failed(replace(GOOD, letters=more)).keys() == {"dead letters that are no poison"}
    assert failed(replace(GOOD, rejected=set())).keys() == {"poison that the recount reads"}
