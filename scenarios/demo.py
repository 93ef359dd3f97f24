"""`midwatch demo`: the whole engine on an embedded Kafka and Redis, a simulated fleet, labelled incidents, verdicts.

The engine runs as it would in production, as `midwatch run` in a process of its own. It reads a day of ordinary
telemetry first; then the live phase is played in fast motion, and what Midwatch says is held against what happened.
Event time is the only clock that counts, so the same seed tells the same story.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass

from rich.console import Console

from scenarios.demo_engine import EngineError
from scenarios.demo_judge import judge
from scenarios.demo_page import shown_problem
from scenarios.demo_print import make_console, print_story, print_table, say
from scenarios.demo_stage import Plan, Stage, open_stage
from scenarios.fleet import Fleet
from scenarios.incidents import Incident, happenings, incidents
from stream.settings_judge import JudgeSettings

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How to run: `headless` ends after the scenario; `speed` is event time to real time in the live phase.

    `own_judge` scores instead of the scripted one; no two runs need to be alike then.
    """

    headless: bool = False
    speed: float = 300.0
    seed: int = 1
    own_judge: JudgeSettings | None = None


async def run_demo(options: DemoOptions, console: Console | None = None) -> int:
    """Run the demonstration. Returns 0 if every verdict is right, 1 if not, 130 if it was interrupted before the end.

    Raises ValueError for options that make no sense, RuntimeError where an embedded server does not start.
    """
    if not options.speed > 0:
        raise ValueError(f"speed must be above 0, not {options.speed}")
    console = make_console() if console is None else console
    _cancel_on_sigterm()
    try:
        return await _run(options, console)
    except EngineError as error:
        say(console, str(error))
        return 1
    except asyncio.CancelledError:
        say(console, "Interrupted. Everything that was started is ended.")
        return INTERRUPTED


async def _run(options: DemoOptions, console: Console) -> int:
    plan = Plan()
    labelled = incidents(plan.live_start_ms)
    fleet = Fleet(options.seed, happenings=happenings(plan.live_start_ms), with_scores=False)
    print_story(console, labelled)
    async with open_stage(fleet, console, plan, options.own_judge) as stage:
        await stage.run(stage.catch_up())
        await stage.run(stage.play(fleet, options.speed))
        problem = await shown_problem(stage.page, stage.listener.verdicts)
        code = _report(stage, labelled, problem)
        if not options.headless:
            say(
                console, f"Kafka stays at {stage.bootstrap}; the verdicts are in midwatch.verdicts. Ctrl-C ends it all."
            )
            say(console, f"The on-call page stays at {stage.page}")
            with suppress(asyncio.CancelledError):
                await stage.run(asyncio.sleep(float("inf")))
        return code


def _report(stage: Stage, labelled: tuple[Incident, ...], page_problem: str | None) -> int:
    """Print the table of expected and found. Returns 0 if all is right, else 1."""
    judgements = judge(labelled, stage.listener.verdicts, stage.listener.firings)
    print_table(stage.console, judgements)
    letters = stage.listener.dead_letters
    if letters:
        say(stage.console, f"{len(letters)} dead letters; the first: {letters[0].reason}, {letters[0].detail}")
    wrong = sum(bool(judgement.problems) for judgement in judgements)
    right = len(judgements) - wrong
    stage.console.print(f"{right} of {len(judgements)} right.", style="bold red" if wrong else "bold green")
    if page_problem is not None:
        say(stage.console, f"The on-call page is wrong: {page_problem}")
    return 1 if wrong or letters or page_problem is not None else 0


def _cancel_on_sigterm() -> None:
    """End as after Ctrl-C when asked to by a supervisor."""
    task = asyncio.current_task()
    if task is not None:
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
