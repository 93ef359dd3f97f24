"""What lies in deploy/rollback works with the subscriber as it is: rights, configuration, alerts, paths."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.exposition import generate_latest

from stream.rollback.gate import Gate
from stream.rollback.run import RollbackMetrics
from stream.settings import load_settings
from stream.settings_rollback import GateSettings
from tests.support.real import unavailable

FOLDER = Path(__file__).parents[2] / "deploy" / "rollback"
OBJECTS: dict[str, Any] = {
    one["kind"]: one for one in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
}
FLAGGER_TEXT = (FOLDER / "flagger-canary.yaml").read_text(encoding="utf-8")
FLAGGER: dict[str, Any] = {one["kind"]: one for one in yaml.safe_load_all(FLAGGER_TEXT)}


def test_the_role_is_what_the_executors_use() -> None:
    """Reading and patching of two kinds, listing of a third; no wildcard, no other group, no cluster role."""
    rules = {
        (group, resource): sorted(rule["verbs"])
        for rule in OBJECTS["Role"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert rules == {
        ("apps", "deployments"): ["get", "patch"],
        ("apps", "replicasets"): ["get", "list"],
        ("argoproj.io", "rollouts"): ["get", "patch"],
        ("argoproj.io", "rollouts/status"): ["patch"],
    }
    assert not [kind for kind in OBJECTS if kind.startswith("Cluster")]


def test_the_configuration_is_one_and_dry(tmp_path: Path) -> None:
    """It loads, does nothing yet, touches the namespace of the role alone, and fits the mounts."""
    (tmp_path / "http_token").write_text("a-token-of-some-length", encoding="utf-8")
    text = OBJECTS["ConfigMap"]["data"]["midwatch.toml"].replace("/run/secrets/midwatch", str(tmp_path))
    path = tmp_path / "midwatch.toml"
    path.write_text(text, encoding="utf-8")
    settings = load_settings(path, {})
    assert settings.rollback.mode == "dry_run"
    namespace = OBJECTS["Role"]["metadata"]["namespace"]
    assert {one.namespaces for one in settings.rollback_executors.values()} == {(namespace,)}
    container = OBJECTS["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert settings.rollback.stop_file is not None
    assert str(settings.rollback.stop_file.parent) in mounts
    grace = OBJECTS["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > 2 * settings.rollback.action_seconds, "an action, and its last look"


def test_the_pod_has_no_rights_beyond_its_role() -> None:
    """No root, nothing writable, no capabilities."""
    pod = OBJECTS["Deployment"]["spec"]["template"]["spec"]
    context = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_alerts_are_about_metrics_that_exist() -> None:
    """Every metric of an alert is one of the subscriber's; promtool finds the file sound."""
    text = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
    metrics = RollbackMetrics("live")
    shown = generate_latest(metrics.registry).decode()
    used = set(re.findall(r"midwatch_rollback_[a-z_]+", text))
    assert len(used) == 4
    for name in used:
        assert f"# TYPE {name} " in shown, name
    if shutil.which("promtool") is None:
        unavailable("promtool is not installed (Debian: prometheus)")
    command = ["promtool", "check", "rules", str(FOLDER / "alerts.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("hook", ["confirm-traffic-increase", "rollback"])
def test_flaggers_webhooks_lead_to_the_gate(hook: str) -> None:
    """The paths of the example are pages of the gate: a rollback hook asks the rollback page, no other does."""
    canary = FLAGGER["Canary"]
    [url] = [one["url"] for one in canary["spec"]["analysis"]["webhooks"] if one["type"] == hook]
    path = re.sub(r"\?.*|http://[^/]*", "", url)
    pages = [route.resource.canonical for route in Gate(GateSettings(), lambda *_: None).app().router.routes()
             if route.resource is not None]  # fmt: skip
    filled = {page.format(namespace="agents", canary="refund-flow") for page in pages}
    assert path in filled
    assert path.endswith("/rollback") == (hook == "rollback")


def test_the_gate_can_be_reached(tmp_path: Path) -> None:
    """The hooks ask the Service, which leads to the subscriber's pods and the port that the shown settings open."""
    service = FLAGGER["Service"]
    pods = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= pods.items()
    [port] = service["spec"]["ports"]
    where = f"{service['metadata']['name']}.{service['metadata']['namespace']}:{port['port']}"
    hooks = FLAGGER["Canary"]["spec"]["analysis"]["webhooks"]
    assert {re.sub(r"https?://([^/]*)/.*", r"\1", hook["url"]) for hook in hooks} == {where}
    shown = "\n".join(re.findall(r"^#   ?(\S.*)$", FLAGGER_TEXT, re.MULTILINE))
    (tmp_path / "gate_token").write_text("a-token-of-some-length", encoding="utf-8")
    path = tmp_path / "midwatch.toml"
    path.write_text(shown.replace("/run/secrets/midwatch", str(tmp_path)), encoding="utf-8")
    settings = load_settings(path, {})
    assert settings.rollback.gate.enabled
    assert settings.rollback.gate.port == port["targetPort"]
    assert [one.type for one in settings.rollback_executors.values()] == ["flagger"]


def test_the_readme_names_every_file() -> None:
    """A file that is added is described."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in FOLDER.iterdir():
        assert path.name == "README.md" or f"`{path.name}`" in text


def test_every_reason_is_described() -> None:
    """Each word that a step may give as its reason stands in docs/rollback.md."""
    code = FOLDER.parents[1] / "stream" / "rollback"
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(code.rglob("*.py")))
    reasons = set(re.findall(r'reason="([a-z_]+)"', text))
    reasons |= {"rate_only", "came_back", "not_recovered", "superseded", "not_watched", "taken_up"}
    docs = (FOLDER.parents[1] / "docs" / "rollback.md").read_text(encoding="utf-8")
    assert len(reasons) > 12
    for reason in reasons:
        assert f"`{reason}`" in docs, reason
