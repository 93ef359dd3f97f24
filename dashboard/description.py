"""The words of the API's OpenAPI document that FastAPI cannot know: how it refuses, and how a caller proves a name."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import PlainTextResponse

from dashboard.auth import COOKIE

Responses = dict[int | str, dict[str, Any]]


class Problem(BaseModel):
    """Why a request was refused, in a sentence."""

    error: str


class Csv(PlainTextResponse):
    """A table."""

    media_type = "text/csv"


class Markdown(PlainTextResponse):
    """A copy for a chat or a ticket."""

    media_type = "text/markdown"


def _refusals(texts: dict[int, str]) -> Responses:
    # The schema stands in each place: FastAPI puts a `model` under the media type of what goes well, such as text/csv.
    said = {"application/json": {"schema": Problem.model_json_schema()}}
    return {code: {"description": text, "content": said} for code, text in texts.items()}


ALWAYS: Final = _refusals(
    {
        401: "Nobody that is known asks.",
        403: "Whoever asks may look, not act; or the act is forged.",
        421: "The page is not served under this host name.",
        422: "What was given does not fit.",
        429: "Too many wrong tokens came from this address.",
    }
)
INCIDENT: Final = _refusals({404: "No such incident is known."})
ACT: Final = _refusals(
    {
        400: "The body is no JSON text.",
        408: "The body did not come.",
        409: "It cannot be done now.",
        413: "The body is too long.",
    }
)
STREAM: Final = _refusals({503: "Too many viewers are live already."})


def describe_security(app: FastAPI) -> None:
    """Make the document say how a caller proves a name."""
    plain = app.openapi

    def document() -> dict[str, Any]:
        made = plain()
        made["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
        made["security"] = [{"bearer": []}, {"session": []}]
        return made

    app.openapi = document  # type: ignore[method-assign]
