"""docs/producers.md tells the truth: its examples decode, its commands run, its Python imports."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.adapters import Decoder
from stream.adapters.formats import format_of
from stream.adapters.payload import Payload
from stream.adapters.producers import PRODUCERS
from stream.cli import app
from stream.ingest_http.app import TOOLS
from tests.unit.adapters.events import NOW_MS

PAGE = (Path(__file__).parents[2] / "docs" / "producers.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"<!-- decodes: (\w+)(?:; ([^>]*?))? -->\n```json\n(.*?)```", re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE)


@pytest.mark.parametrize(
    ("name", "headers", "body"), EXAMPLES, ids=[f"{at}-{one[0]}" for at, one in enumerate(EXAMPLES)]
)
def test_each_example_is_read(name: str, headers: str, body: str) -> None:
    """In its format, with the headers that stand beside it, whole and without a field that is ignored."""
    told = [(key, value.encode()) for key, _, value in (pair.partition("=") for pair in headers.split())]
    decoder = Decoder()
    batch = decoder.decode_batch([(body.encode(), told, NOW_MS)])
    assert not batch.rejections
    assert batch.events
    assert not decoder.counters.unknown_fields.counts
    assert format_of(Payload(body.encode(), told, 64)).name == name


def test_nothing_is_left_out() -> None:
    """Every block of JSON is marked, and every tool has an example or a template, and a path."""
    assert PAGE.count("```json") == len(EXAMPLES)
    shown = {name for name, _, _ in EXAMPLES} | ({"argo_rollouts"} if "deploy/argo-rollouts" in PAGE else set())
    assert {known.name for known in PRODUCERS} <= shown
    assert all(f"`{tool}`" in PAGE for tool in TOOLS)


@pytest.mark.parametrize("line", re.findall(r"^midwatch events .*$", PAGE, re.MULTILINE))
def test_each_command_is_right(line: str) -> None:
    """As it stands, but for the sending."""
    result = CliRunner().invoke(app, [*shlex.split(line)[1:], "--dry-run"])
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_python_imports_what_is_there(code: str) -> None:
    """Every name that it imports from Midwatch exists, and is called with arguments that it takes."""
    tree = ast.parse(code)
    compile(tree, "producers.md", "exec")
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        module = importlib.import_module(node.module or "")
        assert all(hasattr(module, alias.name) for alias in node.names)


def test_links_lead_somewhere() -> None:
    """To files that are there, and to headings of the page."""
    titles = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            assert (Path(__file__).parents[2] / "docs" / target).exists(), target
