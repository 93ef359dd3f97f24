"""The API and what stands before it: views, copies, acts, roles, CSRF, hosts, headers, and that nothing is leaked."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import structlog

from dashboard.app import build_app
from dashboard.guard import LARGEST_BODY
from dashboard.model import ReadModel
from dashboard.views import (
    ActResult,
    Choices,
    CostsView,
    Filter,
    QualityView,
    ScoreRow,
    SpendRow,
    Viewer,
)
from schemas.outputs import Exemplar, Scope
from stream.settings import load_settings
from tests.support.dashboard_verdicts import findings, resolved, trigger, verdict

OPERATOR, READER = "operator-token-0123456789", "reader-token-0123456789"
TOKENS = {"MIDWATCH_DASHBOARD__OPERATOR_TOKEN": OPERATOR, "MIDWATCH_DASHBOARD__READER_TOKEN": READER}
EVIL = "=<script>alert(1)</script>\x1b[31m@everyone"


class Acted:
    """Takes acts, and remembers them."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    async def acknowledge(self, viewer: Viewer, incident_id: str, note: str, *, withdraw: bool) -> ActResult:
        if incident_id == "inc_over":
            raise ValueError("incident inc_over is over")
        self.done.append(("acknowledge", viewer.name, incident_id, note, withdraw))
        return ActResult(ok=True, text="done")

    async def silence(self, viewer: Viewer, incident_id: str, minutes: int, reason: str) -> ActResult:
        self.done.append(("silence", viewer.name, incident_id, minutes, reason))
        return ActResult(ok=True, text="done")

    async def judge(self, viewer: Viewer, incident_id: str, *, right: bool, cause: str | None, note: str) -> ActResult:
        self.done.append(("judge", viewer.name, incident_id, right, cause, note))
        return ActResult(ok=True, text="done")

    async def decide_rollback(self, viewer: Viewer, incident_id: str, key: str, *, approve: bool) -> ActResult:
        self.done.append(("rollback", viewer.name, incident_id, key, approve))
        return ActResult(ok=True, text="done")


class Pages(ReadModel):
    """A read model without Redis: its windows are given."""

    async def _chart(self, verdict: Any) -> None:
        return None

    async def quality(self, asked: Filter) -> QualityView:
        row = ScoreRow(criterion=EVIL, flow="+1", version=None, mean=4.0, low=None, high=None, scores=3)
        return QualityView(
            filter=asked, choices=Choices(environments=(), systems=(), flows=()), charts=(), rows=(row,),
            health=self.health(),
        )  # fmt: skip

    async def costs(self, asked: Filter, tag: str | None) -> CostsView:
        row = SpendRow(value=EVIL, cost_usd=-1.5, share=1.0, tokens=10)
        return CostsView(
            filter=asked, choices=Choices(environments=(), systems=(), flows=()), tag=tag or "system", tags=(),
            rows=(row,), budgets=(), ptus=(), health=self.health(),
        )  # fmt: skip


