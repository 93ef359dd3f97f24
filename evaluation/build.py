"""From a configuration to a judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import openai

from evaluation.bounded import bounded_client
from evaluation.calls import Caller, ChatCaller, ResponsesCaller
from evaluation.judgement import Judge
from evaluation.judging import ModelJudge
from evaluation.retrying import FIRST_SECONDS
from evaluation.scripted import ScriptedJudge
from stream.settings import Settings
from stream.settings_judge import JudgeSettings

OPENAI_URL: Final = "https://api.openai.com/v1"
NO_KEY: Final = "none"
"""What is sent as key where a server wants none: the client insists on something."""


class JudgeConfigError(ValueError):
    """The judge cannot be built from this configuration; says what is missing and where to give it."""


def build_judge(settings: Settings, environ: Mapping[str, str], first_pause_seconds: float = FIRST_SECONDS) -> Judge:
    """The judge that `[judge]` describes. Raises `JudgeConfigError`."""
    section = settings.judge
    if section.provider == "scripted":
        return ScriptedJudge()
    client = make_client(section, environ, section.max_answer_bytes)
    return ModelJudge(_caller(section, client), section, client.close, first_pause_seconds=first_pause_seconds)


def _caller(section: JudgeSettings, client: openai.AsyncOpenAI) -> Caller:
    made = ResponsesCaller if section.api == "responses" else ChatCaller
    return made(client, section.model, section.max_output_tokens, section.temperature)


def make_client(section: JudgeSettings, environ: Mapping[str, str], most_bytes: int) -> openai.AsyncOpenAI:
    """The client, without retries of its own: how often and how long is ours to say. Raises `JudgeConfigError`.

    `most_bytes` is the longest answer that it reads.
    """
    bounds: dict[str, Any] = {"timeout": section.timeout_seconds, "max_retries": 0}
    if section.provider == "azure":
        return openai.AsyncAzureOpenAI(
            azure_endpoint=section.base_url or "",
            api_key=_key(section, environ, "AZURE_OPENAI_API_KEY"),
            api_version=section.api_version,
            http_client=bounded_client(most_bytes, section.timeout_seconds),
            **bounds,
        )
    # The address is always given: the client would else take OPENAI_BASE_URL, and text would go where no setting says.
    address = section.base_url or OPENAI_URL
    if urlsplit(address).hostname == urlsplit(OPENAI_URL).hostname:
        key = _key(section, environ, "OPENAI_API_KEY")
    else:
        # OpenAI's key is not for others' servers.
        key = section.api_key.get_secret_value() if section.api_key else NO_KEY
    http = bounded_client(most_bytes, section.timeout_seconds)
    return openai.AsyncOpenAI(base_url=address, api_key=key, http_client=http, **bounds)


def _key(section: JudgeSettings, environ: Mapping[str, str], variable: str) -> str:
    if section.api_key is not None:
        return section.api_key.get_secret_value()
    if environ.get(variable):
        return environ[variable]
    raise JudgeConfigError(
        f"the judge has no key: set MIDWATCH_JUDGE__API_KEY or {variable}, or point api_key_file in [judge] to it; "
        'judge.base_url names another server, and judge.provider = "scripted" needs none'
    )
