"""What to do when a real server cannot be had: skip, or fail where the real ones are required."""

import os
from typing import NoReturn

import pytest

REQUIRE = "MIDWATCH_REQUIRE_REAL"


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it when `MIDWATCH_REQUIRE_REAL=1`."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason} ({REQUIRE}=1)", pytrace=False)
    pytest.skip(reason)
