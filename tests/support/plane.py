"""The evaluation plane as a process of its own, with a judge that a test decides.

`python -m tests.support.plane CONFIG LOG MODE` runs the plane of `midwatch evaluate run`. The judge writes each
interaction that it is asked about to LOG, one id a line. MODE is `steady` (4 for all), `strict` (2 for what was
escalated), `hang` (never ends), or `stubborn` (never ends, and swallows being cancelled).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from evaluation.criteria import Criterion, load_criteria
from evaluation.judgement import Judgement
from schemas.events import Interaction
from stream.settings import load_settings

ROOT = Path(__file__).parents[2]
CRITERION = "escalation_appropriateness"


class FileJudge:
    """Scores by its mode."""

    def __init__(self, log: Path, mode: str) -> None:
        self._log = log
        self._mode = mode

    async def judge(self, interaction: Interaction, criteria: Sequence[Criterion]) -> list[Judgement]:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(interaction.id + "\n")
        while self._mode in {"hang", "stubborn"}:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if self._mode == "hang":
                    raise
        await asyncio.sleep(0.01)
        score = 2.0 if self._mode == "strict" and interaction.outcome == "escalated" else 4.0
        return [
            Judgement(interaction.id, c.name, "scored", score, "As told.", None, "scripted", "v1", "scripted", 100, 10)
            for c in criteria
        ]

    async def aclose(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def plane(config: Path, judged: Path, mode: str = "steady") -> AsyncIterator[asyncio.subprocess.Process]:
    """The plane's process; ended with SIGTERM, its log kept beside the configuration.

    It runs in an empty folder, and leaves nothing in it.
    """
    name = f"plane-{os.urandom(4).hex()}"
    log, home = config.with_name(f"{name}.log"), config.with_name(name)
    home.mkdir()
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.plane", str(config), str(judged), mode),
            stdout=sink,
            stderr=asyncio.subprocess.STDOUT,
            cwd=home,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 40)
    assert not list(home.iterdir())


if __name__ == "__main__":
    from evaluation.agent import run_plane

    config, log, mode = sys.argv[1:]
    sys.exit(run_plane(load_settings(Path(config), {}), FileJudge(Path(log), mode), load_criteria(None, [CRITERION])))
