"""The policy file: TOML in, a checked policy out, every problem at once."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from costs.tags_policy import Policy
from stream.settings_problems import Problem, find_problems


class PolicyError(ValueError):
    """A policy that cannot be used; the message has a line for each reason."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{count} in the policy {path}", *(f"  {one}" for one in problems)]))


def load_policy(path: Path | None) -> Policy:
    """The policy of a file; the four chargeback tags required and nothing else if there is none. Raises PolicyError."""
    if path is None:
        return Policy()
    try:
        data = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise PolicyError(path, [Problem("", f"the file cannot be read: {error.strerror or error}")]) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyError(path, [Problem("", f"the file is not valid TOML: {error}")]) from None
    problems = find_problems(Policy, data, {})
    if problems:
        raise PolicyError(path, problems)
    return Policy.model_validate_json(json.dumps(data, default=str))
