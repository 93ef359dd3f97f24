"""Known vulnerabilities in what is locked, and licences of what is shipped: `make audit`, a part of `make check`.

Advisories come from OSV (https://google.github.io/osv.dev/api/). Where it cannot be reached, or answers as no advisory
service would, the audit says that it was not done; with MIDWATCH_REQUIRE_AUDIT=1 that is a failure. MIDWATCH_OSV_URL
names a mirror. What is accepted for a while stands in `tests/support/audit.toml`, with its reason and its last day.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import httpx

ROOT: Final = Path(__file__).parents[2]
LOCKS: Final = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")
ACCEPTED: Final = Path(__file__).with_suffix(".toml")
SERVICE: Final = "https://api.osv.dev"
SECONDS: Final = 10.0
CANARY: Final = ("jinja2", "2.4.1")
"""A version with well-known vulnerabilities: a service that does not know them knows nothing."""

_PIN: Final = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.MULTILINE)
_STRICT: Final = re.compile(
    r"\b(?:A?GPL|GNU (?:Affero )?General Public|SSPL|BUSL|Commons Clause|Proprietary)", re.IGNORECASE
)

Pin = tuple[str, str]


class NotDone(Exception):
    """The service cannot be reached, or is none; the message says why."""


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """An advisory that is about a pinned version."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    summary: str
    fixed: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join((self.id, *self.aliases))
        remedy = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no fixed version is known"
        return f"{self.package} {self.version}: {names}: {self.summary} ({remedy})"


@dataclass(frozen=True, slots=True)
class Accepted:
    """An advisory that is lived with until a day."""

    package: str
    id: str
    reason: str
    until: date


def pins(texts: Iterable[str]) -> list[Pin]:
    """What lock files pin, each once; names as the index normalises them."""
    found = {(normalised(name), version) for text in texts for name, version in _PIN.findall(text)}
    return sorted(found)


def normalised(name: str) -> str:
    """A distribution's name in its one spelling."""
    return re.sub(r"[-_.]+", "-", name).lower()


def accepted(text: str) -> list[Accepted]:
    """The accepted advisories of `audit.toml`. Raises ValueError for an entry that is not whole."""
    found = []
    for entry in tomllib.loads(text).get("accepted", []):
        one = Accepted(**entry)
        if not (one.reason.strip() and isinstance(one.until, date)):
            raise ValueError(f"audit.toml: {one.id} needs a reason and a day `until`")
        found.append(one)
    return found


