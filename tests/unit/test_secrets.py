"""Every secret that a configuration can hold, planted at once: none comes out anywhere that people or programs read."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient as AiohttpClient
from aiohttp.test_utils import TestServer
from prometheus_client.exposition import generate_latest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from dashboard.app import build_app as build_page
from dashboard.pages import build_router
from schemas.canonical import canonical_json
from stream.adapters import Decoder, dead_letter
from stream.cli import app as command_line
from stream.http import Status
from stream.http import build_app as build_engine_pages
from stream.ingest_http.app import build_app as build_ingest
from stream.ingest_http.meters import IngestMeters
from stream.ingest_http.writer import Writer
from stream.logs import FOREIGN_KEYS, configure_logs, secret_values
from stream.metrics import Metrics
from stream.rollback.gate import Gate
from stream.settings import Settings, SettingsError, load_settings, settings_model
from stream.settings_schema import secrets_below
from stream.sinks.registry import available
from tests.support.dashboard import FakeActs, FakePages
from tests.support.ingest import ListedKafka
from tests.support.sinks import MINIMAL
from tests.unit.adapters.events import NOW_MS, SMALLEST, encoded

CLOSED = "127.0.0.1:9"
SHAPES: dict[str, Callable[[str], str]] = {
    "routing_key": lambda mark: f"R{mark}".ljust(32, "0"),
    "secret": lambda mark: "whsec_" + mark.ljust(32, "A"),
    "url": lambda mark: f"json://chat.example.com/{mark}",
}
"""Secrets of sinks that must have a form, by the key's name."""


def _planted() -> dict[str, str]:
    """Every secret key of the sections, and of a sink of each kind, as variables; each value is found by its mark."""
    found = {f"MIDWATCH_{'__'.join(path).upper()}": f"planted{number:03}secretvalue"
             for number, (path, _) in enumerate(secrets_below(settings_model()))}  # fmt: skip
    for number, (kind, sink) in enumerate(available().items(), start=500):
        prefix = f"MIDWATCH_SINKS__{kind.upper()}_SINK__"
        found |= {prefix + "KIND": kind, **{prefix + name: value for name, value in MINIMAL[kind].items()}}
        for offset, (path, _) in enumerate(secrets_below(sink.Settings)):
            mark = f"planted{number}n{offset}secret"
            if path[0] == "password":
                found[f"{prefix}USERNAME"] = "watch"
            if path[0] != "bearer_token" or kind != "alertmanager":
                found[prefix + path[0].upper()] = SHAPES[path[0]](mark) if path[0] in SHAPES else mark
    return found


SECRETS = _planted()
MARK = re.compile(r"planted\d+n?\d*secret")
AROUND = {
    "MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": CLOSED,
    "MIDWATCH_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "MIDWATCH_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
    "MIDWATCH_KAFKA__SASL_USERNAME": "watch",
    "MIDWATCH_REDIS__MODE": "sentinel",
    "MIDWATCH_REDIS__URL": f"redis://{CLOSED}/0",
    "MIDWATCH_REDIS__SENTINEL_MASTER": "midwatch",
    "MIDWATCH_REDIS__SENTINEL_USERNAME": "watch",
    "MIDWATCH_REDIS__USERNAME": "watch",
}
WITHOUT = {"MIDWATCH_KAFKA__OAUTH_CLIENT_SECRET"}
"""What cannot stand beside another secret: SASL is by one mechanism."""

ENVIRON = {name: value for name, value in (AROUND | SECRETS).items() if name not in WITHOUT}


@pytest.fixture(scope="module")
def settings() -> Settings:
    """All of them in force."""
    return load_settings(None, ENVIRON)


def clean(text: str) -> bool:
    """Whether no planted secret is in a text; says which, if there is one."""
    return MARK.findall(text) == []


def test_every_secret_is_planted_and_known_to_the_logs(settings: Settings) -> None:
    """As many as there are keys for them; and what the logs are given is all of them."""
    planted = {mark for name, value in ENVIRON.items() if name not in AROUND for mark in MARK.findall(value)}
    known = {mark for value in secret_values(settings) for mark in MARK.findall(value)}
    assert len(planted) >= 14
    assert known == planted


def test_settings_show_none(settings: Settings) -> None:
    """Neither printed, nor as JSON, nor in what check-config and doctor say, here of servers that do not answer."""
    assert clean(repr(settings) + str(settings) + settings.model_dump_json())
    for arguments in (["check-config"], ["check-config", "--json"], ["doctor"], ["doctor", "--json"]):
        done = CliRunner().invoke(command_line, arguments, env=ENVIRON)
        assert done.output
        assert clean(done.output + repr(done.exception)), arguments
        if arguments[0] == "check-config":
            assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", sorted(name for name, value in ENVIRON.items() if MARK.search(value)))
def test_a_problem_with_a_secret_does_not_show_it(name: str) -> None:
    """A secret of the wrong length, or under a name that is not one, is complained of by its name alone."""
    shown = []
    for broken in (
        {name: ""},
        {name: "planted9secret"},
        {f"{name}X": "planted9secret"},
        {f"{name}__X": "planted9secret"},
    ):
        try:
            load_settings(None, ENVIRON | broken)
        except SettingsError as error:
            shown.append(f"{error}{error.__cause__!r}{error.__context__!r}")
    assert len(shown) >= 2
    assert clean("".join(shown))


