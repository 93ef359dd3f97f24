"""The HTTP endpoints of `midwatch ingest`.

| path | takes |
|---|---|
| `POST /v1/traces`, `/v1/logs` | OTLP/HTTP, protobuf or JSON; stored as they are |
| `POST /v1/metrics` | OTLP/HTTP; answered, not kept |
| `POST /v1/events` | events as JSON, an array of them, NDJSON, CloudEvents; the records of every tool that is known |
| `POST /v1/webhooks/{tool}` | what that tool sends |
| `GET /metrics`, `/healthz`, `/openapi.json` | about the endpoint itself |
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Final

from fastapi import FastAPI, Request, Response
from prometheus_client.exposition import choose_encoder
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.adapters import Decoder, Rejection
from stream.assembly import record_limits
from stream.ingest_http import otlp_answers
from stream.ingest_http.answers import Answer, Refused, Trouble
from stream.ingest_http.body import read_body, unpacked
from stream.ingest_http.guard import check_signature, check_token
from stream.ingest_http.meters import IngestMeters
from stream.ingest_http.sorting import query_headers, sort_records, split
from stream.ingest_http.writer import OutRecord, Writer
from stream.settings import Settings

REFUSED_SHOWN: Final = 100
TOOLS: Final[dict[str, str]] = {
    "argo-rollouts": "argo_rollouts",
    "authzen": "authzen",
    "cdevents": "cdevents",
    "envoy": "envoy_outliers",
    "flagger": "flagger",
    "github": "github_deployments",
    "mcp": "mcp",
    "opa": "opa",
    "polly": "polly",
    "resilience4j": "resilience4j",
}
"""Names in paths, and the formats' names."""

PATHS: Final = "POST /v1/traces, /v1/logs, /v1/events, /v1/webhooks/{tool}; GET /openapi.json, /metrics, /healthz"

HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Endpoints:
    """What the routes do. `wall_ms` is the clock by which records are received."""

    def __init__(self, settings: Settings, writer: Writer, meters: IngestMeters, wall_ms: Callable[[], int]) -> None:
        self._own = settings.ingest_http
        self._writer = writer
        self._meters = meters
        self._wall_ms = wall_ms
        self._limits = record_limits(settings)
        self._origin = settings.adapters.origin()

    async def events(self, request: Request, tool: str | None = None) -> Response:
        """Store the records of a body that hold events; say which do not, and why."""
        body = await self._body(request, signed=tool == "github")
        if not body:
            raise Trouble(400, "the body is empty")
        values, headers = split(body, request.headers)
        told = query_headers(request.query_params.multi_items())
        decoder = Decoder(self._limits, self._origin)
        found = sort_records(values, [*headers, *told], decoder, self._wall_ms(), TOOLS[tool] if tool else None)
        await self._store(found.records)
        for _, why in found.refused:
            self._meters.refused.labels(why.reason).inc()
        self._meters.passed_over.inc(found.passed_over)
        topics: dict[str, int] = {}
        for record in found.records:
            topics[record.topic] = topics.get(record.topic, 0) + 1
        answer = Answer(
            stored=len(found.records),
            topics=topics,
            passed_over=found.passed_over,
            refused=_shown(found.refused),
            faulty_parts=_shown(found.faulty_parts),
            refused_count=len(found.refused),
            unknown_fields=dict(found.unknown_fields),
        )
        status = 422 if found.refused and not found.records else 200
        return Response(answer.model_dump_json(), status, HEADERS, "application/json")

    async def export(self, request: Request, signal: str, topic: str | None) -> Response:
        """Store an OTLP export request as it is. Without a topic it is only answered."""
        media = otlp_answers.PROTOBUF
        try:
            check_token(self._own.token, request.headers)
            media = otlp_answers.media_of(request.headers)
            body = await self._body(request)
            if topic is None:
                return Response(otlp_answers.no_metrics(media, body), 200, HEADERS, media)
            if otlp_answers.check_request(signal, media, body, self._limits):
                await self._store([OutRecord(topic, body)])
        except Trouble as trouble:
            return _response(trouble, otlp_answers.failure(media, trouble.detail), media)
        return Response(otlp_answers.success(media), 200, HEADERS, media)

    async def _body(self, request: Request, *, signed: bool = False) -> bytes:
        """The body of someone who may send. A signature takes the place of the token."""
        secret = self._own.github_secret if signed else None
        if secret is None:
            check_token(self._own.token, request.headers)
        body = await read_body(request.stream(), request.headers, self._own.max_body_bytes)
        self._meters.bytes.labels(route_of(request.scope)).inc(len(body))
        if secret is not None:
            check_signature(secret, body, request.headers)
        return unpacked(body, request.headers, self._own.max_unpacked_bytes)

    async def _store(self, records: list[OutRecord]) -> None:
        if not records:
            return
        try:
            await self._writer.store(records)
        finally:
            self._meters.pending.set(self._writer.pending)
        for record in records:
            self._meters.records.labels(record.topic).inc()

    async def metrics(self, request: Request) -> Response:
        """The endpoint's own metrics."""
        check_token(self._own.token, request.headers)
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._meters.registry), 200, {**HEADERS, "Content-Type": content_type})

    async def healthz(self, request: Request) -> Response:
        """Whether the process serves requests; Kafka's health shows in their answers."""
        check_token(self._own.token, request.headers)
        return Response(b'{"status":"ok"}\n', 200, HEADERS, "application/json")


