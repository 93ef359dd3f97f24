"""What a name that the list of prices does not know was probably meant to be."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from genai_prices.data import providers

SHOWN: Final = 3
CLOSE: Final = 0.7


def meant(model: str, provider: str | None = None) -> str:
    """`gpt-4, gpt-4o or gpt-5`, or `provider azure`, for what the list does not have; empty where nothing is near."""
    known = {one.id: [model.id for model in one.models] for one in providers}
    if provider is not None and provider not in known:
        return " or ".join(f"provider {one}" for one in get_close_matches(provider, sorted(known), 1, CLOSE))
    names = known[provider] if provider is not None else [name for one in known.values() for name in one]
    close = get_close_matches(model, sorted({name for name in names if name != model}), SHOWN, CLOSE)
    return " or ".join(filter(None, [", ".join(close[:-1]), *close[-1:]]))
