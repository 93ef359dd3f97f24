"""What every sink of the registry promises, whatever it delivers to."""

import asyncio
import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from pydantic import Field

from schemas.outputs import Verdict
from stream.settings import SettingsError
from stream.settings_example import example_toml
from stream.settings_sinks import sinks_of
from stream.sinks import registry
from stream.sinks.base import BaseSink, Parcel, SinkSettings, Step
from stream.sinks.registry import SINKS, SinkRegistryError, available, build
from stream.sinks.trial import sample, try_sink
from tests.support.sinks import MINIMAL, MUTED, heard, minimal, settings_with, step, verdict

EACH = pytest.mark.parametrize("kind", sorted(available()))
SECRETS = [value for keys in MINIMAL.values() for key, value in keys.items() if key in ("ROUTING_KEY", "SECRET")]


def sink(kind: str, **more: str) -> Any:
    return build(sinks_of(settings_with(one=minimal(kind, **more)).sinks)["one"])


def story() -> list[tuple[Step, bool]]:
    """Steps of an incident, and whether somebody who is told of incidents hears of them."""
    first = verdict()
    return [
        (step(verdict(muted=MUTED)), False),
        (step(verdict(status="resolved", revision=3)), False),
        (step(first), True),
        (step(verdict(revision=1, status="updated"), heard(first)), False),
        (step(verdict(revision=2, status="updated", muted=MUTED), heard(first)), True),
        (step(verdict(revision=3, status="resolved"), heard(first)), True),
        (step(first, heard(first)), False),
    ]


def test_every_built_in_sink_is_tested_here() -> None:
    """A new sink needs a minimal configuration in the tests, and then is held to all of this."""
    assert MINIMAL.keys() >= SINKS.keys()


@EACH
async def test_it_tells_what_there_is_to_tell(kind: str) -> None:
    """An opening, a mute and an end are told; muted incidents nobody heard of, repeats and nothing new are not."""
    made = sink(kind)
    for one, tells in story():
        assert bool(made.parcels(one)) == (tells or made.every_verdict), one.verdict
    await made.close()


@EACH
async def test_the_same_step_gives_the_same_parcels(kind: str) -> None:
    """What is sent is a function of the step, so that a repeat is one."""
    for one, _ in story():
        made, other = sink(kind), sink(kind)
        assert made.parcels(one) == made.parcels(one) == other.parcels(one)
        await asyncio.gather(made.close(), other.close())


@EACH
async def test_no_secret_is_in_what_is_shown_or_queued(kind: str) -> None:
    """Destination, parcels and settings hold no secret in plain."""
    settings = settings_with(one=minimal(kind))
    made = build(sinks_of(settings.sinks)["one"])
    shown = [made.destination, repr(settings), json.dumps(settings.sinks.model_dump(mode="json"))]
    shown += [parcel.body.decode() for one, _ in story() for parcel in made.parcels(one)]
    for text in shown:
        assert not any(secret in text for secret in [*SECRETS, "secret-path"])
    await made.close()


@EACH
def test_its_settings_say_what_they_are(kind: str) -> None:
    """The kind is a word of its own, every other key is described, every secret can come from a file."""
    fields = available()[kind].Settings.model_fields
    assert get_args(fields["kind"].annotation) == (kind,)
    assert all(field.description for name, field in fields.items() if name != "kind")
    secrets = [name for name, field in fields.items() if "SecretStr" in str(field.annotation)]
    assert all(f"{name}_file" in fields for name in secrets)
    assert f'kind = "{kind}"' in example_toml(type(settings_with()))


@EACH
def test_what_it_needs_is_said_when_it_is_missing(kind: str) -> None:
    """A section with nothing but its kind is a problem that names the section; so is a key that does not exist."""
    with pytest.raises(SettingsError, match=r"sinks\.bare"):
        settings_with(bare={"KIND": kind})
    with pytest.raises(SettingsError, match="NO_SUCH_KEY: there is no key"):
        settings_with(one=minimal(kind, NO_SUCH_KEY="1"))


@EACH
async def test_a_private_address_is_refused_by_default(kind: str) -> None:
    """A sink whose destination is this machine fails with the reason, and connects to nothing."""
    keys = {"URL": "https://127.0.0.1:1/x", "URLS": '["https://127.0.0.1:1"]'}
    if kind == "apprise":
        keys["URL"] = "json://127.0.0.1:1/x"
    mine = {key: value for key, value in keys.items() if key in MINIMAL[kind] or (key == "URL" and kind == "pagerduty")}
    settings = settings_with(one=minimal(kind, **mine))
    from datetime import UTC, datetime

    [tried] = await try_sink(settings, sinks_of(settings.sinks)["one"], datetime.now(UTC))
    assert not tried.ok
    assert tried.answer.startswith("forbidden_address: 127.0.0.1")


def test_the_test_incident_is_one_that_opens_and_ends() -> None:
    """What `midwatch sinks test` sends are valid verdicts that say that they are a test."""
    first, last = sample(verdict().decided_at, "inc_test_1")
    for one in (first, last):
        assert Verdict.model_validate_json(one.model_dump_json()) == one
    assert (first.status, last.status) == ("firing", "resolved")
    assert "test" in first.trigger.summary


class PigeonSettings(SinkSettings):
    """A carrier pigeon."""

    kind: Literal["pigeon"] = "pigeon"
    loft: str = Field("", min_length=1, validate_default=True, description="Where it lives.")


class Pigeon(BaseSink):
    """A third party's sink."""

    Settings = PigeonSettings

    def __init__(self, settings: PigeonSettings) -> None:
        self.destination = settings.loft

    def parcels(self, step: Step) -> list[Parcel]:
        return [Parcel("coo", b"{}")] if step.kinds else []

    async def send(self, parcel: Parcel) -> str:
        return "flown"


@pytest.fixture
def pigeon(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """An installed package that brings a sink."""
    points = [EntryPoint("pigeon", f"{__name__}:Pigeon", registry.ENTRY_POINTS)]
    monkeypatch.setattr(EntryPoint, "load", lambda _: Pigeon)
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    return points


async def test_a_third_party_adds_a_sink_by_entry_point(pigeon: list[EntryPoint], tmp_path: Path) -> None:
    """Its keys are checked like ours, and it is built by its kind."""
    made = build(sinks_of(settings_with(one={"KIND": "pigeon", "LOFT": "roof"}).sinks)["one"])
    assert made.destination == "roof"
    with pytest.raises(SettingsError, match=r"sinks\.one\.loft"):
        settings_with(one={"KIND": "pigeon"})


def test_a_built_in_kind_cannot_be_taken_over(pigeon: list[EntryPoint]) -> None:
    """A package that calls its sink like one of ours is refused."""
    pigeon[:] = [EntryPoint("webhook", "x:y", registry.ENTRY_POINTS)]
    with pytest.raises(SinkRegistryError, match="webhook is taken"):
        available()
