"""The circuit breaker: its states, and the judge behind it, through the real client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.circuit import LONGEST_FACTOR, Circuit, State
from evaluation.criteria import shipped
from evaluation.scripted_server import Fault, scripted_server
from tests.support.judges import judge_at, talk

CRITERIA = shipped()


def _circuit(failures: int = 3, seconds: float = 10.0) -> tuple[Circuit, list[State]]:
    told: list[State] = []
    return Circuit(failures, seconds, told.append), told


def _fail(circuit: Circuit, now: float) -> None:
    ticket = circuit.admit(now)
    assert ticket is not None
    circuit.failed(ticket, now)


def test_failures_in_a_row_open_it_and_an_answered_probe_closes_it() -> None:
    """Two failures and an answer do not; three do; then one probe at a time, and only after the pause."""
    circuit, told = _circuit()
    for _ in range(2):
        _fail(circuit, 0.0)
    ticket = circuit.admit(0.0)
    assert ticket is not None
    circuit.answered(ticket)
    for _ in range(3):
        assert circuit.state == "closed"
        _fail(circuit, 1.0)
    assert circuit.admit(10.9) is None
    probe = circuit.admit(11.0)
    assert probe is not None
    assert circuit.admit(11.0) is None
    circuit.answered(probe)
    assert circuit.admit(11.0) is not None
    assert told == ["open", "half_open", "closed"]


def test_the_pause_doubles_with_each_failed_probe_up_to_a_bound() -> None:
    """10, 20, 40, ... seconds, and never more than sixteen times the first."""
    circuit, _ = _circuit(failures=1)
    now, pauses = 0.0, []
    _fail(circuit, now)
    for _ in range(7):
        opened = now
        while circuit.admit(now) is None:
            now += 1.0
        pauses.append(now - opened)
        circuit.failed(circuit._epoch, now)
    assert pauses == [10, 20, 40, 80, 160, 160, 160]
    assert LONGEST_FACTOR == 16


def test_a_probe_that_is_given_up_leaves_its_place_to_the_next() -> None:
    """Whoever asked has gone: nothing was learned, and the next call is the probe."""
    circuit, _ = _circuit(failures=1)
    _fail(circuit, 0.0)
    probe = circuit.admit(10.0)
    assert probe is not None
    circuit.left(probe)
    assert circuit.admit(10.0) is not None


def test_calls_of_before_say_nothing_about_now() -> None:
    """Three that began before it opened fail after it has closed again: they are no three failures in a row of now."""
    circuit, _ = _circuit()
    old = [ticket for _ in range(3) if (ticket := circuit.admit(0.0)) is not None]
    for _ in range(3):
        _fail(circuit, 0.0)
    probe = circuit.admit(10.0)
    assert probe is not None
    circuit.answered(probe)
    for ticket in old:
        circuit.failed(ticket, 11.0)
    assert circuit.state == "closed"


@given(st.lists(st.tuples(st.sampled_from(["ask", "answer", "fail", "leave"]), st.integers(0, 5)), max_size=80))
def test_whatever_comes_in_whatever_order_one_probe_is_out_at_the_most(steps: list[tuple[str, int]]) -> None:
    """Open admits nobody before its time; half open never a second; late results of earlier calls change nothing."""
    circuit, _ = _circuit(failures=2, seconds=3.0)
    now, out = 0.0, list[int]()
    for step, number in steps:
        now += number
        if step == "ask":
            before = circuit.state
            ticket = circuit.admit(now)
            assert ticket is None or before != "half_open"
            if ticket is not None:
                out.append(ticket)
        elif out:
            ticket, state = out.pop(number % len(out)), circuit.state
            current = ticket == circuit._epoch
            if step == "fail":
                circuit.failed(ticket, now)
            else:
                {"answer": circuit.answered, "leave": circuit.left}[step](ticket)
            assert current or circuit.state == state


async def test_a_judge_that_is_down_is_not_asked() -> None:
    """After ten failures in a row no call is made: no data, no tokens, counted. Once it is back, a probe finds out."""
    async with scripted_server() as server, judge_at(server, attempts=4, circuit_seconds=3600) as judge:
        value = judge.metrics.registry.get_sample_value
        server.always = Fault("server_error")
        for _ in range(8):
            judgements = await judge.judge(talk(), CRITERIA)
            assert {one.reason for one in judgements} == {"unavailable"}
            assert sum(one.input_tokens for one in judgements) == 0
        assert len(server.requests) == 10
        assert value("midwatch_judge_circuit", {"midwatch_judge_circuit": "open"}) == 1
        assert (value("midwatch_judge_calls_not_made_total") or 0) >= 5
        server.always = None
        judge._circuit._opened_at -= 3600
        assert (await judge.judge(talk(), CRITERIA))[0].status == "scored"
        assert value("midwatch_judge_circuit", {"midwatch_judge_circuit": "closed"}) == 1
        assert len(server.requests) == 11


@pytest.mark.parametrize("kind", ["rate_limit", "refusal", "junk", "azure_filter"])
async def test_what_is_an_answer_does_not_open_it(kind: str) -> None:
    """A limit of the rate, a refusal and nonsense come from somebody who is there."""
    async with scripted_server() as server, judge_at(server, attempts=1, circuit_failures=2) as judge:
        server.always = Fault(kind)  # type: ignore[arg-type]  # one of the kinds
        for _ in range(5):
            await judge.judge(talk(), CRITERIA)
        assert len(server.requests) == 5
