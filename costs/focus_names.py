"""Who provides and who makes a model, and what the service is called, as FOCUS rows name them."""

from __future__ import annotations

from typing import Final, NamedTuple

from costs.tags_policy import Billing

_PROVIDERS: Final = {
    "azure": ("Microsoft", "Azure OpenAI"),
    "azure.ai.openai": ("Microsoft", "Azure OpenAI"),
    "azure.ai.inference": ("Microsoft", "Azure AI Foundry Models"),
    "openai": ("OpenAI", "OpenAI API"),
    "anthropic": ("Anthropic", "Claude API"),
    "aws": ("AWS", "Amazon Bedrock"),
    "aws.bedrock": ("AWS", "Amazon Bedrock"),
    "google": ("Google", "Gemini API"),
    "gcp.vertex_ai": ("Google", "Vertex AI"),
    "mistral": ("Mistral AI", "Mistral API"),
}
"""Provider and service by the provider's name in an event."""

_MAKERS: Final = (
    (("gpt-", "o1", "o3", "o4", "text-embedding-", "chatgpt-"), "OpenAI"),
    (("claude-",), "Anthropic"),
    (("gemini-", "gemma-"), "Google"),
    (("llama-", "meta-llama"), "Meta"),
    (("mistral-", "mixtral-", "codestral-", "ministral-"), "Mistral AI"),
    (("deepseek-",), "DeepSeek"),
    (("phi-",), "Microsoft"),
)

OTHER_SERVICE: Final = "Language Models"
NOBODY: Final = "Midwatch"
"""Stands for a provider that neither event nor policy nor the model's name tells."""


class Parties(NamedTuple):
    """Who stands behind a row, by FOCUS's columns."""

    provider: str
    publisher: str
    issuer: str
    service: str


def publisher_of(model: str) -> str | None:
    """Who makes a model, by the start of its name; None if that tells nothing."""
    word = model.casefold()
    return next((maker for starts, maker in _MAKERS if word.startswith(starts)), None)


def parties_of(provider: str, model: str, billing: Billing) -> Parties:
    """Who stands behind a model call; `provider` is what the event says (empty: nothing).

    The provider sends the invoice itself, unless the policy names another issuer. Whoever sends the invoice is the
    provider to those who get it (FOCUS: what others are paid for has a BilledCost of 0), and the model's provider is
    the publisher then.
    """
    maker = publisher_of(model)
    given = provider or billing.provider or ""
    name, service = _PROVIDERS.get(given.casefold(), (given or maker or NOBODY, OTHER_SERVICE))
    if billing.issuer is not None:
        return Parties(billing.issuer, name, billing.issuer, service)
    return Parties(name, maker or name, name, service)
