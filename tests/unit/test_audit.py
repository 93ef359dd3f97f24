"""The audit of what is locked: what it finds, what it accepts, and that it never passes for done when it is not."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from email.message import Message
from typing import Any

import httpx
import pytest

from tests.support import audit
from tests.support.audit import ACCEPTED, CANARY, LOCKS, ROOT, Accepted, NotDone, Vulnerability, accepted, pins

TODAY = date(2026, 11, 26)
ADVISORY = {
    "id": "GHSA-1",
    "aliases": ["CVE-2026-1"],
    "summary": "Reads too\nmuch.",
    "affected": [
        {
            "package": {"name": "Some.Lib", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        },
        {"package": {"name": "other"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "9"}]}]},
    ],
}


class Service:
    """An advisory service that knows `known` by package; a `broken` answer takes the place of every other."""

    def __init__(self, known: dict[str, list[str]], broken: Callable[[], httpx.Response] | None = None) -> None:
        self.known = known
        self.broken = broken
        self.withdrawn = False
        self.queries: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.broken is not None:
            return self.broken()
        if request.url.path != "/v1/querybatch":
            return httpx.Response(
                200, json=ADVISORY | ({"withdrawn": "2026-01-01T00:00:00Z"} if self.withdrawn else {})
            )
        results = []
        for query in json.loads(request.content)["queries"]:
            self.queries.append(query)
            pin = (query["package"]["name"], query["version"])
            ids = ["PYSEC-1"] if pin == CANARY else self.known.get(pin[0], [])
            page = int(query.get("page_token", 0))
            more = {"next_page_token": str(page + 1)} if page + 1 < len(ids) else {}
            results.append({"vulns": [{"id": ids[page]}], **more} if ids else {})
        return httpx.Response(200, json={"results": results})

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        with httpx.Client(base_url="http://osv", transport=httpx.MockTransport(self)) as client:
            yield client


def found_by(service: Service, *wanted: tuple[str, str]) -> list[Vulnerability]:
    with service.client() as client:
        return audit.vulnerabilities(wanted, client)


def test_the_locks_are_read_whole() -> None:
    """Every requirement of every lock is a pin, whatever marker follows it."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in LOCKS]
    found = dict(pins(texts))
    required = {line.partition("==")[0] for text in texts for line in text.splitlines() if line[:1].isalnum()}
    assert set(found) == {audit.normalised(name) for name in required}
    assert pins(["A_b.c==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:0\n    # via x==2\n"]) == [
        ("a-b-c", "1.0")
    ]


def test_a_known_vulnerability_is_told_with_its_remedy() -> None:
    """By every id that it has, once for each advisory, over as many pages as the service needs."""
    service = Service({"some-lib": ["GHSA-1", "GHSA-2"]})
    found = found_by(service, ("some-lib", "1.0"), ("sound", "2.0"))
    assert [str(one) for one in found] == ["some-lib 1.0: GHSA-1, CVE-2026-1: Reads too much. (fixed in 1.1)"] * 2
    assert {query["version"] for query in service.queries} == {"1.0", "2.0", CANARY[1]}
    service.withdrawn = True
    assert not found_by(service, ("some-lib", "1.0"))


def raising(error: Exception) -> Callable[[], httpx.Response]:
    def answer() -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (raising(httpx.ConnectError("no route")), "no route"),
        (raising(httpx.ReadTimeout("slow")), "slow"),
        (lambda: httpx.Response(503), "503"),
        (lambda: httpx.Response(404, text="no such path"), "404"),
        (lambda: httpx.Response(200, text="<html>log in</html>"), "not understood"),
        (lambda: httpx.Response(200, json={"results": []}), "not understood"),
        (lambda: httpx.Response(200, json={}), "not understood"),
        (lambda: httpx.Response(200, json=[]), "not understood"),
        (lambda: httpx.Response(200, json={"results": [{}, {}]}), "no advisory service"),
    ],
    ids=["away", "slow", "down", "elsewhere", "login page", "empty", "other", "list", "ignorant"],
)
def test_what_is_no_service_is_not_taken_for_a_clean_answer(broken: Callable[[], httpx.Response], said: str) -> None:
    """Not there, slow, broken, a login page, or a mirror that knows nothing: the audit was not done."""
    with pytest.raises(NotDone, match=said):
        found_by(Service({}, broken), ("sound", "2.0"))


@pytest.mark.parametrize(("environ", "code"), [({}, 0), ({"MIDWATCH_REQUIRE_AUDIT": "1"}, 1)], ids=["free", "required"])
def test_an_audit_that_was_not_done_is_said(
    environ: dict[str, str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Aloud, and as a failure where it is required. Nothing listens on that port of loopback."""
    assert audit.main([], {"MIDWATCH_OSV_URL": "http://127.0.0.1:9", **environ}) == code
    assert "audit: not done, no advisory service reachable" in capsys.readouterr().out
    assert audit.main(["--json"], {"MIDWATCH_OSV_URL": "http://127.0.0.1:9", **environ}) == code
    assert "127.0.0.1:9" in json.loads(capsys.readouterr().out)["not_done"]


def test_a_vulnerability_fails_the_audit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 and its line, for what stands in our own locks."""
    name, version = pins([(ROOT / LOCKS[0]).read_text(encoding="utf-8")])[0]
    service = Service({name: ["GHSA-1"]})
    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **given: real(**given, transport=httpx.MockTransport(service)))
    assert audit.main([], {}) == 1
    assert f"audit: VULNERABLE: {name} {version}: GHSA-1" in capsys.readouterr().out
    service.known.pop(name)
    assert audit.main([], {}) == 0
    assert "0 with known vulnerabilities" in capsys.readouterr().out


def test_what_is_accepted_is_accepted_until_its_day() -> None:
    """By any of its ids and for its package alone; then it counts again; what is no longer reported is named."""
    one = Vulnerability("some-lib", "1.0", "GHSA-1", ("CVE-2026-1",), "s", ())
    lived_with = Accepted("Some.Lib", "CVE-2026-1", "not reachable", TODAY)
    assert audit.verdict([one], [lived_with], TODAY)[0] == []
    open_ones, remarks = audit.verdict([one], [lived_with], TODAY + timedelta(days=1))
    assert open_ones == [one]
    assert "which is over" in remarks[0]
    other = Accepted("other", "GHSA-1", "not reachable", TODAY)
    open_ones, remarks = audit.verdict([one], [other], TODAY)
    assert open_ones == [one]
    assert "take it off the list" in remarks[0]


def test_the_list_of_what_is_accepted_is_sound() -> None:
    """Each entry has a reason and a day; one without is refused."""
    accepted(ACCEPTED.read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="needs a reason"):
        accepted('[[accepted]]\npackage = "a"\nid = "b"\nreason = " "\nuntil = 2026-01-01\n')
    with pytest.raises(TypeError):
        accepted('[[accepted]]\npackage = "a"\nid = "b"\n')


def test_licences_that_bind_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shipped may be given on under our own licence: no GPL, nothing without one; LGPL or a choice will do."""

    class Installed:
        def __init__(self, name: str, licence: str) -> None:
            self.metadata = Message()
            self.metadata["Name"] = name
            self.metadata["License-Expression"] = licence

    said = {"a": "MIT", "b": "AGPL-3.0-only", "c": "MIT OR GPL-2.0-only", "d": "", "e": "LGPL-3.0-only", "f": "GPL-3.0"}
    installed = [Installed(name, licence) for name, licence in said.items()]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: installed)
    assert audit.licences("abcde") == ["b: AGPL-3.0-only", "d: no licence is said"]
