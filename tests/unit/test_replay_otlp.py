"""Replay of OTLP: the same heart over spans, the same bytes whatever the order of lines."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.canonical import canonical_json
from stream.cli import app
from stream.replay import ReplayStats, replay
from stream.settings import load_settings
from tests.integration import traffic
from tests.support.otlp import request_json, span_json, spans_of

runner = CliRunner()
TRAFFIC = list(traffic.events())


def native_and_otlp() -> tuple[list[bytes], list[bytes]]:
    """The same hours twice: as native events, and with every interaction as spans."""
    native, otlp = [], []
    for number, (ms, event) in enumerate(TRAFFIC, 1):
        if event["type"] != "interaction":
            native.append(canonical_json(event))
            otlp.append(native[-1])
            continue
        trace = f"{number:032x}"
        native.append(canonical_json({**event, "id": trace, "trace_id": trace}))
        otlp += [value for _, value in spans_of(event, number, ms)]
    return native, otlp


NATIVE, OTLP = native_and_otlp()


def run(folder: Path, lines: list[bytes], batch: int = 10_000, **options: Any) -> tuple[bytes, ReplayStats]:
    path = folder / f"{random.Random(len(lines)).random()}-{batch}.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    out = io.BytesIO()
    shards = {"MIDWATCH_ENGINE__SHARDS": str(options.pop("shards", 16))}
    stats = replay([path], load_settings(None, shards), out, batch_lines=batch, **options)
    return out.getvalue(), stats


def test_spans_say_what_events_say(tmp_path: Path) -> None:
    """Firings and verdicts of a fleet that speaks OpenTelemetry are those of one that speaks Midwatch's own JSON."""
    wanted, native = run(tmp_path, NATIVE)
    found, stats = run(tmp_path, OTLP)
    assert b'"record":"verdict"' in wanted
    assert found == wanted
    assert stats.rejected == 0
    assert stats.totals == native.totals
    assert stats.events == {**native.events, "span": stats.events["span"]}


def test_any_order_and_batch_gives_the_same_bytes(tmp_path: Path) -> None:
    """Shuffled lines, small batches, one shard: nothing changes."""
    wanted, _ = run(tmp_path, OTLP)
    shuffled = list(OTLP)
    random.Random(7).shuffle(shuffled)
    assert run(tmp_path, shuffled, 37)[0] == wanted
    assert run(tmp_path, shuffled, 500, shards=1)[0] == wanted


def test_traces_without_a_root_are_finished_at_the_end(tmp_path: Path) -> None:
    """The replay waits for what is open when the file ends."""
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
    _, stats = run(tmp_path, [request_json(span_json(1, 1, agent, parent=5))])
    assert stats.events == {"span": 1, "interaction": 1}
    assert stats.ticks >= load_settings(None, {}).otlp.gap_minutes


def test_the_command_reads_otlp_alone_if_told_so(tmp_path: Path) -> None:
    """`--format otlp` refuses any other line and says which."""
    path = tmp_path / "spans.jsonl"
    path.write_bytes(OTLP[0] + b"\n" + NATIVE[0] + b"\n")
    result = runner.invoke(app, ["replay", str(path), "--format", "otlp", "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rejected"] == 1
    assert "line 2: unsupported_format: the line is no OTLP export request in JSON" in result.stderr


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("mark", '"denied"', "otlp.rules.mine.mark"),
        ("when", "{}", "otlp.rules.mine.when"),
        ("wen", "1", "there is no such key; did you mean 'when'?"),
    ],
)
def test_a_wrong_rule_is_refused_in_words(tmp_path: Path, key: str, value: str, complaint: str) -> None:
    """A configured rule is checked like every other key."""
    rule = {"mark": '"denial"', "when": '{"app.refused" = ["true"]}', key: value}
    config = tmp_path / "midwatch.toml"
    config.write_text("[otlp.rules.mine]\n" + "\n".join(f"{name} = {text}" for name, text in rule.items()))
    result = runner.invoke(app, ["check-config", "--config", str(config)])
    assert result.exit_code == 2
    assert complaint in result.stderr
