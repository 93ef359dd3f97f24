"""The threat model's page: every row of a threat names tests, and all of them exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| ([A-Z]\d+) \|(.*)\|$", re.MULTILINE)
_TEST = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)
_NAME = re.compile(r"`(test_\w+)`")
PARTS = {
    "J": "judge",
    "F": "Forged",
    "S": "Secrets",
    "H": "Open pages",
    "C": "call",
    "B": "reader",
    "K": "Kafka",
    "P": "built",
}


def rows(page: str) -> dict[str, list[str]]:
    """The threats by id, and their cells: threat, what holds, proved by."""
    found = {}
    for name, rest in _ROW.findall(page):
        assert name not in found, f"{name} is there twice"
        found[name] = [cell.strip() for cell in rest.split("|")]
    return found


@cache
def existing_tests() -> frozenset[str]:
    """The names of all test functions below tests/."""
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return frozenset(name for text in texts for name in _TEST.findall(text))


def faults(page: str) -> list[str]:
    """What is wrong with the tables of a page."""
    existing, found = existing_tests(), []
    for name, cells in rows(page).items():
        named = _NAME.findall(cells[-1])
        if len(cells) != 3 or not all(cells):
            found.append(f"{name}: a threat, what holds against it, and its tests")
        if not named:
            found.append(f"{name}: no test is named")
        found += [f"{name}: there is no {one}" for one in named if one not in existing]
        left = _NAME.sub("", cells[-1]).replace(",", "").strip()
        if left:
            found.append(f"{name}: {left!r} is no test")
    return found


def test_every_threat_has_its_proof() -> None:
    """Each row names tests, every one of which exists."""
    assert faults(PAGE) == []


def test_every_part_has_its_threats() -> None:
    """The eight parts of the model are there, numbered without a gap."""
    found = rows(PAGE)
    assert {name[0] for name in found} == set(PARTS)
    for letter, word in PARTS.items():
        numbers = [int(name[1:]) for name in found if name[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1))
        assert re.search(rf"^## .*{word}", PAGE, re.MULTILINE)
    tables = [line for line in PAGE.splitlines() if line.startswith("| ") and "`test_" in line]
    assert len(tables) == len(found), "a row with tests but without an id"


def test_a_row_without_proof_is_seen() -> None:
    """A missing test, a test that does not exist, and words in its place are faults."""
    page = "| J1 | t | h | |\n| J2 | t | h | `test_that_was_never_written` |\n| J3 | t | h | by hand |\n"
    assert len(faults(page)) == 5


def test_security_leads_here() -> None:
    """Whoever reads SECURITY.md finds the model."""
    assert "docs/threat-model.md" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
