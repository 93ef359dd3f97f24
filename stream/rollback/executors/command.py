"""Any program: an argument list from the configuration, with names of the target filled in. There is no shell.

Placeholders are `{environment}`, `{system}`, `{component}`, `{from_version}`, `{to_version}`, `{incident_id}`,
`{idempotency_key}`, and `{ref.NAME}` for a part of the target's reference. Each value must be a plain word
(`stream.rollback.executors.words.WORD`), or the whole is refused: nothing that begins with a dash, holds a space, a
slash or a sign that a program could take for anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stream.redact import redact_text
from stream.rollback.executors.base import Order, Outcome
from stream.rollback.executors.process import run
from stream.rollback.executors.words import WORD, checked
from stream.rollback.verify import Observed

PLAIN: Final = ("environment", "system", "component", "from_version", "to_version", "incident_id", "idempotency_key")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_REF: Final = re.compile(r"ref\.([A-Za-z0-9_-]{1,64})")


def check_template(argv: tuple[str, ...]) -> None:
    """Raise ValueError for what could never be filled in: unknown placeholders, or one in the place of the program."""
    if argv and _PLACEHOLDER.search(argv[0]):
        raise ValueError(f"the program {argv[0]!r} may hold no placeholder")
    for name in (name for part in argv for name in _PLACEHOLDER.findall(part)):
        if name not in PLAIN and _REF.fullmatch(name) is None:
            raise ValueError(f"{{{name}}} is no placeholder: there are {', '.join(PLAIN)} and ref.NAME")


@dataclass(frozen=True, slots=True)
class Command:
    """Runs the program; an exit code of 0 is success. `check`, if given, looks: 0 rolled back, 1 not."""

    argv: tuple[str, ...]
    check: tuple[str, ...]
    seconds: float
    idempotent: bool

    def plan(self, order: Order) -> str:
        """The command, filled in."""
        filled(self.check, order)
        return f"run {_shown(filled(self.argv, order))}"

    async def observe(self, order: Order) -> Observed:
        """As `check` says; without one nobody knows."""
        if not self.check:
            return "unknown"
        code = (await run(filled(self.check, order), self.seconds)).code
        return {0: "rolled_back", 1: "serving"}.get(-1 if code is None else code, "unknown")  # type: ignore[return-value]

    async def execute(self, order: Order) -> Outcome:
        """Run it."""
        argv = filled(self.argv, order)
        ran = await run(argv, self.seconds)
        return Outcome(ok=ran.code == 0, detail=f"{_shown(argv)}: {ran.said()}", again=self.idempotent)


def filled(argv: tuple[str, ...], order: Order) -> list[str]:
    """The argument list with its placeholders filled in. Raises Refused where a value is no plain word."""
    return [_PLACEHOLDER.sub(lambda found: _value(found[1], order), part) for part in argv]


def _shown(argv: list[str]) -> str:
    """The command for people, without what looks like a secret of the configuration."""
    return redact_text(" ".join(argv))


def _value(name: str, order: Order) -> str:
    target = order.target
    reference = _REF.fullmatch(name)
    if reference is not None:
        return checked(WORD, name, target.ref.get(reference[1]))
    values = {
        "environment": order.environment,
        "system": order.system,
        "component": target.component,
        "from_version": target.from_version,
        "to_version": target.to_version,
        "incident_id": order.incident_id,
        "idempotency_key": order.key,
    }
    return checked(WORD, name, values[name])
