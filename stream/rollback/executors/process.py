"""Programs that are run: an argument list, never a shell; with a time limit, and of what they say a bounded part."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stream.redact import redact_text

MAX_OUTPUT: Final = 16 * 1024 * 1024
"""Bytes that are kept of a program's answer: a namespace full of ReplicaSets as JSON."""

MAX_SAID: Final = 2_000
"""Characters of an output that are shown."""

OWN: Final = "MIDWATCH_"
"""Variables of ours, which may hold secrets, are kept from the programs."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended: its exit code, or None where it could not be started or was stopped."""

    code: int | None
    out: bytes
    err: bytes
    trouble: str = ""
    cut: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ended well, and all it said was kept."""
        return self.code == 0 and not self.cut

    def said(self) -> str:
        """What it said, for people: its errors if there are any, without what looks like a secret, cut."""
        if self.trouble:
            return self.trouble
        if self.cut:
            return f"it said more than {MAX_OUTPUT} bytes"
        text = redact_text((self.err or self.out)[: 4 * MAX_SAID].decode("utf-8", "replace")).strip()
        text = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)[:MAX_SAID]
        return f"exit code {self.code}: {text}" if text else f"exit code {self.code}"


async def run(argv: Sequence[str], seconds: float) -> Ran:
    """Run a program to its end. At the time limit it and all that it has started are killed. Raises nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Ran(None, b"", b"", f"{argv[0]} could not be started: {error}")
    ended = False
    try:
        async with asyncio.timeout(seconds):
            (out, cut), (err, _) = await asyncio.gather(_read(process.stdout), _read(process.stderr))
            code = await process.wait()
            ended = True
    except TimeoutError:
        return Ran(None, b"", b"", f"{argv[0]} had not ended after {seconds:g} s and was killed")
    finally:
        await _end(process, wholly=ended)
    return Ran(code, out, err, cut=cut)


async def _read(stream: asyncio.StreamReader | None) -> tuple[bytes, bool]:
    """All that fits, and whether there was more; the rest is read and dropped, so that the program can go on."""
    kept = bytearray()
    cut = False
    while stream is not None and (part := await stream.read(65_536)):
        room = MAX_OUTPUT - len(kept)
        cut = cut or len(part) > room
        kept += part[:room]
    return bytes(kept), cut


async def _end(process: asyncio.subprocess.Process, *, wholly: bool) -> None:
    """Kill the program and its children unless it has ended `wholly`, and let the system have its exit code.

    A child that outlives the program holds its pipes open, and its process group, whose number is thus not given anew.
    """
    if wholly:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
