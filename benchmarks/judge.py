"""The judge measured against the scripted server: interactions per second, and how many canaries flip a score.

Command line: `python -m benchmarks.judge [--interactions N] [--concurrency N] [--rounds N] [--json]`.

Both ends run in one process and share its core, and the server holds no model: the rate is what the client, the prompt
and the reading of answers cost, an upper bound; the flips tell whether the defence's mechanics hold, not whether a
model would resist.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.judge_prompts import fenced_only, undefended
from evaluation.build import build_judge
from evaluation.canaries import canaries, carrier, obedient
from evaluation.criteria import shipped
from evaluation.judging import ModelJudge, PromptBuilder
from evaluation.prompt import build_prompt
from evaluation.scripted_server import ScriptedServer, scripted_server
from stream.settings import load_settings

DEFENCES: dict[str, PromptBuilder] = {
    "none": undefended,
    "fence without cleaning": fenced_only,
    "fence and cleaning": build_prompt,
}
WARM_UP = 20


def judge_of(server: ScriptedServer, concurrency: int) -> ModelJudge:
    """A judge that asks the server."""
    variables = {"BASE_URL": f"{server.url}/v1", "CONCURRENCY": str(concurrency)}
    judge = build_judge(load_settings(None, {f"MIDWATCH_JUDGE__{key}": text for key, text in variables.items()}), {})
    if not isinstance(judge, ModelJudge):
        raise TypeError("the configuration made another judge")
    return judge


async def rate(interactions: int, concurrency: int) -> float:
    """Judged interactions per second, all three criteria in one call each, with log-probabilities."""
    async with scripted_server() as server:
        judge = judge_of(server, concurrency)
        event = carrier(None, good=True)
        left = iter(range(interactions))

        async def work() -> None:
            for _ in left:
                judgements = await judge.judge(event, shipped())
                if any(judgement.status != "scored" for judgement in judgements):
                    raise RuntimeError("an interaction was not scored")

        for _ in range(WARM_UP):
            await judge.judge(event, shipped())
        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        seconds = time.perf_counter() - start
        await judge.aclose()
    return interactions / seconds


async def flips(prompt: PromptBuilder) -> Counter[str]:
    """By kind, the canaries that get the score that they want on all criteria."""
    found: Counter[str] = Counter()
    async with scripted_server(obedient(canaries())) as server:
        judge = judge_of(server, 1)
        judge.prompt = prompt
        for canary in canaries():
            judgements = await judge.judge(carrier(canary, good=canary.wants == 1), shipped())
            found[canary.kind] += all(round(judgement.score or 0) == canary.wants for judgement in judgements)
        await judge.aclose()
    return found


async def measure(interactions: int, concurrency: int, rounds: int) -> dict[str, Any]:
    """Both results; the rate is the median of the rounds."""
    rates = [await rate(interactions, concurrency) for _ in range(rounds)]
    return {
        "interactions": interactions,
        "concurrency": concurrency,
        "rates_per_second": [round(one, 1) for one in rates],
        "median_per_second": round(statistics.median(rates), 1),
        "canaries": len(canaries()),
        "kinds": dict(Counter(canary.kind for canary in canaries())),
        "flipped": {name: dict(await flips(prompt)) for name, prompt in DEFENCES.items()},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judge", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--interactions", type=int, default=500)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found = asyncio.run(measure(options.interactions, options.concurrency, options.rounds))
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"{found['median_per_second']:g} judged interactions/s at concurrency {found['concurrency']} "
        f"(median of {options.rounds} rounds of {found['interactions']})"
    )
    print(f"{found['canaries']} canaries; flipped by defence:")
    for name, kinds in found["flipped"].items():
        total = sum(kinds.values())
        parts = ", ".join(f"{kind} {number}/{found['kinds'][kind]}" for kind, number in kinds.items())
        print(f"  {name}: {total} ({total / found['canaries']:.0%}): {parts}")


if __name__ == "__main__":
    main()