def _shown(faults: list[tuple[int, Rejection]]) -> list[Refused]:
    return [Refused(index=index, reason=why.reason, detail=why.detail) for index, why in faults[:REFUSED_SHOWN]]


def build_app(settings: Settings, writer: Writer, meters: IngestMeters, wall_ms: Callable[[], int]) -> FastAPI:
    """The endpoints as an application."""
    from stream.ingest_http import description as said

    app = FastAPI(
        title="Midwatch ingest",
        version="1",
        description=said.INTRODUCTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # A redirect would name whatever host the sender claims, and repeat a token to it.
    )
    here = Endpoints(settings, writer, meters, wall_ms)
    own = settings.ingest_http

    @app.post("/v1/events", responses=said.EVENTS, response_model=Answer, openapi_extra=said.BODIES["events"])
    async def events(request: Request) -> Response:
        """Events as JSON, an array of them, NDJSON, or CloudEvents (structured, batched or binary)."""
        return await here.events(request)

    @app.post(
        "/v1/webhooks/{tool}", responses=said.WEBHOOKS, response_model=Answer, openapi_extra=said.BODIES["webhooks"]
    )
    async def webhooks(request: Request, tool: str) -> Response:
        """What a tool sends: argo-rollouts, cdevents, envoy, flagger, github, opa, resilience4j and others."""
        if tool not in TOOLS:
            check_token(own.token, request.headers)
            raise Trouble(404, f"no such tool; known are {', '.join(TOOLS)}")
        return await here.events(request, tool)

    @app.post("/v1/traces", response_class=Response, responses=said.OTLP, openapi_extra=said.BODIES["otlp"])
    async def traces(request: Request) -> Response:
        """OTLP/HTTP traces."""
        return await here.export(request, "traces", own.spans_topic)

    @app.post("/v1/logs", response_class=Response, responses=said.OTLP, openapi_extra=said.BODIES["otlp"])
    async def logs(request: Request) -> Response:
        """OTLP/HTTP logs."""
        return await here.export(request, "logs", own.logs_topic)

    @app.post("/v1/metrics", response_class=Response, responses=said.OTLP, openapi_extra=said.BODIES["otlp"])
    async def metrics_in(request: Request) -> Response:
        """OTLP/HTTP metrics: answered with a partial success, for Midwatch keeps none."""
        return await here.export(request, "metrics", None)

    @app.get("/openapi.json", include_in_schema=False)
    async def document(request: Request) -> Response:
        check_token(own.token, request.headers)
        return Response(json.dumps(said.document(app, token=own.token is not None)), 200, HEADERS, "application/json")

    app.get("/metrics", include_in_schema=False)(here.metrics)
    app.get("/healthz", include_in_schema=False)(here.healthz)
    _guard_and_count(app, meters)
    return app


def _guard_and_count(app: FastAPI, meters: IngestMeters) -> None:
    @app.exception_handler(Trouble)
    async def trouble(_request: Request, error: Trouble) -> Response:
        return _response(error, json.dumps({"detail": error.detail}).encode(), "application/json")

    @app.exception_handler(HTTPException)
    async def elsewhere(_request: Request, error: HTTPException) -> Response:
        allow = (error.headers or {}).get("Allow")
        detail = f"it takes {allow}" if allow else f"no such path; there are {PATHS}"
        headers = {**HEADERS, **(error.headers or {})}
        return Response(json.dumps({"detail": detail}), error.status_code, headers, "application/json")

    app.add_middleware(Counting, meters=meters)


class Counting:
    """Counts and times requests, as plain ASGI: the body passes through untouched."""

    def __init__(self, app: ASGIApp, meters: IngestMeters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and count what came of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route = route_of(scope)
            self._meters.requests.labels(route, str(status)).inc()
            self._meters.duration.labels(route).observe(time.perf_counter() - started)


def _response(trouble: Trouble, body: bytes, media: str) -> Response:
    headers = dict(HEADERS)
    if trouble.retry_after is not None:
        headers["Retry-After"] = str(trouble.retry_after)
    if trouble.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="midwatch"'
    return Response(body, trouble.status, headers, media)


def route_of(scope: Scope) -> str:
    """The path as it was declared, so that no sender chooses a label."""
    return str(getattr(scope.get("route"), "path", "none"))
