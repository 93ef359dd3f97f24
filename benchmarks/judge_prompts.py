"""Prompts without the defence, or with a part of it: what the judge's own is measured against."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evaluation.criteria import Criterion
from evaluation.prompt import TEMPLATE, Prompt, describe
from schemas.events import Interaction


def undefended(interaction: Interaction, criteria: Sequence[Criterion], _boundary: str, _limit: int) -> Prompt:
    """The usual naive prompt: the texts as they are, under headings, after the criteria in the same message."""
    texts = _texts(interaction)
    body = "\n\n".join(f"## {name}\n{text}" for name, text in texts.items())
    return Prompt("You judge AI agents.", "\n".join(map(describe, criteria)) + f"\n\n{body}")


def fenced_only(interaction: Interaction, criteria: Sequence[Criterion], boundary: str, _limit: int) -> Prompt:
    """The judge's own prompt, but with the texts uncleaned in their JSON strings."""
    system = TEMPLATE.format(criteria="\n".join(map(describe, criteria)), boundary=boundary)
    steps = [f"{step.operation} {step.name}: {step.status}" for step in interaction.steps or ()]
    record = {"outcome": interaction.outcome, "steps": steps, **_texts(interaction)}
    return Prompt(system, f"{boundary}\n{json.dumps(record, ensure_ascii=False)}\n{boundary}")


def _texts(interaction: Interaction) -> dict[str, str]:
    texts = {"request": interaction.request, "response": interaction.response, "context": interaction.context}
    return {name: text for name, text in texts.items() if text}
