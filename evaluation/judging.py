"""The judge that asks a model: one call for all criteria of an interaction, more where answers have to be averaged."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import structlog

from evaluation.answer import InvalidAnswer
from evaluation.calls import Caller, CallFailed, NoLogprobs, Reply, Request
from evaluation.circuit import Circuit, State
from evaluation.criteria import Criterion
from evaluation.judge_metrics import JudgeMetrics
from evaluation.judgement import Judgement, Method, NoDataReason
from evaluation.prompt import Prompt, build_prompt, has_text
from evaluation.retrying import FIRST_SECONDS, Retrying
from evaluation.scoring import Answer, judgements_of, read_answer
from schemas.events import Interaction
from stream.settings_judge import JudgeSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.judge")

PromptBuilder: TypeAlias = Callable[[Interaction, Sequence[Criterion], str, int], Prompt]


class _Spent:
    """Tokens of one interaction."""

    def __init__(self) -> None:
        self.input = 0
        self.output = 0

    def add(self, tokens: tuple[int, int]) -> None:
        self.input += tokens[0]
        self.output += tokens[1]


class ModelJudge:
    """Asks a model. May be used by many tasks at once; calls beyond the concurrency wait, within their time."""

    def __init__(
        self,
        caller: Caller,
        settings: JudgeSettings,
        close: Callable[[], Awaitable[None]],
        prompt: PromptBuilder = build_prompt,
        first_pause_seconds: float = FIRST_SECONDS,
    ) -> None:
        self.metrics = JudgeMetrics()
        self._caller = caller
        self._settings = settings
        self._close = close
        self.prompt = prompt
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._retrying = Retrying(settings.attempts, random.random, self._note, first_pause_seconds)
        self._circuit = Circuit(settings.circuit_failures, settings.circuit_seconds, self._tell_circuit)
        self._logprobs = settings.logprobs
        self._said: set[str] = set()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._close()

    async def judge(self, interaction: Interaction, criteria: Sequence[Criterion]) -> list[Judgement]:
        """One judgement for each criterion, in their order; within `total_seconds`."""
        if not criteria:
            return []
        spent = _Spent()
        with self.metrics.seconds.time():
            found = await self._ask(interaction, criteria, spent) if has_text(interaction) else "no_text"
        judgements = self._judgements(interaction, criteria, found, spent)
        for judgement in judgements:
            self.metrics.judged.labels(status=judgement.status, method=judgement.method).inc()
            if judgement.reason is not None:
                self.metrics.no_data.labels(reason=judgement.reason).inc()
        self.metrics.tokens.labels(direction="input").inc(spent.input)
        self.metrics.tokens.labels(direction="output").inc(spent.output)
        return judgements

    async def _ask(
        self, interaction: Interaction, criteria: Sequence[Criterion], spent: _Spent
    ) -> list[Answer] | NoDataReason:
        """The answers to take, one if it is weighted for every criterion, or why there are none."""
        deadline = asyncio.get_running_loop().time() + self._settings.total_seconds
        try:
            first = await self._answer(interaction, criteria, deadline, spent)
        except CallFailed as failure:
            return failure.reason
        if len(first.weighted) == len(criteria) or self._settings.samples == 1:
            return [first]
        more = await asyncio.gather(
            *(self._answer(interaction, criteria, deadline, spent) for _ in range(self._settings.samples - 1)),
            return_exceptions=True,
        )
        for one in more:
            if isinstance(one, BaseException) and not isinstance(one, CallFailed):
                raise one
        return [first, *(one for one in more if isinstance(one, Answer))]

    async def _answer(
        self, interaction: Interaction, criteria: Sequence[Criterion], deadline: float, spent: _Spent
    ) -> Answer:
        """One usable answer. Raises `CallFailed`."""
        names = tuple(criterion.name for criterion in criteria)

        async def once() -> Answer:
            # A boundary of its own for each call, a repeated one as well.
            prompt = self.prompt(interaction, criteria, secrets.token_hex(16), self._settings.max_text_chars)
            try:
                async with self._slots:
                    reply = await self._admitted(prompt, names)
            except CallFailed as failure:
                spent.add(failure.tokens)
                raise
            spent.add((reply.input_tokens, reply.output_tokens))
            return self._read(reply, names)

        return await self._retrying(once, deadline)

    async def _admitted(self, prompt: Prompt, names: tuple[str, ...]) -> Reply:
        """One reply, unless the judge counts as down: then it is not asked."""
        clock = asyncio.get_running_loop().time
        ticket = self._circuit.admit(clock())
        if ticket is None:
            self.metrics.not_asked.inc()
            raise CallFailed("unavailable", "circuit_open")
        try:
            with self.metrics.in_flight.track_inprogress():
                reply = await self._call(prompt, names)
        except CallFailed as failure:
            if failure.down:
                self._circuit.failed(ticket, clock())
            else:
                self._circuit.answered(ticket)
            raise
        except BaseException:
            self._circuit.left(ticket)
            raise
        self._circuit.answered(ticket)
        return reply

    def _tell_circuit(self, state: State) -> None:
        self.metrics.circuit.state(state)
        if state == "open":
            self.metrics.circuit_opened.inc()
        log.warning("judge_circuit", state=state)

    async def _call(self, prompt: Prompt, names: tuple[str, ...]) -> Reply:
        """One reply, without log-probabilities where the model refuses to give them."""
        try:
            # The client's own time-out is for each read: an answer that trickles in would outlast it.
            async with asyncio.timeout(self._settings.timeout_seconds):
                if self._logprobs:
                    try:
                        return await self._caller(Request(prompt, names, logprobs=True))
                    except NoLogprobs:
                        self._do_without_logprobs("refused")
                return await self._caller(Request(prompt, names, logprobs=False))
        except TimeoutError:
            raise CallFailed("timeout", "slow", again=True) from None
        except NoLogprobs as refused:
            raise CallFailed("unavailable", str(refused)) from None

    def _read(self, reply: Reply, names: tuple[str, ...]) -> Answer:
        try:
            answer = read_answer(reply, names)
        except InvalidAnswer as error:
            self._say("judge_answer_invalid", detail=str(error))
            raise CallFailed("invalid_output", "invalid", again=True) from None
        if not reply.tokens:
            self._do_without_logprobs("none_given")
        return answer

    def _do_without_logprobs(self, why: str) -> None:
        """From now on take means of samples, and say so: once in the log, for good in the metric."""
        if self._logprobs:
            self._logprobs = False
            self.metrics.without_logprobs.set(1)
            log.warning("judge_gives_no_logprobs", why=why, instead="mean of samples", samples=self._settings.samples)

    def _note(self, failure: CallFailed) -> None:
        self.metrics.failures.labels(reason=failure.reason).inc()
        self._say("judge_call_failed", reason=failure.reason, code=failure.code[:64])

    def _say(self, event: str, **what: str) -> None:
        """Log the first of each kind; the metrics count them all."""
        kind = f"{event} {sorted(what.items())}"
        if kind not in self._said and len(self._said) < 100:
            self._said.add(kind)
            log.warning(event, **what)

    def _judgements(
        self,
        interaction: Interaction,
        criteria: Sequence[Criterion],
        found: list[Answer] | NoDataReason,
        spent: _Spent,
    ) -> list[Judgement]:
        # The name that was configured: a provider's own changes with each of its releases, and an interaction that is
        # judged again must have the same event.
        method = self._method_without_answer()
        return judgements_of(interaction.id, criteria, found, self._settings.model, method, (spent.input, spent.output))

    def _method_without_answer(self) -> Method:
        if self._logprobs:
            return "logprobs"
        return "samples" if self._settings.samples > 1 else "single"