def vulnerabilities(wanted: Sequence[Pin], client: httpx.Client) -> list[Vulnerability]:
    """What is known about the pins. Raises NotDone."""
    try:
        return _ask(wanted, client)
    except httpx.HTTPStatusError as error:
        raise NotDone(f"it answers {error.response.status_code}") from None
    except httpx.HTTPError as error:
        raise NotDone(f"{type(error).__name__}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotDone(f"its answer is not understood: {type(error).__name__}") from None


def _ask(wanted: Sequence[Pin], client: httpx.Client) -> list[Vulnerability]:
    asked = [CANARY, *wanted]
    ids = _ids(asked, client)
    if not ids[0]:
        raise NotDone(f"it knows nothing against {' '.join(CANARY)}, so it is no advisory service")
    details = {one: _get(client, one) for one in sorted({one for found in ids[1:] for one in found})}
    return [
        _vulnerability(pin, details[one])
        for pin, found in zip(wanted, ids[1:], strict=True)
        for one in sorted(found)
        if not details[one].get("withdrawn")
    ]


def _ids(asked: Sequence[Pin], client: httpx.Client) -> list[set[str]]:
    """The ids of each pin's advisories; a long answer comes in pages."""
    found: list[set[str]] = [set() for _ in asked]
    waiting: dict[int, str | None] = dict.fromkeys(range(len(asked)))
    while waiting:
        queries = [
            {"version": asked[at][1], "package": {"name": asked[at][0], "ecosystem": "PyPI"}}
            | ({"page_token": page} if page else {})
            for at, page in waiting.items()
        ]
        answer = client.post("/v1/querybatch", json={"queries": queries})
        answer.raise_for_status()
        again: dict[int, str | None] = {}
        for at, result in zip(waiting, answer.json()["results"], strict=True):
            found[at] |= {one["id"] for one in result.get("vulns", [])}
            if result.get("next_page_token"):
                again[at] = result["next_page_token"]
        waiting = again
    return found


def _get(client: httpx.Client, advisory: str) -> dict[str, Any]:
    answer = client.get(f"/v1/vulns/{advisory}")
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _vulnerability(pin: Pin, said: Mapping[str, Any]) -> Vulnerability:
    fixed = {
        event["fixed"]
        for part in said.get("affected", [])
        if normalised(part.get("package", {}).get("name", "")) == pin[0]
        for given in part.get("ranges", [])
        if given.get("type") == "ECOSYSTEM"
        for event in given.get("events", [])
        if "fixed" in event
    }
    summary = " ".join((said.get("summary") or said.get("details") or "no summary").split())[:200]
    return Vulnerability(*pin, said["id"], tuple(said.get("aliases", [])), summary, tuple(sorted(fixed)))


def verdict(
    found: Sequence[Vulnerability], lived_with: Sequence[Accepted], today: date
) -> tuple[list[Vulnerability], list[str]]:
    """What is not accepted today, and remarks about the list of what is."""
    open_ones, remarks = [], []
    used: set[Accepted] = set()
    for one in found:
        known = [a for a in lived_with if normalised(a.package) == one.package and a.id in {one.id, *one.aliases}]
        used.update(known)
        if not any(today <= a.until for a in known):
            open_ones.append(one)
        remarks += [f"accepted until {a.until}: {one.package} {a.id}: {a.reason}" for a in known if today <= a.until]
        remarks += [f"accepted until {a.until}, which is over: {one.package} {a.id}" for a in known if today > a.until]
    remarks += [f"no longer reported, take it off the list: {a.package} {a.id}" for a in lived_with if a not in used]
    return open_ones, remarks


def _said_licence(metadata: Any) -> str:
    """The licence by its SPDX expression; of older distributions what their classifiers and first words say."""
    expression = str(metadata["License-Expression"] or "")
    classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License")]
    return expression or " ".join([*classifiers, str(metadata["License"] or "")[:100]]).strip()


def licences(names: Iterable[str]) -> list[str]:
    """Distributions among `names`, as installed, whose licence asks more than Apache-2.0 gives, or is not said."""
    wanted, found = set(names), []
    for one in importlib.metadata.distributions():
        name = normalised(one.metadata["Name"])
        if name not in wanted:
            continue
        said = _said_licence(one.metadata)
        if not said or (_STRICT.search(said) and not re.search(r"\bLGPL|Lesser|\bOR\b", said)):
            found.append(f"{name}: {said or 'no licence is said'}")
    return sorted(found)


def audit(environ: Mapping[str, str], today: date) -> tuple[int, dict[str, Any]]:
    """The exit code, and what there is to say."""
    wanted = pins((ROOT / name).read_text(encoding="utf-8") for name in LOCKS)
    shipped = [name for name, _ in pins([(ROOT / LOCKS[0]).read_text(encoding="utf-8")])]
    said: dict[str, Any] = {"pins": len(wanted), "licences": licences(shipped), "vulnerabilities": [], "remarks": []}
    url = environ.get("MIDWATCH_OSV_URL", SERVICE)
    try:
        with httpx.Client(base_url=url, timeout=SECONDS) as client:
            found = vulnerabilities(wanted, client)
    except NotDone as error:
        said["not_done"] = f"{url}: {error}"
        required = environ.get("MIDWATCH_REQUIRE_AUDIT") == "1"
        return int(required or bool(said["licences"])), said
    open_ones, said["remarks"] = verdict(found, accepted(ACCEPTED.read_text(encoding="utf-8")), today)
    said["vulnerabilities"] = [{**asdict(one), "said": str(one)} for one in open_ones]
    return int(bool(open_ones or said["licences"])), said


def lines(said: Mapping[str, Any]) -> list[str]:
    """What a person reads."""
    found = [f"audit: {one}" for one in said["remarks"]]
    found += [f"audit: VULNERABLE: {one['said']}" for one in said["vulnerabilities"]]
    found += [f"audit: LICENCE: {one}" for one in said["licences"]]
    if "not_done" in said:
        found.append(f"audit: not done, no advisory service reachable ({said['not_done']})")
    else:
        found.append(
            f"audit: {said['pins']} locked versions, {len(said['vulnerabilities'])} with known vulnerabilities"
        )
    return found


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Audit and print."""
    code, said = audit(environ, datetime.now().astimezone().date())
    text = json.dumps(said) if "--json" in arguments else "\n".join(lines(said))
    sys.stdout.write(text + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
