"""What the contract tests share: clients of the broker under test."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.kafka_clients import Clients


@pytest.fixture
def bootstrap(kafka: Any) -> str:
    """Address of the broker under test."""
    return str(kafka.bootstrap)


@pytest_asyncio.fixture
async def clients(bootstrap: str) -> AsyncIterator[Clients]:
    """Clients of the broker under test."""
    async with contextlib.AsyncExitStack() as stack:
        yield Clients(bootstrap, stack)
