"""The producer that other programs import: what it sends, refuses, and never loses without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, Literal, Required, get_args, get_origin, get_type_hints

import msgspec
import pytest
from aiokafka.errors import KafkaTimeoutError

from schemas.canonical import jsonable
from schemas.events import EVENT
from schemas.export import EVENT_MODELS
from stream import producer_fields
from stream.breaker_listener import MidwatchListener
from stream.producer import InvalidEvent, Midwatch, NotStored, make_event
from stream.producer_sync import SyncMidwatch

AT = datetime(2026, 1, 5, 10, tzinfo=UTC)
DEPLOYMENT: dict[str, Any] = {
    "change": "prompt",
    "component": "refund",
    "version": "2.5.0",
    "phase": "completed",
    "canary_percent": 100,
    "time": AT,
}


class ListedProducer:
    """Keeps what is sent; `fail` says which values it refuses, `gate` holds the answers back."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.fail: Callable[[bytes], bool] = lambda _: False
        self.gate: asyncio.Event | None = None
        self.stopped = False

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        self.stopped = True

    async def send(self, topic: str, value: bytes, *, timestamp_ms: int) -> asyncio.Future[Any]:
        if self.gate is not None:
            await self.gate.wait()
        self.sent.append((topic, msgspec.json.decode(value)))
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.fail(value):
            done.set_exception(KafkaTimeoutError())
        else:
            done.set_result(SimpleNamespace(partition=0, offset=len(self.sent) - 1))
        return done


def midwatch(kafka: ListedProducer, **options: Any) -> Midwatch:
    return Midwatch(environment="production", system="claims", producer=lambda: kafka, **options)


@pytest.mark.parametrize("event_type", EVENT_MODELS)
def test_the_typed_fields_are_those_of_the_models(event_type: str) -> None:
    """Same names, same ones required, same words; but for the common ones, which have defaults."""
    name = "".join(part.title() for part in event_type.split("_")) + "Fields"
    hints = get_type_hints(getattr(producer_fields, name), include_extras=True)
    model = EVENT_MODELS[event_type]  # type: ignore[index]
    assert set(hints) == set(model.model_fields) - {"type"}
    required = {key for key, hint in hints.items() if get_origin(hint) is Required}
    defaulted = {"id", "time", "environment", "system"}
    assert required == {key for key, field in model.model_fields.items() if field.is_required()} - defaulted
    for key, hint in get_type_hints(getattr(producer_fields, name)).items():
        if get_origin(hint) is Literal:
            field = model.model_fields[key].annotation
            assert hint in (field, *get_args(field)), key


async def test_each_event_goes_to_the_topic_of_its_type() -> None:
    """Checked, completed by the defaults, stored; the answer says where."""
    kafka = ListedProducer()
    async with midwatch(kafka, tags={"cost-center": "4711"}) as sender:
        stored = await sender.deployment(**DEPLOYMENT)
        await sender.interaction(flow="refund", outcome="escalated", escalation={"reason": "policy"}, system="other")
        await sender.authorization(agent="clerk", action="pay", decision="deny")
        await sender.circuit_breaker(dependency="fraud", state="open")
        await sender.evaluation(flow="refund", criterion="tone", score=4.0)
        await sender.usage(model="gpt-5", input_tokens=10, output_tokens=2)
    assert (stored.topic, stored.offset) == ("agent.deployments", 0)
    assert [topic for topic, _ in kafka.sent] == [
        "agent.deployments",
        "agent.interactions",
        "agent.authorizations",
        "agent.circuit-breakers",
        "agent.evaluations",
        "agent.usage",
    ]
    first, second = kafka.sent[0][1], kafka.sent[1][1]
    assert (first["environment"], first["system"], first["tags"]) == ("production", "claims", {"cost-center": "4711"})
    assert second["system"] == "other"
    assert kafka.stopped
    for _, plain in kafka.sent:
        EVENT.validate_python(plain, strict=False)


