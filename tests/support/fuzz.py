"""How much is tried: little in `make test`, more with `make fuzz`, which sets MIDWATCH_FUZZ to a factor."""

import os

from hypothesis import HealthCheck, Phase, settings


def effort(examples: int) -> settings:
    """Hypothesis's settings for `examples` tries, times the factor."""
    factor = int(os.environ.get("MIDWATCH_FUZZ", "1"))
    return settings(
        max_examples=examples * factor,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )
