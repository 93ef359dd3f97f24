"""Azure's LLM inference traces as Midwatch usage events: one hour of production requests of two services.

Source: `AzureLLMInferenceTrace_conv.csv` and `AzureLLMInferenceTrace_code.csv` of Azure/AzurePublicDataset (CC-BY-4.0).
Each row is one request with its prompt and generated tokens, which become `input_tokens` and `output_tokens` as they
are. The time is the row's, in UTC, cut from 7 digits of a second to milliseconds. The trace does not name the model:
`ASSUMED_MODEL` stands for it, so a cost made from these events is what this traffic would cost on that model.

Command line: `python -m scenarios.azure_trace FILE... > events.jsonl`.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from schemas.base import JsonObject
from schemas.canonical import canonical_json

ASSUMED_MODEL = "gpt-4o"
COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?")


def usage_events(path: Path, model: str = ASSUMED_MODEL) -> Iterator[JsonObject]:
    """One valid `usage` event for each row, in the file's order.

    The service is the last word of the file's name (`conv`, `code`) and names the system and the ids. Raises
    ValueError with the file and line of a missing column, a bad time or a bad count.
    """
    service = path.stem.rsplit("_", 1)[-1].lower()
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}: no column {', '.join(missing)}; expected {', '.join(COLUMNS)}")
        for number, row in enumerate(reader, start=1):
            try:
                yield _event(service, number, row, model)
            except ValueError as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def milliseconds_time(timestamp: str) -> str:
    """RFC 3339 in UTC with milliseconds, from `YYYY-MM-DD HH:MM:SS` with up to 7 digits behind the point, cut."""
    match = _TIMESTAMP.fullmatch(timestamp)
    if match is None:
        raise ValueError(f"{timestamp!r} is no time of the form 2023-11-16 18:17:03.9799600")
    day, clock, fraction = match.groups()
    return f"{day}T{clock}.{(fraction or '')[:3]:0<3}Z"


def _event(service: str, number: int, row: Mapping[str, str | None], model: str) -> JsonObject:
    return {
        "type": "usage",
        "id": f"azure-{service}-{number:06d}",
        "time": milliseconds_time(row["TIMESTAMP"] or ""),
        "environment": "production",
        "system": f"azure-llm-{service}",
        "flow": service,
        "model": model,
        "provider": "azure",
        "pricing": "payg",
        "input_tokens": _count(row, "ContextTokens"),
        "output_tokens": _count(row, "GeneratedTokens"),
    }


def _count(row: Mapping[str, str | None], column: str) -> int:
    text = row[column]
    if text is None or not text.isascii() or not text.isdigit():
        raise ValueError(f"{column} must be a whole number of tokens, not {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the events of all files, one JSON object a line. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scenarios.azure_trace", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("files", type=Path, nargs="+", help="AzureLLMInferenceTrace_conv.csv, ..._code.csv")
    parser.add_argument("--model", default=ASSUMED_MODEL, help="model to assume (the trace names none)")
    options = parser.parse_args(arguments)
    try:
        for path in options.files:
            for event in usage_events(path, options.model):
                sys.stdout.buffer.write(canonical_json(event) + b"\n")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