def test_ids_come_from_the_content() -> None:
    """The same event has the same id, another one another; one that is given stays; zones do not matter."""
    own = {**DEPLOYMENT, "environment": "e", "system": "s"}
    first = make_event("deployment", own)
    berlin = AT.astimezone(timezone(timedelta(hours=1)))
    assert make_event("deployment", {**own, "time": berlin}).id == first.id
    assert make_event("deployment", {**own, "version": "2.6.0"}).id != first.id
    assert make_event("deployment", {**own, "id": "mine"}).id == "mine"
    assert jsonable(first)["time"] == "2026-01-05T10:00:00.000Z"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"phase": "done"}, "phase"),
        ({"canary_percent": 101}, "canary_percent"),
        ({"version": ""}, "version"),
        ({"canary_pct": 5}, "canary_pct: no deployment has such a field"),
        ({"target": {"kind": "k", "reff": {}}}, "target.reff"),
        ({"canary_percent": float("nan")}, "JSON"),
        ({"artifact": object()}, "JSON"),
        ({"time": datetime(2026, 1, 5)}, "zone"),  # noqa: DTZ001  # that is what is refused
        ({"time": "yesterday"}, "time"),
    ],
)
async def test_what_is_no_event_is_not_sent(change: dict[str, Any], said: str) -> None:
    """The error names the field, and nothing reaches Kafka."""
    kafka = ListedProducer()
    async with midwatch(kafka) as sender:
        with pytest.raises(InvalidEvent, match=said):
            await sender.send("deployment", {**DEPLOYMENT, **change})
        with pytest.raises(InvalidEvent, match=said):
            await sender.post("deployment", {**DEPLOYMENT, **change})
    assert not kafka.sent


async def test_a_failure_is_raised_where_it_is_awaited() -> None:
    """By `send` at once; by `flush` and at the end for what was posted, with the ids and how many."""
    kafka = ListedProducer()
    kafka.fail = lambda value: b"2.6" in value
    async with midwatch(kafka) as sender:
        with pytest.raises(NotStored) as raised:
            await sender.send("deployment", {**DEPLOYMENT, "version": "2.6.0", "id": "lost"})
        assert raised.value.events == ["lost"]
        for number in range(30):
            await sender.post("deployment", {**DEPLOYMENT, "version": f"2.{number % 2 + 5}.{number}"})
        with pytest.raises(NotStored, match="15 events were not stored") as many:
            await sender.flush()
        assert (many.value.count, len(many.value.events)) == (15, 10)
        await sender.flush()
    assert len(kafka.sent) == 31
    with pytest.raises(NotStored, match="1 events"):
        async with midwatch(kafka) as sender:
            await sender.post("deployment", {**DEPLOYMENT, "version": "2.6.0"})


async def test_the_buffer_is_bounded() -> None:
    """A post beyond it waits for room."""
    kafka = ListedProducer()
    kafka.gate = asyncio.Event()
    async with midwatch(kafka, max_pending=2) as sender:
        await sender.post("deployment", DEPLOYMENT)
        await sender.post("deployment", DEPLOYMENT)
        third = asyncio.create_task(sender.post("deployment", DEPLOYMENT))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not third.done()
        kafka.gate.set()
        await third
    assert len(kafka.sent) == 3


async def test_it_is_used_in_async_with() -> None:
    """Outside it says so."""
    with pytest.raises(RuntimeError, match="async with"):
        await midwatch(ListedProducer()).send("deployment", DEPLOYMENT)


def test_the_same_without_an_event_loop() -> None:
    """From any thread; errors come to the caller, and the end waits for what was posted."""
    kafka = ListedProducer()
    with SyncMidwatch(environment="production", system="claims", producer=lambda: kafka) as sender:
        assert sender.deployment(**DEPLOYMENT).offset == 0
        sender.post("circuit_breaker", {"dependency": "fraud", "state": "open"})
        with pytest.raises(InvalidEvent):
            sender.send("deployment", {})
    assert [topic for topic, _ in kafka.sent] == ["agent.deployments", "agent.circuit-breakers"]
    assert kafka.stopped


class Sink:
    """Takes events, or cannot."""

    def __init__(self, *, broken: bool = False) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.broken = broken

    def post(self, event_type: str, fields: Any) -> str:
        if self.broken:
            raise RuntimeError("no room")
        self.events.append((event_type, dict(fields)))
        return "id"


def test_a_breaker_of_pybreaker_tells_its_states(caplog: pytest.LogCaptureFixture) -> None:
    """The real one: it opens after its failures, is tried, and closes; a sink that fails breaks nothing."""
    pybreaker = pytest.importorskip("pybreaker", reason="pybreaker is not installed")
    sink = Sink()
    breaker = pybreaker.CircuitBreaker(
        fail_max=2, reset_timeout=0, name="fraud-check", listeners=[MidwatchListener(sink, system="claims")]
    )

    def fail() -> None:
        raise OSError("down")

    for _ in range(2):
        with pytest.raises((OSError, pybreaker.CircuitBreakerError)):
            breaker.call(fail)
    breaker.call(int)
    told = [(event["previous_state"], event["state"]) for _, event in sink.events]
    assert told == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
    assert all(kind == "circuit_breaker" for kind, _ in sink.events)
    make_event("circuit_breaker", {"environment": "e", **sink.events[0][1]})
    broken = pybreaker.CircuitBreaker(fail_max=1, listeners=[MidwatchListener(Sink(broken=True), dependency="d")])
    with pytest.raises(pybreaker.CircuitBreakerError):
        broken.call(fail)
    assert "could not be told" in caplog.text
