"""Numbers, times and places as people read them; the filters of the templates.

Every function takes a value and gives plain text, never markup: the templates escape what they write.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from schemas.base import format_time
from schemas.outputs import Scope

NOTHING: Final = "–"
"""Stands where there is no value."""

_WORDS: Final[dict[str, str]] = {
    "authorization_denials": "Authorization denials",
    "circuit_breaker_state": "Circuit breakers",
    "eval_score_trend": "Evaluation scores",
    "recent_deployments": "Recent deployments",
    "inconclusive": "No single cause found",
    "escalation_rate": "Escalation rate",
    "burn_rate": "Budget burn",
    "evaluation_drop": "Scores drop",
    "silence": "Silence",
    "authorization_scope": "An agent outside its scope",
    "dependency": "A failing dependency",
    "judgement": "The agents' judgement",
    "deployment": "A deployment",
    "legitimate_traffic": "Legitimate traffic",
    "unknown": "Something else",
    "none": "Nothing to do",
    "rollback": "Roll back",
    "escalate_security": "Call security",
    "escalate": "Escalate",
    "investigate": "Investigate",
    "ok": "ok",
    "timeout": "timed out",
}


def words(name: str) -> str:
    """A word of the contract as people write it; a third party's own name without underscores."""
    return _WORDS.get(name, name.replace("_", " ").capitalize())


def percent(value: float | None) -> str:
    """A fraction in percent: 0.137 is "13.7 %"."""
    if value is None:
        return NOTHING
    shown = value * 100
    digits = 0 if shown in {0, 100} else 2 if abs(shown) < 1 else 1
    return f"{shown:.{digits}f}\u00a0%"


def count(value: float | None) -> str:
    """A count with its thousands apart."""
    return NOTHING if value is None else f"{value:,.0f}"


def money(value: float | None) -> str:
    """Dollars; cents only where they matter."""
    if value is None:
        return NOTHING
    sign = "-" if value < 0 else ""
    return f"{sign}${abs(value):,.0f}" if abs(value) >= 1000 else f"{sign}${abs(value):,.2f}"


def duration(milliseconds: float | None) -> str:
    """A latency: "840 ms", "3.2 s", "2 min"."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 1000:
        return f"{milliseconds:.0f}\u00a0ms"
    if milliseconds < 100_000:
        return f"{milliseconds / 1000:.1f}\u00a0s"
    return f"{milliseconds / 60_000:.0f}\u00a0min"


def score(value: float | None) -> str:
    """A score of 1 to 5."""
    return NOTHING if value is None else f"{value:.2f}"


UNITS: Final[dict[str, Callable[[float | None], str]]] = {
    "fraction": percent,
    "score": score,
    "count": count,
    "usd": money,
    "ms": duration,
    "tokens": count,
}
"""How a value of each unit of a `Line` is written."""


def in_unit(value: float | None, unit: str) -> str:
    """A value of a line's unit."""
    return UNITS[unit](value)


def level(value: float, unit: str) -> str:
    """A tick of an axis: as `in_unit`, without digits that say nothing."""
    text = in_unit(value, unit)
    number = text.split("\u00a0")[0]
    return text.replace(number, number.rstrip("0").rstrip("."), 1) if "." in number else text


def tidy(text: str) -> str:
    """A sentence whose numbers keep to their units at the end of a line."""
    return text.replace(" %", "\u00a0%").replace(" UTC", "\u00a0UTC")


def age(since: datetime, now: datetime) -> str:
    """How long ago, in the largest unit that says enough: "just now", "12 min", "3 h 5 min", "2 d"."""
    seconds = (now - since).total_seconds()
    if seconds < 0:
        return "just now"
    if seconds < 60:
        return f"{seconds:.0f}\u00a0s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes}\u00a0min"
    hours, rest = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}\u00a0h {rest}\u00a0min" if rest else f"{hours}\u00a0h"
    return f"{hours // 24}\u00a0d"


def clock(at: datetime, now: datetime) -> str:
    """Time of day in UTC, with the day where it is not today's: "02:14 UTC", "3 Mar 02:14 UTC"."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    day = "" if at.date() == now.date() else f"{at.day} {at:%b} " if _near(at, now) else f"{at.day} {at:%b %Y} "
    return f"{day}{at:%H:%M} UTC"


def _near(at: datetime, now: datetime) -> bool:
    return abs(now - at) < timedelta(days=300)


def place(scope: Scope) -> str:
    """Where it happened: "production / refunds / refund-request"."""
    inner = (scope.flow, scope.agent, scope.budget, scope.criterion, scope.version)
    return " / ".join([scope.environment, scope.system, *(one for one in inner if one is not None)])


def safe_href(href: str) -> str | None:
    """The address if a browser may be sent there (http, https, or a path of this page); None for anything else."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return None
    if parts.scheme in {"http", "https"} and parts.netloc:
        return href
    own = not parts.scheme and not parts.netloc and href.startswith("/") and "\\" not in href
    return href if own else None


def own_path(goes_to: str) -> str:
    """A path of this page to go on to; the first screen instead of anywhere else."""
    own = goes_to.startswith("/") and not goes_to.startswith("//") and "\\" not in goes_to
    return goes_to if own and goes_to.isprintable() else "/"


def shown(value: Any) -> str:
    """A fact's value; long ones stay whole, the page wraps them."""
    return NOTHING if value is None or value == "" else str(value)


def plural(number: int, one: str, many: str | None = None) -> str:
    """A number and what it counts: "1 incident", "2 incidents"."""
    return f"{number:,}\u00a0{one if number == 1 else many or one + 's'}"


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "words": words,
    "percent": percent,
    "count": count,
    "money": money,
    "duration": duration,
    "score": score,
    "in_unit": in_unit,
    "age": age,
    "clock": clock,
    "iso": format_time,
    "place": place,
    "safe_href": safe_href,
    "level": level,
    "tidy": tidy,
    "shown": shown,
    "plural": plural,
}
