"""Who provides and who makes a model, and what the service is called, as FOCUS rows name them."""

from __future__ import annotations

from typing import Final

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


def publisher_of(model: str) -> str | None:
    """Who makes a model, by the start of its name; None if that tells nothing."""
    word = model.casefold()
    return next((maker for starts, maker in _MAKERS if word.startswith(starts)), None)


def provider_of(provider: str, model: str, fallback: str | None, issuer: str) -> tuple[str, str, str]:
    """Provider, publisher and service of a model call.

    `provider` is what the event says (empty: nothing); then `fallback` counts, then the model's maker, then `issuer`.
    """
    maker = publisher_of(model)
    name, service = _PROVIDERS.get(provider.casefold(), (provider or fallback or maker or issuer, OTHER_SERVICE))
    return name, maker or name, service
