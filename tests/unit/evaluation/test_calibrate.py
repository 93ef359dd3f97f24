"""Judge and people compared: the statistics against hand-computed values, the command against files good and bad."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from typer.testing import CliRunner

from evaluation.agreement import agreement, bias, kappa, spearman
from stream.cli import app
from tests.support.judges import talk

PAIRS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=40)
SCRIPTED = {"MIDWATCH_JUDGE__PROVIDER": "scripted"}


def _table_kappa(labels: list[int], scores: list[int]) -> float | None:
    """Quadratic weighted kappa from the table, as the textbook has it."""
    table = np.zeros((5, 5))
    for label, score in zip(labels, scores, strict=True):
        table[label - 1, score - 1] += 1 / len(labels)
    weights = np.subtract.outer(np.arange(5), np.arange(5)) ** 2
    expected = float((weights * np.outer(table.sum(1), table.sum(0))).sum())
    return None if expected == 0 else 1 - float((weights * table).sum()) / expected


@given(PAIRS)
def test_the_statistics_are_the_textbooks(pairs: list[tuple[int, int]]) -> None:
    """Kappa is the table's, rho is SciPy's, the bias is the difference of the means; undefined where those are."""
    labels, scores = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = agreement("tone", labels, scores)
    expected = _table_kappa(labels, scores)
    assert found.kappa.value == (None if expected is None else pytest.approx(expected))
    if len(set(labels)) > 1 and len(set(scores)) > 1:
        assert found.spearman.value == pytest.approx(float(spearmanr(labels, scores).statistic))
    else:
        assert found.spearman.value is None
    assert found.bias.value == pytest.approx(sum(scores) / len(pairs) - sum(labels) / len(pairs))
    assert sum(map(sum, found.confusion)) == len(pairs)


def test_known_pairs_give_known_numbers() -> None:
    """Four pairs by hand: squared differences 0, 1, 1, 0 against an expectation of 1.25 + 1.25, so kappa is .8."""
    found = agreement("tone", [1, 2, 3, 4], [1, 3, 3, 3.4])
    assert found.confusion[1] == (0, 0, 1, 0, 0)
    assert kappa(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])) == pytest.approx(1 - 0.5 / 2.5)
    assert spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    assert bias(np.array([1.0, 2]), np.array([2.0, 4])) == 1.5


def test_an_interval_holds_the_value_and_is_the_same_each_time() -> None:
    """Seeded: the same file gives the same interval; with few pairs there is none."""
    labels, scores = [1, 2, 3, 4, 5] * 6, [1, 2, 3, 4, 5, 2, 2, 4, 4, 5] * 3
    one, two = agreement("tone", labels, scores), agreement("tone", labels, scores)
    assert one == two
    for estimate in (one.kappa, one.spearman, one.bias):
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high
    assert agreement("tone", [1, 2, 3], [1, 2, 3]).kappa.low is None


def _run(path: Path, *options: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["evaluate", "calibrate", str(path), *options], env=env or {})
    return result.exit_code, result.stdout, result.stderr


def test_given_scores_need_no_judge(tmp_path: Path) -> None:
    """A file of pairs is compared as it is, by criterion, and printed as a table or JSON."""
    path = tmp_path / "pairs.jsonl"
    rows = [{"criterion": name, "label": label, "score": label} for name in ("tone", "mine") for label in (1, 3, 5)]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    code, out, _ = _run(path)
    assert code == 0
    assert "tone: 3 pairs" in out
    assert "+1.00 (too few pairs for an interval)" in out
    found = json.loads(_run(path, "--json")[1])
    assert [one["criterion"] for one in found["criteria"]] == ["mine", "tone"]
    assert found["criteria"][0]["kappa"]["value"] == 1.0
    assert found["methods"] == {"given": 6}


def test_interactions_are_judged_and_what_has_no_score_is_counted(tmp_path: Path) -> None:
    """The configured judge scores them; no text is no pair, and the scripted judge is named as such."""
    path = tmp_path / "talks.jsonl"
    plain = [talk().model_dump(mode="json"), talk(id="i-2", request=None, response=None).model_dump(mode="json")]
    path.write_text("\n".join(json.dumps({"interaction": one, "labels": {"tone": 5}}) for one in plain))
    code, out, _ = _run(path, env=SCRIPTED)
    assert code == 0
    assert "tone: 1 pairs" in out
    assert "no score: 1 no_text" in out
    assert "say nothing about a model" in out


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2 is no object"),
        ('{"criterion": "tone", "label": 6, "score": 3}', "line 2: label"),
        ('{"criterion": "tone", "label": 5, "score": 0}', "line 2: score"),
        ('{"criterion": "tone", "label": true, "score": 3}', "line 2: label"),
        ('{"interaction": {}, "labels": {"tone": 5}}', "line 2: interaction"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    """Number, key and what a line should be; exit code 1, nothing on standard output."""
    path = tmp_path / "bad.jsonl"
    path.write_text('{"criterion": "tone", "label": 5, "score": 3}\n' + line)
    code, out, err = _run(path)
    assert (code, out) == (1, "")
    assert complaint in err


def test_an_unknown_criterion_and_an_empty_file_are_said(tmp_path: Path) -> None:
    """Before any call is paid for."""
    path = tmp_path / "unknown.jsonl"
    path.write_text(json.dumps({"interaction": talk().model_dump(mode="json"), "labels": {"mood": 5}}))
    code, _, err = _run(path, env=SCRIPTED)
    assert code == 1
    assert "no criterion mood" in err
    path.write_text("\n")
    code, _, err = _run(path)
    assert code == 1
    assert "no pair" in err