@asynccontextmanager
async def page(
    environ: dict[str, str] | None = None, client: str = "127.0.0.1", **headers: str
) -> AsyncIterator[tuple[httpx.AsyncClient, Pages, Acted]]:
    settings = load_settings(None, environ or {})
    model, acts = Pages(settings), Acted()
    app = build_app(model, acts, settings.dashboard, changed=model.memory.changed)
    transport = httpx.ASGITransport(app=app, client=(client, 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as http:
        yield http, model, acts
    await model.aclose()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_the_first_screen_lists_what_is_open_and_what_has_ended() -> None:
    """Open incidents, ended ones, and that the engine has given no sign: never a green page over nothing."""
    async with page() as (http, model, _):
        model.feed.caught_up = True
        model.memory.verdict(verdict())
        model.memory.verdict(resolved(incident_id="inc_old"))
        view = (await http.get("/api/v1/overview")).json()
        assert [card["incident_id"] for card in view["open"]] == ["inc_refunds"]
        assert view["health"]["problems"][0]["text"].startswith("Starting")
        listed = (await http.get("/api/v1/incidents", params={"limit": 1})).json()
        assert [card["incident_id"] for card in listed["incidents"]] == ["inc_old"]
        rest = (await http.get("/api/v1/incidents", params={"before": listed["next_before"]})).json()
        assert [card["incident_id"] for card in rest["incidents"]] == ["inc_refunds"]


async def test_an_incident_is_there_as_json_text_and_markdown() -> None:
    """Three forms of one incident; an unknown one is a 404 with a sentence."""
    async with page() as (http, model, _):
        model.memory.verdict(verdict())
        whole = (await http.get("/api/v1/incidents/inc_refunds")).json()
        assert whole["chain"][3]["decided"]
        assert [one["version"] for one in whole["versions"]] == ["2026.11.3", "2026.11.2"]
        text = await http.get("/api/v1/incidents/inc_refunds.txt")
        assert text.text.startswith("CRITICAL: Escalations 3.3x normal in refunds (open)\n")
        assert "http://localhost/incidents/inc_refunds" in text.text
        marked = await http.get("/api/v1/incidents/inc_refunds.md")
        assert marked.headers["content-type"].startswith("text/markdown")
        missing = await http.get("/api/v1/incidents/inc_nobody")
        assert (missing.status_code, "no such incident" in missing.json()["error"]) == (404, True)


async def test_script_tags_in_every_field_come_out_as_data() -> None:
    """Telemetry with markup, escape sequences, mentions and formulas does no harm in any form it leaves in."""
    hostile = verdict(
        scope=Scope(environment=EVIL, system=EVIL, flow=EVIL, agent=EVIL),
        trigger=trigger(summary=EVIL),
        findings=tuple(
            one.model_copy(update={"summary": EVIL, "exemplars": (Exemplar(trace_id=EVIL, interaction_id=EVIL),)})
            for one in findings(component=EVIL, version=EVIL, ramp_lacks=EVIL)
        ),
    )
    async with page() as (http, model, _):
        model.memory.verdict(hostile)
        for path in ("/api/v1/overview", "/api/v1/incidents/inc_refunds"):
            answer = await http.get(path)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "\x1b" not in answer.text
        text = (await http.get("/api/v1/incidents/inc_refunds.txt")).text
        assert "\x1b" not in text
        marked = (await http.get("/api/v1/incidents/inc_refunds.md")).text
        assert "<script" not in marked.replace("\\<script", "")
        assert "@everyone" not in marked
        for name in ("quality", "costs"):
            answer = await http.get(f"/api/v1/{name}.csv")
            cells = [cell for row in csv.reader(io.StringIO(answer.text)) for cell in row]
            bad = [cell for cell in cells if cell[:1] in "=+@" and cell]
            assert not bad
            assert "attachment" in answer.headers["content-disposition"]
    assert "-1.5" in cells


async def test_every_answer_has_the_headers_that_keep_scripts_out() -> None:
    """No inline script, no frame, no cache, no referrer; the same on errors."""
    async with page() as (http, _, _acts):
        for path in ("/api/v1/overview", "/nothing", "/api/v1/nothing"):
            headers = (await http.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")
            assert "strict-transport-security" not in headers


async def test_an_act_of_a_browser_needs_the_csrf_token() -> None:
    """Without it, with another's, or from another site nothing is done; with it the act is the local user's."""
    async with page() as (http, model, acts):
        model.memory.verdict(verdict())
        path, body = "/api/v1/incidents/inc_refunds/acknowledge", {"note": "on it"}
        assert (await http.post(path, json=body)).status_code == 403
        assert (await http.post(path, json=body, headers={"x-csrf-token": "0" * 64})).status_code == 403
        me = (await http.get("/api/v1/me")).json()
        csrf = {"x-csrf-token": me["csrf"]}
        crossed = await http.post(path, json=body, headers={**csrf, "sec-fetch-site": "cross-site"})
        assert crossed.status_code == 403
        assert acts.done == []
        done = await http.post(path, json=body, headers=csrf)
        assert (done.status_code, done.json()["ok"]) == (200, True)
        assert acts.done == [("acknowledge", me["name"], "inc_refunds", "on it", False)]


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends a byte and then nothing holds no connection for ever, known or not."""
    monkeypatch.setattr("dashboard.guard.BODY_SECONDS", 0.01)

    async def dripping() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with page(TOKENS) as (http, _, acts):
        for headers in ({}, bearer(OPERATOR)):
            path = "/api/v1/incidents/inc_refunds/acknowledge"
            answer = await http.post(path, content=dripping(), headers=headers)
            assert answer.status_code == 408
            assert "had not come" in answer.json()["error"]
        assert not acts.done


async def test_readers_look_and_operators_act() -> None:
    """A reader's token is refused every act, whatever goes with it; an operator's is not."""
    bodies = {
        "acknowledge": {},
        "silence": {"minutes": 60, "reason": "drill"},
        "judge": {"right": False, "cause": "dependency"},
        "rollback": {"key": "act_refunds", "approve": True},
    }
    async with page(TOKENS) as (http, _, acts):
        assert (await http.get("/api/v1/overview")).status_code == 401
        assert (await http.get("/api/v1/overview", headers=bearer(READER))).status_code == 200
        for act, body in bodies.items():
            path = f"/api/v1/incidents/inc_refunds/{act}"
            assert (await http.post(path, json=body)).status_code == 401
            refused = await http.post(path, json=body, headers=bearer(READER))
            assert (refused.status_code, "may look" in refused.json()["error"]) == (403, True)
        assert acts.done == []
        for act, body in bodies.items():
            path = f"/api/v1/incidents/inc_refunds/{act}"
            assert (await http.post(path, json=body, headers=bearer(OPERATOR))).status_code == 200
        assert [one[0] for one in acts.done] == list(bodies)
        named = {**bearer(OPERATOR), "x-midwatch-name": "pager-bot"}
        await http.post("/api/v1/incidents/inc_refunds/acknowledge", json={}, headers=named)
        assert acts.done[-1][1] == "pager-bot (shared token)"


async def test_a_browser_is_refused_by_a_page_and_a_program_by_a_line() -> None:
    """A malformed form, a wrong host and too many tries: a page in a browser, which repeats nothing; else text."""
    wants_page = {"accept": "text/html,*/*"}
    async with page(TOKENS) as (http, _, _acts):
        form = {"name": "x" * 300, "token": OPERATOR}
        shown = await http.post("/login", data=form, headers=wants_page)
        assert (shown.status_code, shown.headers["content-type"]) == (422, "text/html; charset=utf-8")
        assert "That was not done" in shown.text
        assert OPERATOR not in shown.text
        assert (await http.post("/login", data=form)).text.startswith("midwatch: name:")
        for number in range(11):
            last = await http.post("/login", data={"token": f"wrong-{number}"}, headers=wants_page)
        assert (last.status_code, "wait five minutes" in last.text, "<h1>" in last.text) == (429, True, True)


async def test_what_cannot_be_done_is_said_in_a_sentence() -> None:
    """A refusal is a 409, a wrong body a 422, a long one a 413; none repeats what was given."""
    async with page(TOKENS) as (http, _, _acts):
        over = await http.post("/api/v1/incidents/inc_over/acknowledge", json={}, headers=bearer(OPERATOR))
        assert (over.status_code, over.json()) == (409, {"error": "incident inc_over is over"})
        path = "/api/v1/incidents/inc_refunds/silence"
        wrong = await http.post(path, json={"minutes": OPERATOR, "reason": "x"}, headers=bearer(OPERATOR))
        assert wrong.status_code == 422
        assert "minutes" in wrong.json()["error"]
        assert OPERATOR not in wrong.text
        long = await http.post(path, content=b"x" * (LARGEST_BODY + 1), headers=bearer(OPERATOR))
        assert long.status_code == 413


async def test_a_foreign_host_name_is_refused_on_loopback() -> None:
    """A name of somebody else's that points to this machine (DNS rebinding) reaches nothing."""
    async with page() as (http, _, _acts):
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.nip.io", ""):
            assert (await http.get("/api/v1/overview", headers={"host": host})).status_code == 421
        for host in ("localhost:9460", "127.0.0.1", "[::1]:9460"):
            assert (await http.get("/api/v1/overview", headers={"host": host})).status_code == 200


async def test_a_session_is_opened_by_a_form_and_its_cookie_is_strict() -> None:
    """The token comes once, in a body; the cookie is for this site and no script; logging out ends it."""
    async with page(TOKENS) as (http, _, acts):
        assert (await http.get("/")).headers["location"] == "/login?next=/"
        refused = await http.post("/login", data={"token": "wrong-token-0123456789"})
        assert refused.headers["location"] == "/login?failed=true"
        assert "set-cookie" not in refused.headers
        done = await http.post("/login", data={"token": OPERATOR, "name": "ada", "next": "//evil.example"})
        assert done.headers["location"] == "/"
        cookie = done.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert OPERATOR not in cookie
        me = (await http.get("/api/v1/me")).json()
        assert (me["name"], me["role"]) == ("ada (shared token)", "operator")
        path = "/api/v1/incidents/inc_refunds/acknowledge"
        assert (await http.post(path, json={})).status_code == 403
        assert (await http.post(path, json={}, headers={"x-csrf-token": me["csrf"]})).status_code == 200
        assert acts.done[0][1] == "ada (shared token)"
        await http.post("/logout", data={"csrf": me["csrf"]})
        assert (await http.get("/api/v1/me")).status_code == 401


async def test_behind_a_proxy_with_tls_the_cookie_is_secure_and_hsts_is_set() -> None:
    """What a trusted proxy says of TLS is believed; what anyone else says is not."""
    environ = {**TOKENS, "MIDWATCH_DASHBOARD__PROXY_ADDRESSES": '["10.0.0.1"]'}
    forwarded = {"x-forwarded-proto": "https", "host": "midwatch.example.com"}
    async with page(environ, client="10.0.0.1") as (http, _, _acts):
        done = await http.post("/login", data={"token": OPERATOR}, headers=forwarded)
        assert "secure" in done.headers["set-cookie"].lower()
        assert "strict-transport-security" in done.headers
    async with page(environ, client="10.0.0.2") as (http, _, _acts):
        done = await http.post("/login", data={"token": OPERATOR}, headers={"x-forwarded-proto": "https"})
        assert "; secure" not in done.headers["set-cookie"].lower()


async def test_no_token_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Logins and acts are logged with who and what, never with a token, a cookie or a CSRF token."""
    with structlog.testing.capture_logs() as logs, caplog.at_level(logging.DEBUG):
        async with page(TOKENS) as (http, _, _acts):
            await http.post("/login", data={"token": "wrong-token-0123456789"})
            done = await http.post("/login", data={"token": OPERATOR, "name": "ada"})
            await http.get("/api/v1/me")
    said = json.dumps(logs, default=str) + caplog.text
    assert "login_refused" in said
    assert '"by": "ada (shared token)"' in said
    for secret in (OPERATOR, "wrong-token-0123456789", done.headers["set-cookie"].split("=")[1].split(";")[0]):
        assert secret not in said


async def test_the_api_describes_itself() -> None:
    """The OpenAPI document names every route of the API, and no page of HTML."""
    async with page() as (http, _, _acts):
        paths = (await http.get("/api/openapi.json")).json()["paths"]
    assert all(path.startswith("/api/v1/") for path in paths)
    assert {"/api/v1/overview", "/api/v1/stream", "/api/v1/incidents/{incident_id}/rollback"} <= set(paths)
