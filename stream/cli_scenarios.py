"""`midwatch scenarios`: labelled stories through the heart, as documentation that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli_base import FAILED, USAGE, JsonOption, complain, failures, say, say_json

if TYPE_CHECKING:
    from scenarios.stories.files import Entry
    from scenarios.stories.run import Run

scenarios_app = typer.Typer(
    no_args_is_help=True, help="Labelled stories of incidents and quiet nights, played through the engine's heart."
)


@scenarios_app.command("list")
def list_scenarios(as_json: JsonOption = False) -> None:
    """Show all scenarios, by group, with their first sentence."""
    from scenarios.stories.show import make_console, show_list

    entries = _choose([])
    if as_json:
        say_json(
            [{"name": one.name, "group": one.group, "story": " ".join(one.story.story.split())} for one in entries]
        )
    else:
        show_list(make_console(), entries)


@scenarios_app.command("run")
def run_scenarios(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Names from the list, or .toml files; all if none.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Play scenarios and judge what is said. One tells its story minute by minute; all, one line each."""
    from scenarios.stories.judge import judge
    from scenarios.stories.show import make_console, show_line, show_story, to_json

    entries = _choose(names or [])
    console = make_console()
    width = max(len(entry.name) for entry in entries)
    results, failed = [], 0
    with failures(ValueError):
        for number, entry in enumerate(entries):
            run = _run(entry)
            marks = judge(run)
            failed += any(not mark.met for mark in marks)
            if as_json:
                results.append(to_json(run, marks))
            elif names:
                if number:
                    console.rule(style="dim")
                show_story(console, run, marks)
            else:
                show_line(console, entry, marks, width)
    if as_json:
        say_json({"scenarios": results, "passed": len(entries) - failed, "failed": failed})
    elif len(entries) > 1:
        say(f"{len(entries)} scenarios, {f'{failed} of them not' if failed else 'all'} as expected")
    if failed:
        raise typer.Exit(FAILED)


def _run(entry: Entry) -> Run:
    """The story, played; or the end of the command: exit 2, for one that contradicts itself."""
    from scenarios.stories.files import StoryError
    from scenarios.stories.run import run_story

    try:
        return run_story(entry)
    except StoryError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None


def _choose(names: list[str]) -> list[Entry]:
    """The chosen scenarios, or the end of the command: exit 2, for a wrong name or a file that is no scenario."""
    from scenarios.stories.files import UnknownStoryError, choose

    try:
        return choose(names)
    except (UnknownStoryError, ValueError, OSError) as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