@pytest.fixture
def log(settings: Settings) -> Iterator[io.StringIO]:
    """The logs, set up as every process does it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logs(settings.log, secret_values(settings), stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_logs_show_none(settings: Settings, log: io.StringIO) -> None:
    """Not under any key, in no message, no exception and no repr of what holds them."""
    for secret in secret_values(settings):
        structlog.get_logger("engine").warning(
            "failed", detail=f"at {secret}", url=f"redis://:{secret}@x/0", held=[secret]
        )
        try:
            raise ValueError(f"refused {secret}")
        except ValueError:
            logging.getLogger("aiokafka").exception("cannot log in: %s", secret)
    structlog.get_logger("engine").warning("settings", settings=settings, plain=dict(settings))
    assert len(log.getvalue().splitlines()) > 2 * len(secret_values(settings))
    assert clean(log.getvalue())


def test_keys_of_other_names_are_known_too(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge also takes its key from the variables of the provider's own client."""
    for number, name in enumerate(FOREIGN_KEYS):
        monkeypatch.setenv(name, f"planted{number}secret")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logs(settings.log, (), stream)
    logging.getLogger("openai").error("Incorrect API key provided: planted0secret, planted1secret")
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    assert "Incorrect" in stream.getvalue()
    assert clean(stream.getvalue())


def test_pages_show_none(settings: Settings) -> None:
    """Metrics, error pages, API and HTML of the page and of the ingest endpoints, to strangers and to the operator."""
    pages = FakePages()

    async def changed(known: int, _seconds: float) -> int:
        return known

    page = build_page(
        pages, FakeActs(pages), settings.dashboard, changed=changed, router=build_router(pages, FakeActs(pages))
    )
    kafka, meters = ListedKafka(), IngestMeters()
    ingest = build_ingest(settings, Writer(kafka, kafka.exists, 1, 1.0), meters, lambda: NOW_MS)
    token = settings.dashboard.operator_token
    ingest_token = settings.ingest_http.token
    assert token is not None
    assert ingest_token is not None
    paths = (
        "/",
        "/login?failed=true",
        "/nothing",
        "/metrics",
        "/healthz",
        "/openapi.json",
        "/api/v1/me",
        "/api/v1/incidents/none",
        "/api/openapi.json",
        "/v1/events",
        "/v1/traces",
        "/v1/webhooks/github",
    )
    for app, known in ((page, token), (ingest, ingest_token)):
        with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
            for bearer in ("wrong", known.get_secret_value()):
                for path in paths:
                    for method in ("GET", "POST", "DELETE"):
                        answer = client.request(
                            method,
                            path,
                            headers={"authorization": f"Bearer {bearer}"},
                            content=b"{",
                            follow_redirects=False,
                        )
                        assert clean(answer.text + repr(answer.headers)), (method, path)
    metrics = Metrics("0.1.0", settings.config_hash())
    assert clean(generate_latest(metrics.registry).decode() + generate_latest(meters.registry).decode())


async def test_the_engines_pages_and_the_gate_show_none(settings: Settings) -> None:
    """With the token, without it, and where the status itself fails with a secret in its message."""

    def broken() -> Status:
        raise ValueError(
            f"cannot log in with {settings.redis.password.get_secret_value() if settings.redis.password else ''}"
        )

    metrics = Metrics("0.1.0", settings.config_hash())
    engine = build_engine_pages(settings.http, metrics.registry, broken, broken)
    gate = Gate(settings.rollback.gate, lambda *_: None).app()
    for app, held in ((engine, settings.http.token), (gate, settings.rollback.gate.token)):
        assert held is not None
        await _ask_all(app, held.get_secret_value())


async def _ask_all(app: web.Application, token: str) -> None:
    async with AiohttpClient(TestServer(app)) as client:
        for bearer in ("wrong", token):
            for path in ("/metrics", "/healthz", "/readyz", "/nothing", "/v1/gates/a/b", "/v1/gates/a/b/rollback"):
                answer = await client.get(path, headers={"Authorization": f"Bearer {bearer}"})
                assert clean(await answer.text() + repr(answer.headers)), path


def test_dead_letters_show_none(settings: Settings) -> None:
    """A producer that sends a token along, in its headers or under a name that says so, does not publish it."""
    for number, secret in enumerate(secret_values(settings)):
        name = ("password", "sasl.password", "api_key", "authorization", "client_secret", "cookie")[number % 6]
        record = SMALLEST["usage"] | {"model": None, "headers": {"Authorization": f"Bearer {secret}"}, name: secret}
        for value in (encoded(record), encoded(record)[:-1]):
            batch = Decoder().decode_batch([(value, [("authorization", secret.encode())], NOW_MS)])
            [(_, why)] = batch.rejections
            letter = canonical_json(dead_letter(why, "t", 0, 0, NOW_MS, value, include_payload=True))
            assert json.loads(letter)["payload"]
            assert clean(letter.decode())
