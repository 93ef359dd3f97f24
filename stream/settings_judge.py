"""The section of the judge: which model scores interactions, over which API, within which bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, TypeAdapter, ValidationError, model_validator

from stream.settings_problems import Problem
from stream.settings_sampling import SamplingSettings
from stream.settings_sections import Seconds, Section

CriterionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class JudgeSettings(Section):
    """The model that scores interactions."""

    provider: Literal["openai", "azure", "scripted"] = Field(
        "openai",
        description="openai (or any server that speaks its API), azure, or scripted: rules, no model, for a demo.",
    )
    base_url: str | None = Field(
        None, description="Address of the API; OpenAI's own if not given. For azure the resource's endpoint."
    )
    model: str = Field(
        "gpt-4.1-mini",
        min_length=1,
        max_length=256,
        description="Model, or deployment for azure. Another family than that of the judged agents is fairer.",
    )
    api: Literal["responses", "chat"] = Field(
        "chat", description="chat: Chat Completions, which most compatible servers speak. responses: the Responses API."
    )
    api_version: str = Field("2025-04-01-preview", min_length=1, description="API version, for azure.")
    api_key: SecretStr | None = Field(
        None,
        description="Key. Else OPENAI_API_KEY, for OpenAI's own address alone, or AZURE_OPENAI_API_KEY is taken.",
    )
    api_key_file: Path | None = Field(None, description="File that holds the key.")
    criteria: tuple[CriterionName, ...] = Field((), description="Criteria to judge by; all if none is named.")
    criteria_file: Path | None = Field(
        None, description="TOML file of criteria of your own; the three shipped ones are there without it."
    )
    logprobs: bool = Field(
        default=True, description="Ask for log-probabilities; where there are none, the mean of samples is taken."
    )
    samples: int = Field(3, ge=1, le=20, description="Answers to take the mean of without log-probabilities.")
    temperature: float | None = Field(
        None, ge=0, le=2, description="Temperature to send; not sent if not given, as some models refuse it."
    )
    max_output_tokens: int = Field(1500, ge=64, le=100_000, description="Longest answer, thinking included.")
    timeout_seconds: Seconds = Field(25.0, description="Longest wait for one answer.")
    total_seconds: Seconds = Field(
        55.0, description="Longest time for one interaction, with all retries; below sampling.judge_seconds."
    )
    attempts: int = Field(4, ge=1, le=10, description="Times that one call is made, with growing pauses in between.")
    max_answer_bytes: int = Field(
        8_000_000, ge=65_536, le=100_000_000, description="Longest answer that is read; what is longer has no score."
    )
    circuit_failures: int = Field(
        10, ge=1, le=1000, description="Calls in a row without an answer after which the judge counts as down."
    )
    circuit_seconds: Seconds = Field(
        30.0, description="How long a judge that is down is not asked; it doubles up to 16 times while it stays down."
    )
    concurrency: int = Field(8, ge=1, le=256, description="Calls at the same time.")
    max_text_chars: int = Field(
        12_000, ge=500, le=65_536, description="Longest request, response or context; its middle is left out beyond."
    )
    anchor_minutes: float = Field(
        240.0, ge=0, le=10_080, description="Minutes between two rounds of anchors, which measure the judge; 0: none."
    )

    @model_validator(mode="after")
    def _reachable(self) -> JudgeSettings:
        if self.provider == "azure" and self.base_url is None:
            raise ValueError("provider azure needs base_url, the endpoint of the resource")
        if self.base_url is not None:
            address = urlsplit(self.base_url)
            if address.scheme not in {"http", "https"} or not address.hostname:
                raise ValueError("base_url must be an address that starts with http:// or https://")
            if address.username is not None:
                raise ValueError("base_url holds a name or password: take it out and give the key as api_key_file")
        if self.total_seconds < self.timeout_seconds:
            raise ValueError("total_seconds must not be below timeout_seconds")
        return self


def judge_problems(data: Mapping[str, Any], variables: Mapping[tuple[str, ...], str]) -> Iterator[Problem]:
    """What is wrong between `[judge]` and `[sampling]`, though each alone is right."""
    seconds = TypeAdapter(Seconds)
    try:
        judge, sampling = (
            seconds.validate_python(data.get(section, {}).get(key, model.model_fields[key].default), strict=False)
            for section, key, model in (
                ("judge", "total_seconds", JudgeSettings),
                ("sampling", "judge_seconds", SamplingSettings),
            )
        )
    except (ValidationError, AttributeError):
        return  # What is wrong with one of them is a problem of its own.
    if judge >= sampling:
        yield Problem(
            variables.get(("judge", "total_seconds"), "judge.total_seconds"),
            f"must be below sampling.judge_seconds: {judge:g} s for the calls of one interaction are not within the "
            f"{sampling:g} s after which it is given up, and what the calls cost would be lost",
        )
