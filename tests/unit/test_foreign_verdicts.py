"""What other tools tell decides as what we are told ourselves: the same verdict, with the tool's own target."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.base import format_time
from stream.cli import app
from tests.contract.test_producers import SAMPLES
from tests.integration import traffic

AT = format_time(datetime.fromtimestamp((traffic.START_MINUTE + traffic.SPIKE_AT - 3) * 60, UTC))
"""Three minutes before the escalations of `refunds` begin."""


def argo() -> dict[str, Any]:
    """A rollout that took all traffic at once, as the shipped template tells it."""
    plain: dict[str, Any] = json.loads(SAMPLES["argo_completed"].encoded)
    plain["time"] = AT
    plain["rollout"]["metadata"]["annotations"] |= {
        "midwatch.io/system": "refunds",
        "midwatch.io/component": "refunds-flow",
        "midwatch.io/version": "7",
    }
    return plain


def cdevent() -> dict[str, Any]:
    """The same as a CDEvent."""
    plain: dict[str, Any] = json.loads(SAMPLES["cdevents_deployed"].encoded)
    plain["context"]["timestamp"] = AT
    plain["customData"] = {"system": "refunds", "component": "refunds-flow", "version": "7", "canary_percent": 100}
    return plain


def github() -> dict[str, Any]:
    """The same as GitHub's webhook; the system comes from the configuration."""
    plain: dict[str, Any] = json.loads(SAMPLES["github_success"].encoded)
    plain["deployment_status"]["created_at"] = AT
    plain["deployment"]["payload"] = {"component": "refunds-flow", "version": "7"}
    return plain


def native() -> dict[str, Any]:
    return {
        "type": "deployment", "id": "d-1", "time": AT, "environment": "production", "system": "refunds",
        "change": "flow", "component": "refunds-flow", "version": "7", "phase": "completed", "canary_percent": 100,
    }  # fmt: skip


def verdicts(folder: Path, deployment: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What a replay of the traffic says of `refunds`, with this deployment in it."""
    lines = [json.dumps(event) for _, event in traffic.events()]
    lines += [json.dumps(deployment)] if deployment else []
    events, out = folder / "events.jsonl", folder / "out.jsonl"
    events.write_text("\n".join(lines), encoding="utf-8")
    environ = {"MIDWATCH_ADAPTERS__SYSTEM": "refunds", "MIDWATCH_ADAPTERS__ENVIRONMENT": "production"}
    result = CliRunner().invoke(app, ["replay", str(events), "--out", str(out), "--json"], env=environ)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["rejected"] == 0
    records = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return [one for one in records if one["record"] == "verdict" and one["scope"]["system"] == "refunds"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The first verdict where the deployment is told natively; without it there is another one."""
    without = verdicts(tmp_path_factory.mktemp("without"), None)[0]
    found = verdicts(tmp_path_factory.mktemp("native"), native())[0]
    assert without["triage_result"] != "recent_deployments"
    assert found["triage_result"] == "recent_deployments"
    return found


@pytest.mark.parametrize(
    ("deployment", "target"),
    [(cdevent(), None), (github(), None), (argo(), {"namespace": "claims", "name": "refund"})],
    ids=["cdevents", "github", "argo"],
)
def test_a_tools_deployment_decides_like_our_own(
    own: dict[str, Any], tmp_path: Path, deployment: dict[str, Any], target: dict[str, str] | None
) -> None:
    """Same finding, same action, same version to leave; Argo's names what a rollback acts on besides."""
    found = verdicts(tmp_path, deployment)[0]
    for key in ("triage_result", "action", "severity", "decided_at", "onset_at"):
        assert found[key] == own[key], key
    assert suspect(found) == suspect(own)
    if target is None:
        assert "target" not in found
    else:
        assert (found["target"]["kind"], found["target"]["ref"]) == ("argo_rollout", target)
        assert (found["target"]["from_version"], found["target"]["component"]) == ("7", "refunds-flow")


def suspect(verdict: dict[str, Any]) -> dict[str, Any]:
    """What the check says of the change, but for its id and its target."""
    [finding] = [one for one in verdict["findings"] if one["check"] == "recent_deployments"]
    evidence = finding["evidence"]
    assert evidence["component"] == "refunds-flow"
    left_out = ("target", "changes", "deployment_event_id", "artifact")
    return {key: value for key, value in evidence.items() if key not in left_out}
