"""How much is tried: little in `make test`, more with `make fuzz`, which sets MIDWATCH_FUZZ to a factor."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("MIDWATCH_FUZZ", "1"))


def effort(examples: int) -> settings:
    """Hypothesis's settings for `examples` tries, times the factor."""
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(max_examples=examples * FACTOR, deadline=None, suppress_health_check=checks)


def patience(seconds: int) -> Any:
    """The mark of a test that may take so long, times the factor."""
    return pytest.mark.timeout(seconds * FACTOR)
