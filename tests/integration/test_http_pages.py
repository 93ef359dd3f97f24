"""The pages over a real socket: what they show, to whom, and when they fail."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.http import HttpServer, Status, StatusSource, serve_http
from stream.metrics import Metrics
from stream.settings import load_settings

Serve = Callable[..., AbstractAsyncContextManager[HttpServer]]


def well() -> Status:
    return Status(ok=True, facts={"shards": 2})


def serve(
    healthy: StatusSource = well, ready: StatusSource = well, **variables: str
) -> AbstractAsyncContextManager[HttpServer]:
    environ = {f"MIDWATCH_HTTP__{name.upper()}": value for name, value in {"port": "0", **variables}.items()}
    metrics = Metrics("0.1.0", "cfg_x")
    metrics.verdicts.labels("firing", "inconclusive").inc()
    return serve_http(load_settings(None, environ).http, metrics.registry, healthy, ready)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client that does not retry."""
    async with aiohttp.ClientSession() as session:
        yield session


async def test_metrics_are_readable_by_prometheus(client: aiohttp.ClientSession) -> None:
    """The page parses as Prometheus's text format and holds Midwatch's own series."""
    async with serve() as server, client.get(f"{server.url}/metrics") as answer:
        assert answer.status == 200
        families = {one.name: one for one in text_string_to_metric_families(await answer.text())}
    assert families["midwatch_verdicts"].samples[0].labels == {"status": "firing", "triage_result": "inconclusive"}
    assert "process_resident_memory_bytes" in families


async def test_openmetrics_on_request(client: aiohttp.ClientSession) -> None:
    """A reader that asks for OpenMetrics gets it."""
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with serve() as server, client.get(f"{server.url}/metrics", headers=accept) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await answer.text()).endswith("# EOF\n")


@pytest.mark.parametrize("page", ["healthz", "readyz"])
async def test_status_pages_say_what_the_engine_says(client: aiohttp.ClientSession, page: str) -> None:
    """200 while all is well, 503 with the reason as soon as it is not; the two pages do not mix."""
    state = {"healthz": Status(ok=True), "readyz": Status(ok=True)}
    async with serve(lambda: state["healthz"], lambda: state["readyz"]) as server:
        async with client.get(f"{server.url}/{page}") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})
        state[page] = Status(ok=False, facts={"lag_records": 7})
        async with client.get(f"{server.url}/{page}") as answer:
            assert (answer.status, await answer.json()) == (503, {"status": "failing", "lag_records": 7})
        other = ({"healthz", "readyz"} - {page}).pop()
        async with client.get(f"{server.url}/{other}") as answer:
            assert answer.status == 200


async def test_a_probe_that_breaks_fails(client: aiohttp.ClientSession) -> None:
    """An error in a status function is a failing status, without its text."""

    def broken() -> Status:
        raise RuntimeError("redis://:hunter2@h")

    async with serve(broken) as server, client.get(f"{server.url}/healthz") as answer:
        assert answer.status == 503
        assert "hunter2" not in await answer.text()


@pytest.mark.parametrize("page", ["metrics", "healthz", "readyz", "nothing"])
async def test_a_token_guards_every_page(client: aiohttp.ClientSession, page: str) -> None:
    """With a token set, no page answers without it, and a wrong or half one is as bad as none."""
    async with serve(token="open-sesame") as server:
        for headers in ({}, {"Authorization": "Bearer open"}, {"Authorization": "open-sesame"}):
            async with client.get(f"{server.url}/{page}", headers=headers) as answer:
                assert answer.status == 401
        async with client.get(f"{server.url}/{page}", headers={"Authorization": "Bearer open-sesame"}) as answer:
            assert answer.status == (404 if page == "nothing" else 200)


async def test_nothing_can_be_written(client: aiohttp.ClientSession) -> None:
    """The pages are for reading only."""
    async with serve() as server, client.post(f"{server.url}/metrics", data=b"x") as answer:
        assert answer.status == 405


async def test_a_taken_port_is_an_error_at_once() -> None:
    """A second engine on the same port is told, rather than silent."""
    async with serve() as server:
        with pytest.raises(OSError, match="address already in use"):
            async with serve(port=str(server.port)):
                pass


async def test_it_listens_on_loopback_by_default() -> None:
    """Without being told otherwise, only this machine can ask."""
    async with serve() as server:
        assert server.host == "127.0.0.1"
