"""Waiting until a Kafka serves: all brokers registered and the group coordinator at work."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

READY_SECONDS = 60.0
_PAUSE_SECONDS = 0.2


def await_ready(bootstrap: str, brokers: int, check: Callable[[], None]) -> None:
    """Block until `brokers` brokers are known and groups can be coordinated.

    Runs its own event loop in a thread, so that it can be called from a fixture whatever loop the tests use.

    Args:
        bootstrap: addresses.
        brokers: how many must be registered.
        check: called between attempts; raises when there is nothing left to wait for.

    Raises:
        AssertionError: it took longer than `READY_SECONDS`, or `check` found a broker dead.
    """
    failure: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(_await_ready(bootstrap, brokers, check))
        except BaseException as error:  # noqa: BLE001 - It is raised again in the caller's thread.
            failure.append(error)

    thread = threading.Thread(target=run, name="kafka-readiness")
    logger = logging.getLogger("aiokafka")
    level, logger.disabled = logger.disabled, True  # A broker that is not up yet is no error here.
    try:
        thread.start()
        thread.join()
    finally:
        logger.disabled = level
    if failure:
        raise failure[0]


async def _await_ready(bootstrap: str, brokers: int, check: Callable[[], None]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        check()
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            if await _serves(bootstrap, brokers):
                return
        await asyncio.sleep(_PAUSE_SECONDS)  # Another process's readiness cannot be awaited.
    raise AssertionError(f"Kafka at {bootstrap} did not serve with {brokers} brokers within {READY_SECONDS:.0f} s")


async def _serves(bootstrap: str, brokers: int) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        if len(cluster["brokers"]) < brokers:
            return False
        await admin.find_coordinator("readiness")  # An error until the offsets topic has a leader.
        return True
    finally:
        await admin.close()
