"""The documents tell the truth about files, commands and events."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.events import EVENT
from stream.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the project finds it."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_decision_is_listed() -> None:
    """The index of decisions names every file, and each has Nygard's parts."""
    index = (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs/adr").glob("0*.md")):
        assert f"({path.name})" in index
        text = path.read_text(encoding="utf-8")
        for part in ("Status: ", "## Context", "## Decision", "## Consequences"):
            assert part in text, f"{path.name}: {part}"


def test_the_readme_event_is_an_event() -> None:
    """The example event of the README is valid."""
    [block] = [text for text in re.findall(r"```json\n(.*?)```", README, re.DOTALL) if '"interaction"' in text]
    assert EVENT.validate_python(EVENT.validate_json(block)) is not None
    assert json.loads(block)["type"] == "interaction"


def test_the_readme_commands_exist() -> None:
    """Every command that the README shows is there, with the options that it shows."""
    shown = re.findall(r"^\.venv/bin/midwatch ([a-z-]+(?: [a-z]+)?)([^#>\n]*)", README, re.MULTILINE)
    shown += re.findall(r"^\| `midwatch ([a-z-]+)([^`]*)`", README, re.MULTILINE)
    assert len(shown) > 8
    for command, rest in shown:
        help_text = CliRunner().invoke(app, [*command.split(), "--help"])
        assert help_text.exit_code == 0, command
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in help_text.stdout, f"{command} {option}"


def test_make_targets_of_the_documents_exist() -> None:
    """Every `make TARGET` in the documents is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"
