"""The judge in a few facts: which model, how it scores, and what it has spent of today's budgets."""

from __future__ import annotations

from typing import Final, Protocol

from evaluation.batch_store import PURSE as BATCH_PURSE
from evaluation.pacing import Spent
from evaluation.scoring import SCRIPTED_PREFIX
from schemas.series import MICRO_USD
from stream.settings import Settings
from stream.settings_judge import JudgeSettings

_BESIDE: Final = {"scripted": "scripted: rules, no model's opinion"}


class Purses(Protocol):
    """What is spent of a daily budget: see `evaluation.budget.PlaneStore`."""

    async def spent(self, purse: str, day: int) -> Spent | None:
        """What a purse has spent on a day (counted from 1970); None if Redis is away."""


def is_scripted(judge: JudgeSettings) -> bool:
    """Whether scores come from rules: here, or in a server that says so in its model's name."""
    return judge.provider == "scripted" or judge.model.startswith(SCRIPTED_PREFIX)


async def judge_facts(
    settings: Settings, purses: Purses, method: str | None, model: str | None, day: int
) -> tuple[tuple[str, str], ...]:
    """Names and values. `method` and `model` are what the newest scores say of their judge."""
    judge, sampling = settings.judge, settings.sampling
    configured = "none, rules" if is_scripted(judge) else f"{judge.model} ({judge.provider})"
    facts = [
        ("Judge of this configuration", configured),
        ("Model, say the newest scores", model or "no score seen yet"),
        ("Method, say the newest scores", _BESIDE.get(method or "", method) or "no score seen yet"),
    ]
    limits = (
        ("Sampled traffic", "sample", sampling.tokens_per_day, sampling.usd_per_day, False),
        ("Bursts about incidents", "burst", sampling.burst_tokens_per_day, sampling.burst_usd_per_day, False),
        ("Nightly batches", BATCH_PURSE, sampling.batch_tokens_per_day, sampling.batch_usd_per_day, True),
    )
    for name, purse, tokens, usd, rare in limits:
        spent = await purses.spent(purse, day)
        if spent is None or spent != Spent() or not rare:
            facts.append((f"{name}, today (UTC)", told(spent, tokens, usd)))
    return tuple(facts)


def told(spent: Spent | None, tokens: int | None, usd: float | None) -> str:
    """What is spent or reserved of a day's budget, in words."""
    if spent is None:
        return "unknown: Redis does not answer"
    of_tokens = f"{spent.tokens:,} tokens" if tokens is None else f"{spent.tokens:,} of {tokens:,} tokens"
    dollars = spent.micro_usd / MICRO_USD
    of_usd = f"${dollars:,.2f}" if usd is None else f"${dollars:,.2f} of ${usd:,.2f}"
    shares = [spent.tokens / tokens if tokens else 0.0, dollars / usd if usd else 0.0]
    used = f", {max(shares) * 100:.0f}\u00a0% used" if tokens is not None or usd is not None else ""
    return f"{of_tokens}, {of_usd}{used}"
