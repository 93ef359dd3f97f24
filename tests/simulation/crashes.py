"""Deaths of a process, at a point of the protocol that a history has chosen."""

from __future__ import annotations


class Crash(Exception):
    """The process dies here."""


class Points:
    """Counts the protocol's points; dies at the one that was chosen."""

    def __init__(self) -> None:
        self.left: int | None = None

    def __call__(self, name: str) -> None:
        if self.left is not None:
            if self.left == 0:
                self.left = None
                raise Crash(name)
            self.left -= 1
