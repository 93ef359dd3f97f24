"""Who may look and who may act: tokens, sessions, proxies, and how often one may guess."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from pydantic import ValidationError

from dashboard.auth import SESSION_SECONDS, TRIES, TRY_SECONDS, Caller, Gate, TooManyTries
from schemas.base import MAX_NAME
from stream.settings_dashboard import DashboardSettings

OPERATOR, READER = "operator-token-0123456789", "reader-token-0123456789"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def gate(clock: Clock | None = None, **settings: Any) -> Gate:
    return Gate(DashboardSettings.model_validate(settings, strict=False), clock or Clock(), "ada")


def tokens(**more: Any) -> dict[str, Any]:
    return {"operator_token": OPERATOR, "reader_token": READER, **more}


def test_on_loopback_without_tokens_the_local_user_is_the_operator() -> None:
    """The laptop and the demonstration need no login."""
    known = gate().who(Caller("127.0.0.1", {}))
    assert known is not None
    assert (known.viewer.name, known.viewer.role, known.by_browser) == ("ada", "operator", True)


def test_with_tokens_a_stranger_is_nobody() -> None:
    """Loopback is no excuse once a token is set; a cookie of another's making is none."""
    door = gate(**tokens())
    assert door.who(Caller("127.0.0.1", {})) is None
    for cookie in ("", ".", "x.y", "eyJuIjogIm1lIn0=.abc"):
        assert door.who(Caller("127.0.0.1", {}, cookie)) is None


@pytest.mark.parametrize(("token", "role"), [(OPERATOR, "operator"), (READER, "reader")])
def test_a_login_opens_a_session_of_the_tokens_role(token: str, role: str) -> None:
    """The cookie names role and name, holds no token, ends in time and at a restart, and cannot be changed."""
    clock = Clock()
    door = gate(clock, **tokens())
    opened = door.log_in("10.0.0.1", token, "bo")
    assert opened is not None
    cookie, who = opened
    assert (who, token not in cookie) == ("bo (shared token)", True)
    known = door.who(Caller("10.0.0.1", {}, cookie))
    assert known is not None
    assert (known.viewer.name, known.viewer.role, known.by_browser) == (who, role, True)
    assert door.csrf_holds(known.viewer, known.viewer.csrf)
    assert not door.csrf_holds(known.viewer, "")
    assert gate(**tokens()).who(Caller("10.0.0.1", {}, cookie)) is None
    assert door.who(Caller("10.0.0.1", {}, f"A{cookie[1:]}")) is None
    clock.now += SESSION_SECONDS + 1
    assert door.who(Caller("10.0.0.1", {}, cookie)) is None


def test_a_bearer_token_needs_no_csrf_token() -> None:
    """A browser never sends it by itself."""
    known = gate(**tokens()).who(Caller("10.0.0.1", {"authorization": f"Bearer {READER}"}))
    assert known is not None
    assert (known.viewer.role, known.viewer.name, known.by_browser) == ("reader", "reader", False)


def test_a_shared_bearer_token_may_say_who_acts_and_no_more() -> None:
    """The name is marked as unproven; it gives no role, is cut, and holds no control characters."""

    def name(given: str) -> str:
        headers = {"authorization": f"Bearer {READER}", "x-midwatch-name": given}
        known = gate(**tokens()).who(Caller("10.0.0.1", headers))
        assert known is not None
        assert known.viewer.role == "reader"
        return known.viewer.name

    assert name(" pager-bot ") == "pager-bot (shared token)"
    assert name("evil\x1b[2J") == "reader"
    assert name("x" * 5000).endswith("x (shared token)")
    assert len(name("x" * 5000)) == MAX_NAME
    assert gate(**tokens()).who(Caller("10.0.0.1", {"x-midwatch-name": "root"})) is None


def test_a_persons_own_token_proves_the_name_and_no_other_is_believed() -> None:
    """Whatever its holder says at the login or in the header, the trail has the name that the token is bound to.

    Who holds the shared token and says to be that person is told apart from them.
    """
    mine, shared = "ada-token-0123456789", "shared-token-0123456789"
    people = {"ada": {"token_sha256": hashlib.sha256(mine.encode()).hexdigest()}, "eve": {
        "token_sha256": hashlib.sha256(b"eve-token-0123456789").hexdigest(), "role": "reader"}}  # fmt: skip
    door = gate(people=people, operator_token=shared, host="0.0.0.0", published_on_loopback=True)
    opened = door.log_in("10.0.0.1", mine, "somebody else")
    assert opened is not None
    known = door.who(Caller("10.0.0.1", {}, opened[0]))
    assert known is not None
    assert (known.viewer.name, known.viewer.role) == ("ada", "operator")
    bearer = door.who(Caller("10.0.0.1", {"authorization": "Bearer eve-token-0123456789", "x-midwatch-name": "ada"}))
    assert bearer is not None
    assert (bearer.viewer.name, bearer.viewer.role) == ("eve", "reader")
    pretended = door.log_in("10.0.0.1", shared, "ada")
    assert pretended is not None
    assert pretended[1] == "ada (shared token)"
    assert door.log_in("10.0.0.1", "", "ada") is None
    assert door.asks_names
    assert not gate(people=people, host="0.0.0.0", published_on_loopback=True).asks_names


@pytest.mark.parametrize(
    ("people", "wrong"),
    [
        ({"ada (shared token)": {"token_sha256": "a" * 64}}, "pattern"),
        ({"ada": {"token_sha256": "ada-token-0123456789"}}, "pattern"),
        ({"ada": {"token_sha256": "a" * 64}, "bo": {"token_sha256": "a" * 64}}, "the same token"),
    ],
)
def test_people_who_cannot_be_told_apart_are_refused(people: dict[str, Any], wrong: str) -> None:
    """A name cannot look like an unproven one, a token does not stand in the file, and no two share one."""
    with pytest.raises(ValidationError, match=wrong):
        DashboardSettings.model_validate({"people": people})


def test_guessing_is_slowed_down_for_each_address() -> None:
    """After some wrong tokens even the right one waits; other addresses do not."""
    clock = Clock()
    door = gate(clock, **tokens())
    for _ in range(TRIES):
        assert door.log_in("10.0.0.1", "wrong", "") is None
    with pytest.raises(TooManyTries):
        door.log_in("10.0.0.1", OPERATOR, "")
    assert door.log_in("10.0.0.2", OPERATOR, "") is not None
    clock.now += TRY_SECONDS
    assert door.log_in("10.0.0.1", OPERATOR, "") is not None


def test_a_proxys_headers_count_from_the_proxy_alone() -> None:
    """Its users may look; those of the operators' groups may act; anyone else's header is nothing."""
    headers = {"x-forwarded-user": "cy", "x-forwarded-groups": "dev, oncall"}
    door = gate(
        host="0.0.0.0",
        proxy_addresses=("10.0.0.0/24",),
        user_header="X-Forwarded-User",
        groups_header="X-Forwarded-Groups",
        operator_groups=("oncall",),
    )
    known = door.who(Caller("10.0.0.7", headers))
    assert known is not None
    assert (known.viewer.name, known.viewer.role) == ("cy", "operator")
    reader = door.who(Caller("10.0.0.7", {**headers, "x-forwarded-groups": "dev"}))
    assert reader is not None
    assert reader.viewer.role == "reader"
    assert door.who(Caller("10.0.1.7", headers)) is None
    assert door.who(Caller("10.0.0.7", {})) is None
