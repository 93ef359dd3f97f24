"""A batch in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from evaluation.batch_provider import Progress
from evaluation.batch_store import Batch


def batch_json(batch: Batch, progress: Progress | None) -> dict[str, Any]:
    """A batch as one JSON object."""
    return {
        "batch": batch.name,
        "state": batch.state,
        "provider_id": batch.provider_id,
        "provider_status": progress.status if progress else None,
        "begun_at": _moment(batch.created),
        "model": batch.plan.get("model"),
        "interactions": batch.interactions,
        "reserved_tokens": batch.reserved.tokens,
        "reserved_usd": batch.reserved.micro_usd / 1e6,
        "result": dict(batch.result),
    }


def batch_lines(batch: Batch, progress: Progress | None) -> Iterator[str]:
    """A batch in words."""
    where = f", {progress.status} at the provider ({progress.done} done)" if progress and batch.open else ""
    yield (
        f"{batch.name}  {batch.state}{where}  {batch.interactions:,} interactions by {batch.plan.get('model')}, "
        f"begun {_moment(batch.created)}"
    )
    result = batch.result
    if "why" in result:
        yield f"  {result['why']}"
    if "status" not in result:
        return
    yield f"  scores   {_counts(result['scores']) or 'none'}  (by {_counts(result['methods']) or 'no method'})"
    if result["no_data"]:
        yield f"  no score {_counts(result['no_data'])}  ({result['given_back']} interactions may be judged again)"
    if result["codes"]:
        yield f"  errors   {_counts(result['codes'])}"
    if result["codes"].get("logprobs_refused"):
        yield "  the model refuses log-probabilities: set judge.logprobs = false, and submit again"
    if result["missing"] or result["odd_lines"]:
        yield f"  missing  {result['missing']:,} requests; lines of no use: {_counts(result['odd_lines']) or 'none'}"
    yield f"  took     {result['tokens']:,} tokens, ${result['micro_usd'] / 1e6:.4f}"
    yield from _anchors(result["anchors"])


def _anchors(told: Mapping[str, Any]) -> Iterator[str]:
    if not told["scored"]:
        yield "  anchors  none was scored"
        return
    errors = ", ".join(f"{name} {error:.2f}" for name, error in told["error"].items())
    yield f"  anchors  points from the known scores: {errors}"
    for name in told["changed"]:
        yield (
            f"  THE JUDGE CHANGED: it scores {name} {told['shift'][name]:+.2f} points from its reference; a shift "
            "of the fleet's scores may be the judge's"
        )


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in found.items())


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
