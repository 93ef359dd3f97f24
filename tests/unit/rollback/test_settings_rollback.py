"""The subscriber's configuration: safe by default, whole or refused, and what is wrong is said."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from stream.cli import app
from stream.rollback.executors.base import Order
from stream.rollback.executors.registry import build
from stream.settings import load_settings
from stream.settings_rollback import ExecutorSection, GateSettings, RollbackSettings
from tests.support.programs import Programs
from tests.unit.rollback.test_executors_kubernetes import order


def test_by_default_nothing_is_done() -> None:
    """Dry run, in no environment, within bounds."""
    rules = load_settings(None, {}).rollback.rules()
    assert rules.mode == "dry_run"
    assert rules.environments == frozenset()
    assert (rules.min_confidence, rules.per_hour) == (0.95, 2)
    assert rules.longest == timedelta(minutes=30)


def test_whoever_acts_has_given_up_before_it_is_taken_up() -> None:
    """The lease outlasts an action by far, whatever is configured."""
    for seconds in (1.0, 120.0, 1800.0):
        rules = RollbackSettings(action_seconds=seconds).rules()
        assert rules.lease / 2 > timedelta(seconds=seconds)
        assert rules.memory > rules.longest + rules.verify_for


def test_the_settings_change_no_answer_of_the_engine() -> None:
    """What is rolled back with does not stand in the hash of what shapes verdicts."""
    other = load_settings(None, {"MIDWATCH_ROLLBACK__MODE": "live"})
    assert other.rollback.mode == "live"
    assert other.config_hash() == load_settings(None, {}).config_hash()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"type": "deployment", "binary": "/bin/kubectl"}, "namespaces"),
        ({"type": "argo_rollouts", "binary": "/bin/kubectl", "namespaces": ["a"]}, "argo_binary"),
        ({"type": "azureml", "binary": "/bin/az"}, "resource_group, workspace"),
        ({"type": "flag_trigger", "url_file": "/x"}, "flag_keys"),
        ({"type": "command", "argv": ["/bin/x"]}, "target_kinds"),
        ({"type": "deployment", "binary": "kubectl", "namespaces": ["a"]}, "absolute path"),
        ({"type": "command", "argv": ["roll"], "target_kinds": ["x"]}, "absolute path"),
        ({"type": "shell"}, "type"),
    ],
)
def test_executors_that_are_not_whole(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    """Each type needs its keys, and no PATH is searched for a program."""
    path = tmp_path / "midwatch.toml"
    lines = [f"{key} = {value!r}".replace("'", '"') for key, value in fields.items()]
    path.write_text("[rollback_executors.x]\n" + "\n".join(lines), encoding="utf-8")
    done = CliRunner().invoke(app, ["rollback", "run", "--config", str(path)])
    assert done.exit_code == 2
    assert said in done.stderr


def test_what_is_not_on_this_machine_is_said_at_the_start(tmp_path: Path) -> None:
    """Programs and files that are missing, URLs that are none, templates: all of it at once, and no secret."""
    url = tmp_path / "url"
    url.write_text("http://elsewhere.example/secret-part", encoding="utf-8")
    programs = Programs(tmp_path, "az")
    sections = {
        "a": ExecutorSection(type="deployment", binary=tmp_path / "kubectl", namespaces=("x",)),
        "b": ExecutorSection(type="flag_trigger", url_file=url, flag_keys=("x",)),
        "c": ExecutorSection(type="flag_trigger", url_file=tmp_path / "none", flag_keys=("x",)),
        "d": ExecutorSection(type="command", argv=(str(programs["az"]), "{oops}"), target_kinds=("x",)),
        "e": ExecutorSection(type="flagger", namespaces=("x",)),
        "f": ExecutorSection(type="azureml", binary=programs["az"], resource_group="r", workspace="w"),
    }
    executors, problems = build(RollbackSettings(), sections)
    said = "\n".join(map(str, problems))
    assert sorted(executors.named) == ["e", "f"]
    for words in ("kubectl is no program", "is not https", "cannot be read", "{oops} is no", "gate.enabled"):
        assert words in said
    assert "secret-part" not in said


@pytest.mark.parametrize(
    ("section", "said", "served"),
    [(None, None, True), ("eu", "eu", True), ("eu", "us", False), ("eu", None, False), (None, "eu", False)],
)
def test_one_cluster_is_never_rolled_back_for_another(
    tmp_path: Path, section: str | None, said: str | None, served: bool
) -> None:
    """A target that names a cluster is served by the section of that cluster alone."""
    programs = Programs(tmp_path, "kubectl")
    executor = ExecutorSection(
        type="deployment", binary=programs["kubectl"], namespaces=("agents",), cluster=section
    )
    executors, problems = build(RollbackSettings(), {"x": executor})
    assert not problems
    reference = {"namespace": "agents", "name": "flow-1"} | ({"cluster": said} if said else {})
    target = order(ref=reference).target.model_copy(update={"kind": "k8s_deployment"})
    plan = executors.plan(Order("production", "refunds", "inc_1", "act_1", target))
    assert (plan.executor == "x") == served
    if not served:
        assert plan.reason == "no_executor"


def test_live_on_a_replayed_past_is_refused(tmp_path: Path) -> None:
    """Where telemetry moves time nothing may be rolled back."""
    path = tmp_path / "midwatch.toml"
    path.write_text('[engine]\nclock = "stream"\n[rollback]\nmode = "live"\n', encoding="utf-8")
    done = CliRunner().invoke(app, ["rollback", "run", "--config", str(path)])
    assert done.exit_code == 2
    assert "a replayed past" in done.stderr


def test_a_short_token_is_refused() -> None:
    """A gate's token can be guessed if it is short."""
    with pytest.raises(ValidationError):
        GateSettings.model_validate({"token": "short"})


@pytest.mark.parametrize("arguments", [["approve"], ["halt"], ["approve", "inc_1", "--for", "soon"], ["refuse"]])
def test_wrong_command_lines(arguments: list[str]) -> None:
    """They end with 2 before anything is asked of Kafka."""
    assert CliRunner().invoke(app, ["actions", *arguments]).exit_code == 2
