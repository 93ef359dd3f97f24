"""Commands of the evaluation plane: run."""

from __future__ import annotations

import os
from importlib import import_module

import typer

from stream.cli_base import USAGE, ConfigOption, complain, settings_of

evaluate_app = typer.Typer(no_args_is_help=True, help="Judge a sample of the interactions.")


@evaluate_app.command("run")
def run(config: ConfigOption = None) -> None:
    """Judge a sample of the interactions on Kafka, and publish their scores."""
    from evaluation.agent import run_plane
    from evaluation.criteria import CriteriaError, load_criteria

    settings = settings_of(config)
    try:
        criteria = load_criteria(None)
        judge = import_module("evaluation.build").build_judge(settings, os.environ)
    except (CriteriaError, ValueError) as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    raise typer.Exit(run_plane(settings, judge, criteria))
