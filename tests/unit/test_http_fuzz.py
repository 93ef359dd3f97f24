"""Every web application that describes itself, called in every way that its document allows and in many others.

It answers as the document says, never with a server's error, and lets nobody in without a token. More with `make fuzz`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from starlette.testclient import TestClient

from tests.support.fuzz import effort, patience
from tests.support.fuzz_http import APPLICATIONS, CHECKS, Described

DESCRIBED = [make() for make in APPLICATIONS]
FOUND: list[tuple[Described, Any]] = [
    (one, found.ok())
    for one in DESCRIBED
    for found in one.schema().get_all_operations()
    if not found.ok().path.endswith("/stream")  # Without end; its first answer is in tests/unit/dashboard/test_api.py.
]
POSTS = [(one, operation) for one, operation in FOUND if operation.method == "post"]


def named(found: list[tuple[Described, Any]]) -> Any:
    """Each operation as a test of its own."""
    ids = [f"{one.name} {operation.method} {operation.path}" for one, operation in found]
    return pytest.mark.parametrize(("described", "operation"), found, ids=ids)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "2026-01-01T00:00:00Z",
        "../../etc/passwd",
        "\x00",
        "%00",
    ]
)
NAMES = st.sampled_from(["before", "next", "limit", "span", "environment", "flow", "tag", "note", "failed", "?"])
every_operation = named(FOUND)
every_application = pytest.mark.parametrize("described", DESCRIBED, ids=lambda one: one.name)


def test_every_application_is_called() -> None:
    """A package that builds a FastAPI application is among those that are fuzzed here."""
    root = Path(__file__).parents[2]
    code = (path for package in ("dashboard", "stream", "evaluation") for path in (root / package).rglob("*.py"))
    builders = {str(path.relative_to(root)) for path in code if re.search(r"\bFastAPI\(\n?", path.read_text("utf-8"))}
    assert builders == {"dashboard/app.py", "stream/ingest_http/app.py"}
    assert {one.name for one in DESCRIBED} == {"page", "ingest"}


@every_operation
@patience(60)
def test_it_answers_as_its_document_says(described: Described, operation: Any) -> None:
    """Status, media type and body are the documented ones, for requests that fit the document and for others."""

    @effort(8)
    @given(st.data())
    def call(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        for name, value in described.known.items():
            if name in case.path_parameters and data.draw(st.booleans()):
                case.path_parameters[name] = value
        case.call_and_validate(headers=described.headers, checks=CHECKS)

    call()


@every_operation
@patience(60)
def test_nothing_is_answered_without_the_token(described: Described, operation: Any) -> None:
    """Neither to nobody nor to a wrong token or session, whatever else the request says."""
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic OnQwa2Vu"},
        {"cookie": "midwatch_session=e30.00"},
    )

    @effort(2)
    @given(operation.as_strategy(), st.sampled_from(wrong))
    def call(case: Any, carried: dict[str, str]) -> None:
        case.headers = {}
        # 429: wrong tokens of an address are counted, and here all come from one.
        assert case.call(headers={"host": "localhost", **carried}).status_code in {401, 429}

    call()


@named(POSTS)
def test_a_wrong_content_type_is_refused(described: Described, operation: Any) -> None:
    """What reads bodies reads those of the documented media types alone."""
    path = operation.path.format(**described.known)
    with TestClient(described.app, base_url="http://localhost") as client:
        for media in ("text/plain", "application/xml", "multipart/form-data; boundary=x", "a", "*/*"):
            headers = described.headers | {"content-type": media}
            answer = client.post(path, content=b'{"minutes": 1, "reason": "x", "right": true}', headers=headers)
            assert answer.status_code in {400, 415, 422}, (media, answer.text)


def paths_of(routes: Any) -> set[str]:
    """The paths of all routes, those of included routers too."""
    found: set[str] = set()
    for route in getattr(routes, "original_router", routes).routes:
        found |= {route.path} if hasattr(route, "path") else paths_of(route)
    return found


@every_application
@patience(60)
def test_no_address_makes_a_server_error(described: Described) -> None:
    """Whatever path and query a viewer sends to whatever route: an answer below 500, and its headers."""
    paths = sorted(paths_of(described.app) - {"/api/v1/stream"})
    assert described.name != "page" or {"/incidents/{incident_id}", "/login", "/static/{name}"} <= set(paths)

    with TestClient(described.app, base_url="http://localhost") as client:

        @effort(60)
        @given(
            st.sampled_from(paths), WORDS, st.dictionaries(NAMES, WORDS, max_size=3), st.sampled_from(["GET", "POST"])
        )
        def call(path: str, word: str, query: dict[str, str], method: str) -> None:
            filled = re.sub(r"\{[^}]*\}", lambda _: quote(word, safe=""), path)
            answer = client.request(method, filled, params=query, headers=described.headers, follow_redirects=False)
            assert answer.status_code < 500
            assert answer.headers["x-content-type-options"] == "nosniff"

        call()
