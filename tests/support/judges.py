"""Judges that ask the scripted server through the real client, and interactions for them to judge."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from evaluation.build import build_judge
from evaluation.judging import ModelJudge
from evaluation.scripted_server import ScriptedServer
from schemas.events import Interaction
from stream.settings import Settings, load_settings


def talk(**fields: Any) -> Interaction:
    """An interaction with something to judge."""
    plain = {
        "id": "i-1",
        "time": "2026-03-01T12:00:00Z",
        "environment": "production",
        "system": "refunds",
        "flow": "refund",
        "outcome": "resolved",
        "request": "Where is my refund?",
        "response": "Thank you for waiting. Your refund was issued.",
        **fields,
    }
    return Interaction.model_validate_json(json.dumps(plain))


def settings_at(server: ScriptedServer, **judge: Any) -> Settings:
    """Settings whose judge is the scripted server."""
    path = "" if judge.get("provider") == "azure" else "/v1"
    bounds = {"timeout_seconds": 5, "total_seconds": 20}
    plain = {"base_url": f"{server.url}{path}", "api_key": "test-key", **bounds, **judge}
    return load_settings(None, {f"MIDWATCH_JUDGE__{key.upper()}": str(value) for key, value in plain.items()})


@asynccontextmanager
async def judge_at(server: ScriptedServer, **judge: Any) -> AsyncIterator[ModelJudge]:
    """A judge that asks the server, with short pauses between attempts."""
    made = build_judge(settings_at(server, **judge), {}, first_pause_seconds=0.001)
    assert isinstance(made, ModelJudge)
    try:
        yield made
    finally:
        await made.aclose()
