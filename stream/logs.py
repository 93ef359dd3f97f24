"""Structured logs on standard error: one JSON object a line, bounded, without secrets.

Records of the libraries' own loggers go through the same chain. Values under secret-like keys are replaced, the known
secrets (those of the settings) wherever they occur, and nothing is longer than a stated cap.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TextIO

import structlog
from pydantic import BaseModel, SecretStr

from stream.redact import redact_text
from stream.settings_schema import model_of
from stream.settings_sections import LogSettings

SECRET_KEY = re.compile(
    r"passw|secret|token(?!s\b|_count|_total)|authorization$|api_?key|cookie|credential|private_?key", re.IGNORECASE
)
REDACTED = "[redacted]"
MAX_TEXT = 2048
MAX_SCANNED = 16_384
MAX_ITEMS = 50
MAX_DEPTH = 4
FOREIGN_KEYS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY")
"""Variables of the environment that are read beside the settings: their values are secrets too."""

MIN_SECRET = 4
"""Secrets shorter than this are not searched for in texts: they would blot out ordinary words."""

OWN_WORDS = frozenset(
    {
        "address",
        "event",
        "host",
        "level",
        "logger",
        "partition",
        "shard",
        "timestamp",
        "topic",
        "url",
        "version",
        "worker",
    }
)
"""Keys whose values are the engine's own words or the operator's, not telemetry: they are not searched for personal
data, which would hide the brokers' addresses."""

QUIET_LIBRARIES = ("aiokafka", "aiohttp", "asyncio", "faust", "httpx", "openai")
"""Their debug and info records are of no use to the operator of an engine."""


class Redactor:
    """Makes a log value safe: bounded in length, items and depth, and free of secrets."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= MIN_SECRET}, key=lambda one: (-len(one), one))
        self._secrets = re.compile("|".join(re.escape(secret) for secret in known)) if known else None

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """The structlog processor."""
        return {key: self.value(key, value, MAX_DEPTH) for key, value in event.items()}

    def value(self, key: str, value: Any, depth: int) -> Any:
        """One value under its key."""
        if isinstance(value, SecretStr) or (SECRET_KEY.search(key) and not isinstance(value, bool | int | float)):
            return REDACTED
        if value is None or isinstance(value, bool | int | float):
            return value
        if depth == 0:
            return self._text(key, repr(value))
        if isinstance(value, Mapping):
            items = list(value.items())[:MAX_ITEMS]
            return {self._text("", str(name)): self.value(str(name), item, depth - 1) for name, item in items}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value("", item, depth - 1) for item in list(value)[:MAX_ITEMS]]
        return self._text(key, value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))

    def _text(self, key: str, text: str) -> str:
        # Secrets go first: cutting first could leave the half of one at the end.
        clean = self._secrets.sub(REDACTED, text) if self._secrets is not None else text
        clean = clean if key in OWN_WORDS else redact_text(clean[:MAX_SCANNED])
        return clean if len(clean) <= MAX_TEXT else f"{clean[:MAX_TEXT]}... ({len(clean)} characters)"


def secret_values(settings: BaseModel) -> tuple[str, ...]:
    """Every secret that a tree of settings holds."""
    found: list[str] = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found.append(value.get_secret_value())
        elif model_of(field.annotation) is not None and isinstance(value, BaseModel):
            found.extend(secret_values(value))
    return tuple(found)


def configure_logs(settings: LogSettings, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Set the process's logs up, structlog's and the standard library's alike. May be called again."""
    known = [*secrets, *(os.environ[name] for name in FOREIGN_KEYS if name in os.environ)]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        Redactor(known),
    ]
    json_lines = settings.format == "json"
    renderer = structlog.processors.JSONRenderer(sort_keys=True) if json_lines else structlog.dev.ConsoleRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    for library in QUIET_LIBRARIES:
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
