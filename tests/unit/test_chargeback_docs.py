"""`docs/chargeback.md`: its example does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli import app

PAGE = (Path(__file__).parents[2] / "docs/chargeback.md").read_text(encoding="utf-8")


def test_the_example_gives_the_output_that_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the page, the command of the page, the output of the page."""
    monkeypatch.chdir(tmp_path)
    files = re.findall(r"<!-- file: (\S+) -->\n```\w*\n(.*?)```", PAGE, re.DOTALL)
    assert [name for name, _ in files] == ["usage.jsonl", "policy.toml", "bill.csv"]
    for name, text in files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    [(command, output)] = re.findall(r"`midwatch ([^`]+)` says:\n\n<!-- output -->\n```\n(.*?)```", PAGE, re.DOTALL)
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0
    assert result.stdout == output
