"""The web applications that describe themselves, as schemathesis calls them: in this process, without a socket."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import schemathesis
from fastapi import FastAPI
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dashboard.app import build_app as build_page
from dashboard.pages import build_router
from stream.ingest_http.app import build_app as build_ingest
from stream.ingest_http.description import document
from stream.ingest_http.meters import IngestMeters
from stream.ingest_http.writer import Writer
from stream.settings import load_settings
from tests.support.dashboard import FakeActs, FakePages
from tests.support.ingest import ListedKafka
from tests.unit.adapters.events import NOW_MS

TOKEN = "t0ken-of-the-operators-0123456789"
READER = "t0ken-of-the-readers-0123456789"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@dataclass
class Described:
    """An application, its document, and the incident or tool that its paths may name."""

    name: str
    app: FastAPI
    document: dict[str, Any]
    known: dict[str, str]

    @property
    def headers(self) -> dict[str, str]:
        """What lets a caller in."""
        return {"authorization": f"Bearer {TOKEN}", "host": "localhost"}

    def schema(self) -> Any:
        """The document, as schemathesis reads it."""
        made = schemathesis.openapi.from_dict(self.document)
        made.app = self.app
        return made


class AnyTopic(ListedKafka):
    """A Kafka that has every topic, and forgets what it is sent."""

    async def exists(self, topic: str) -> bool:
        return True

    async def send(self, topic: str, value: bytes, *, headers: Any) -> Any:
        done = await super().send(topic, value, headers=headers)
        self.sent.clear()
        return done


def page() -> Described:
    """The on-call page with its API."""
    settings = load_settings(
        None, {"MIDWATCH_DASHBOARD__OPERATOR_TOKEN": TOKEN, "MIDWATCH_DASHBOARD__READER_TOKEN": READER}
    )
    pages = FakePages()
    acts = FakeActs(pages)

    async def changed(known: int, _seconds: float) -> int:
        return known

    app = build_page(pages, acts, settings.dashboard, changed=changed, router=build_router(pages, acts))
    return Described("page", app, app.openapi(), {"incident_id": pages.open[0].incident_id})


def ingest() -> Described:
    """The ingest endpoints."""
    settings = load_settings(None, {"MIDWATCH_INGEST_HTTP__TOKEN": TOKEN})
    own, kafka = settings.ingest_http, AnyTopic()
    writer = Writer(kafka, kafka.exists, own.max_pending_bytes, own.store_seconds)
    app = build_ingest(settings, writer, IngestMeters(), lambda: NOW_MS)
    return Described("ingest", app, document(app, token=True), {"tool": "flagger"})


APPLICATIONS: tuple[Callable[[], Described], ...] = (page, ingest)
