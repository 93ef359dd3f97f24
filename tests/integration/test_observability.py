"""A running engine tells of itself: counters move, dead letters come, and the status pages follow its state."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.words import DEAD_LETTERS_TOPIC
from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis
from stream.embedded.ports import free_port
from stream.watchdog import EXIT_STUCK
from tests.integration import traffic
from tests.support.engine import (
    PATIENCE_SECONDS,
    SHARDS,
    Reader,
    engine,
    make_topics,
    send,
    settings_from,
    write_config,
)

pytestmark = pytest.mark.timeout(240)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Pages:
    """The pages of an engine."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def metrics(self) -> Samples:
        async with self._session.get(f"{self._url}/metrics") as answer:
            families = text_string_to_metric_families(await answer.text())
            return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}

    async def status(self, page: str) -> tuple[int, Any]:
        async with self._session.get(f"{self._url}/{page}") as answer:
            return answer.status, await answer.json()

    async def until(self, what: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
        """Ask a page, as a scraper does, until its answer is as wanted. Raises TimeoutError if it never is."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    found = await what()
                    if holds(found):
                        return found
                except aiohttp.ClientConnectionError:
                    pass  # It does not listen yet.
                await asyncio.sleep(0.05)


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"midwatch_{name}", tuple(sorted(labels.items()))), 0.0)


def total(samples: Samples, name: str) -> float:
    return sum(number for (found, _), number in samples.items() if found == f"midwatch_{name}")


def with_port(config: Path, port: int) -> None:
    config.write_text(config.read_text(encoding="utf-8").replace("port = 0", f"port = {port}"), encoding="utf-8")


async def test_an_engine_tells_of_itself(tmp_path: Path) -> None:
    """Good events are counted, bad ones become dead letters of the same number, and verdicts and ticks show."""
    with EmbeddedKafkaProcess() as broker, EmbeddedRedis() as redis:
        config = write_config(tmp_path, broker.bootstrap, redis.url)
        port = free_port()
        with_port(config, port)
        await make_topics(settings_from(config))
        good = traffic.records() + traffic.closing(traffic.MINUTES + 10)
        topic, partition, body, ms = good[0]
        odd = json.dumps({**json.loads(body), "colour": "red"}).encode()
        bad = [(topic, partition, b"{broken", ms), (topic, partition, b'{"type":"weather"}', ms)]
        letter_reader = Reader(broker.bootstrap, [DEAD_LETTERS_TOPIC])
        async with aiohttp.ClientSession() as session, engine(config), letter_reader as reader:
            pages = Pages(session, f"http://127.0.0.1:{port}")
            await pages.until(
                lambda: pages.status("readyz"), lambda found: found[0] == 200 and found[1]["shards"] == SHARDS
            )
            assert (await pages.status("healthz"))[0] == 200
            await send(broker.bootstrap, [(topic, partition, odd, ms), *bad, *good])
            letters = await reader.until(lambda found: len(found) == len(bad))
            read = len(good) + len(bad) + 1
            samples = await pages.until(
                pages.metrics, lambda s: total(s, "records_read_total") >= read and total(s, "verdicts_total") >= 2
            )
    assert {json.loads(letter.value)["reason"] for letter in letters} == {"malformed_json", "unknown_type"}
    assert total(samples, "records_read_total") == read
    assert value(samples, "dead_letters_total", reason="malformed_json") == 1
    assert value(samples, "dead_letters_total", reason="unknown_type") == 1
    assert total(samples, "events_folded_total") == len(good) + 1
    assert value(samples, "unknown_fields_total", type="interaction") == 1
    assert value(samples, "commits_total", result="applied") >= 1
    assert value(samples, "commit_duration_seconds_count") == value(samples, "commits_total", result="applied")
    assert value(samples, "shard_leases_held") == SHARDS
    assert value(samples, "series", kind="flow") == len(traffic.SYSTEMS)
    assert value(samples, "dependency_up", dependency="kafka") == 1
    assert value(samples, "dependency_up", dependency="redis") == 1
    durations = ("tick_duration_seconds_count", "check_duration_seconds_count")
    for name in ("ticks_total", "firings_total", "checks_total", *durations):
        assert total(samples, name) > 0, name


async def test_a_silent_redis_shows(tmp_path: Path) -> None:
    """When Redis is gone the engine waits and says so, and goes on when it is back; if it stays away, it gives up."""
    with EmbeddedKafkaProcess() as broker, EmbeddedRedis() as redis:
        config = write_config(tmp_path, broker.bootstrap, redis.url, stuck_seconds=15.0)
        port = free_port()
        with_port(config, port)
        await make_topics(settings_from(config))
        async with aiohttp.ClientSession() as session, engine(config) as process:
            pages = Pages(session, f"http://127.0.0.1:{port}")
            await pages.until(lambda: pages.status("readyz"), lambda found: found[0] == 200)
            redis.stop()
            samples = await pages.until(pages.metrics, lambda s: value(s, "dependency_up", dependency="redis") == 0)
            assert value(samples, "dependency_up", dependency="kafka") == 1
            redis.start()
            await pages.until(pages.metrics, lambda s: value(s, "dependency_up", dependency="redis") == 1)
            await pages.until(lambda: pages.status("readyz"), lambda found: found[0] == 200)
            assert process.returncode is None
            redis.stop()
            assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == EXIT_STUCK
