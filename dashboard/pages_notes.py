"""What an act did, carried over the redirect behind it: told once, kept in memory, few and short-lived."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Final

MOST: Final = 256


class Notes:
    """Sentences under keys that nobody guesses; the oldest goes when there are too many."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, str] = OrderedDict()

    def leave(self, text: str) -> str:
        """Keep a sentence; its key."""
        key = secrets.token_urlsafe(9)
        self._kept[key] = text
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return key

    def take(self, key: str | None) -> str | None:
        """The sentence, once."""
        return self._kept.pop(key, None) if key else None
