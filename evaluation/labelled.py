"""Files of labelled interactions, and the judge's scores for them.

A line is a pair that was judged before, or an interaction for the judge to score now:

    {"criterion": "tone", "label": 4, "score": 3.6}
    {"interaction": {"type": "interaction", ...}, "labels": {"tone": 4, "correctness": 5}}
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evaluation.criteria import Criterion
from evaluation.judgement import Judge
from schemas.events import Interaction

MAX_LINE: Final = 2_000_000
AT_ONCE: Final = 64
"""Interactions given to the judge at the same time; it makes fewer calls at once if it is told to."""

Label = Annotated[int, Field(strict=True, ge=1, le=5)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class LabelledFileError(ValueError):
    """A file that cannot be used: which line, what is wrong, what it should be."""


class _Pair(BaseModel):
    model_config = ConfigDict(extra="ignore")

    criterion: Name
    label: Label
    score: Annotated[float, Field(ge=1, le=5, allow_inf_nan=False)]


class _Labelled(BaseModel):
    model_config = ConfigDict(extra="forbid")

    interaction: Interaction
    labels: Annotated[dict[Name, Label], Field(min_length=1)]


_PAIR, _LABELLED = TypeAdapter(_Pair), TypeAdapter(_Labelled)


@dataclass
class Pairs:
    """Labels and scores by criterion, in the file's order; `no_data` counts labels without a score, by reason."""

    labels: dict[str, list[int]] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    no_data: dict[str, int] = field(default_factory=dict)
    methods: dict[str, int] = field(default_factory=dict)

    def add(self, criterion: str, label: int, score: float, method: str) -> None:
        """One pair."""
        self.labels.setdefault(criterion, []).append(label)
        self.scores.setdefault(criterion, []).append(score)
        self.methods[method] = self.methods.get(method, 0) + 1


def read_labelled(path: Path) -> list[_Pair | _Labelled]:
    """The lines of a file. Raises `LabelledFileError`, OSError."""
    return list(_lines(path))


def needs_judge(lines: Sequence[_Pair | _Labelled]) -> bool:
    """Whether there are interactions that have no score yet."""
    return any(isinstance(line, _Labelled) for line in lines)


def _lines(path: Path) -> Iterator[_Pair | _Labelled]:
    with path.open("rb") as source:
        for number, line in enumerate(iter(lambda: source.readline(MAX_LINE + 1), b""), 1):
            if len(line) > MAX_LINE:
                raise LabelledFileError(f"{path}, line {number} is longer than {MAX_LINE} bytes")
            if line.strip():
                yield _line(line, f"{path}, line {number}")


def _line(line: bytes, where: str) -> _Pair | _Labelled:
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError):
        raise LabelledFileError(f"{where} is not JSON; one object a line is expected") from None
    if not isinstance(plain, dict):
        raise LabelledFileError(f"{where} is no object")
    try:
        return _LABELLED.validate_json(line) if "interaction" in plain else _PAIR.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise LabelledFileError(
            f"{where}: {key}: {first['msg']}; a line has criterion, label (1 to 5) and score, or interaction and labels"
        ) from None


async def judge_labelled(
    lines: Sequence[_Pair | _Labelled], judge: Judge | None, criteria: Sequence[Criterion]
) -> Pairs:
    """The pairs of all lines; interactions are judged by the criteria that they have labels for.

    Raises `LabelledFileError` for a criterion that there is none of.
    """
    known = {criterion.name: criterion for criterion in criteria}
    slots, pairs = asyncio.Semaphore(AT_ONCE), Pairs()

    async def scored(line: _Labelled) -> list[tuple[str, float | None, str]]:
        if judge is None:
            raise LabelledFileError("there are interactions without scores, and no judge")
        async with slots:
            found = await judge.judge(line.interaction, _wanted(line.labels, known))
        return [(one.criterion, one.score, one.reason or one.method) for one in found]

    open_lines = [line for line in lines if isinstance(line, _Labelled)]
    for one in open_lines:
        _wanted(one.labels, known)
    answers = iter(await asyncio.gather(*map(scored, open_lines)))
    for line in lines:
        if isinstance(line, _Pair):
            pairs.add(line.criterion, line.label, line.score, "given")
            continue
        for name, score, how in next(answers):
            if score is None:
                pairs.no_data[how] = pairs.no_data.get(how, 0) + 1
            else:
                pairs.add(name, line.labels[name], score, how)
    return pairs


def _wanted(labels: Mapping[str, Any], known: Mapping[str, Criterion]) -> list[Criterion]:
    unknown = sorted(set(labels) - set(known))
    if unknown:
        raise LabelledFileError(f"there is no criterion {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [known[name] for name in labels]
