"""A provider's Batch API through the `openai` client: upload, begin, look, fetch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO, Any, Final, Literal, cast

import httpx2
import openai
from openai.types import Batch as ProviderBatch

from evaluation.bounded import too_large

METADATA: Final = "midwatch_batch"
"""The key under which a batch carries our name for it: a batch whose beginning we did not hear of is found by it."""

LISTED: Final = 300
"""Newest batches that are looked through for it."""

_KEPT: Final[Any] = {"anchor": "created_at", "seconds": 30 * 86_400}
"""How long providers keep files that nobody deletes: the texts of interactions stand in them."""

FILE_NAME: Final = "midwatch-batch.jsonl"
PROCESSED_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 1.0
FETCH_SECONDS: Final = 1800.0
RETRIES: Final = 3
ENDED: Final = frozenset({"failed", "completed", "expired", "cancelled"})


class BatchError(Exception):
    """The provider did not do it; says what it was asked for and what it answered, never in the provider's prose."""


class LookedInVain(BatchError):
    """The provider knows no such batch."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a batch stands. `status` is the provider's word."""

    provider_id: str
    status: str
    done: int = 0
    failed: int = 0
    files: tuple[str, ...] = ()
    input_file: str | None = None
    codes: tuple[str, ...] = field(default=())
    """Why the provider refused the whole batch."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ENDED


class Provider:
    """The Batch API of one client. `wait_seconds` is the pause between two looks at a file that is being processed."""

    def __init__(self, client: openai.AsyncOpenAI, wait_seconds: float = LOOK_SECONDS) -> None:
        self._client = client
        self._patient = client.with_options(max_retries=RETRIES)
        self._wait_seconds = wait_seconds

    async def upload(self, file: IO[bytes]) -> str:
        """The id of the input file, once it can be used. Raises `BatchError`."""
        with _said("uploading the batch"):
            made = await self._patient.files.create(file=(FILE_NAME, file), purpose="batch", expires_after=_KEPT)
            # Azure takes a while; OpenAI has it at once.
            async with asyncio.timeout(PROCESSED_SECONDS):
                while made.status in {"pending", "running", "uploaded", "notRunning"} and self._may_wait(made.status):
                    await asyncio.sleep(self._wait_seconds)
                    made = await self._patient.files.retrieve(made.id)
        if made.status == "error":
            raise BatchError("uploading the batch: the provider could not process the file")
        return made.id

    def _may_wait(self, status: str) -> bool:
        """OpenAI's `uploaded` is its last word on some files, Azure's is not."""
        return status != "uploaded" or isinstance(self._client, openai.AsyncAzureOpenAI)

    async def begin(self, file_id: str, endpoint: str, name: str) -> str:
        """The provider's id of the batch that it has begun. Not tried twice: two would be paid for."""
        with _said("beginning the batch"):
            begun = await self._client.batches.create(
                input_file_id=file_id,
                # Azure's path is none of those that the client's type lists.
                endpoint=cast("Literal['/v1/chat/completions']", endpoint),
                completion_window="24h",
                metadata={METADATA: name},
                output_expires_after=_KEPT,
            )
            return _id_of(begun)

    async def find(self, name: str) -> str:
        """The provider's id of a batch by our name. Raises `LookedInVain`, `BatchError`."""
        with _said("looking for the batch"):
            seen = 0
            async for batch in self._patient.batches.list(limit=100):
                seen += 1
                if (batch.metadata or {}).get(METADATA) == name:
                    return _id_of(batch)
                if seen >= LISTED:
                    break
        raise LookedInVain(f"the provider has no batch {name} among its newest {LISTED}")

    async def look(self, provider_id: str) -> Progress:
        """How a batch stands. Raises `LookedInVain`, `BatchError`."""
        try:
            with _said("looking at the batch"):
                return _progress(await self._patient.batches.retrieve(provider_id))
        except BatchError as error:
            if isinstance(error.__cause__, openai.NotFoundError):
                raise LookedInVain(f"the provider knows no batch {provider_id}") from error
            raise

    async def cancel(self, provider_id: str) -> None:
        """Ask the provider to stop; what is done already still comes, and is paid for."""
        with _said("cancelling the batch"):
            await self._patient.batches.cancel(provider_id)

    async def forget(self, file_id: str) -> None:
        """Delete a file. Fails silently: providers do it themselves in time."""
        try:
            await self._patient.files.delete(file_id)
        except openai.OpenAIError:
            return

    @asynccontextmanager
    async def lines(self, file_id: str, most_line: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of a result file as they come; of a line longer than `most_line` there is the beginning alone."""
        with _said("fetching the results"):
            async with (
                asyncio.timeout(FETCH_SECONDS),
                self._patient.files.with_streaming_response.content(file_id) as answer,
            ):
                yield _split(answer.iter_bytes(), most_line)


async def _split(pieces: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    line = bytearray()
    async for piece in pieces:
        first, *rest = piece.split(b"\n")
        line += first[: most - len(line)]
        for part in rest:
            if line.strip():
                yield bytes(line)
            line = bytearray(part[:most])
    if line.strip():
        yield bytes(line)


def _id_of(batch: ProviderBatch) -> str:
    # The client does not check the form of an answer.
    name: object = batch.id
    if not isinstance(name, str) or not name:
        raise ValueError("a batch without an id")
    return name


def _progress(batch: ProviderBatch) -> Progress:
    counts = batch.request_counts
    errors = batch.errors.data if batch.errors else None
    return Progress(
        provider_id=_id_of(batch),
        status=str(batch.status),
        done=int(counts.completed or 0) if counts else 0,
        failed=int(counts.failed or 0) if counts else 0,
        files=tuple(file for file in (batch.output_file_id, batch.error_file_id) if file),
        input_file=batch.input_file_id or None,
        codes=tuple(dict.fromkeys(str(error.code)[:64] for error in errors or ())),
    )


class _said:  # noqa: N801  # reads as a phrase
    """Turn what the client raises into `BatchError`, with what was being done."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, (BatchError, asyncio.CancelledError)):
            return
        if isinstance(error, Exception):
            why = _why(error)
            if why:
                raise BatchError(f"{self._doing}: {why}") from error


def _why(error: Exception) -> str:
    """What went wrong, in our words; empty for what is a mistake of ours."""
    if too_large(error):
        return "the answer is larger than it may be"
    if isinstance(error, (TimeoutError, openai.APITimeoutError)):
        return "the provider did not answer in time"
    if isinstance(error, openai.APIStatusError):
        return f"the provider answered {error.status_code}" + (f" ({str(error.code)[:64]})" if error.code else "")
    if isinstance(error, (openai.APIConnectionError, httpx2.HTTPError)):
        return "the provider cannot be reached, or broke the connection"
    if isinstance(error, (openai.OpenAIError, ValueError, TypeError, AttributeError)):
        return f"the provider's answer is none ({type(error).__name__})"
    return ""
