"""What all commands share: options, errors, output."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.unreachable import unreachable

if TYPE_CHECKING:
    from stream.settings import Settings

USAGE = 2
"""Exit code for a wrong command line or configuration."""

FAILED = 1
"""Exit code for a command that could not do its work, or whose answer is no."""

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="MIDWATCH_CONFIG", metavar="FILE", help="TOML file; defaults if not given."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def quiet_libraries() -> None:
    """Keep the clients' own log lines off the terminal: what matters of them is in the errors they raise."""
    logging.getLogger().addHandler(logging.NullHandler())


def settings_of(config: Path | None) -> Settings:
    """The settings of a command, or the end of it: every problem on standard error, exit code 2."""
    from stream.settings import SettingsError, load_settings

    try:
        return load_settings(config, os.environ)
    except SettingsError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None


@contextmanager
def failures(*kinds: type[Exception]) -> Iterator[None]:
    """Turn expected failures into a sentence on standard error and exit code 1; anything else is a bug and shows."""
    expected: tuple[type[Exception], ...] = (OSError, *kinds)
    try:
        yield
    except BrokenPipeError:
        # The reader of our output (`head`, say) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except expected as error:
        found = unreachable(error)
        complain(f"{found[0]}: {found[1]}; `midwatch doctor` looks closer" if found else _words(error))
        raise typer.Exit(FAILED) from None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def complain(text: str) -> None:
    """A message about what is wrong, on standard error."""
    typer.echo(f"midwatch: {text}", err=True)


def say(text: str, *, err: bool = False) -> None:
    """A line of the result, on standard output."""
    typer.echo(text, err=err)


def say_json(value: Any, *, err: bool = False) -> None:
    """A result as one line of JSON."""
    typer.echo(json.dumps(value, sort_keys=True, ensure_ascii=False), err=err)
