"""What is wrong with a FOCUS file."""

from __future__ import annotations


class FocusError(ValueError):
    """A bill that cannot be used: which file, where in it, what to do."""
