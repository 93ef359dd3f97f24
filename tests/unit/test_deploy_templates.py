"""The templates that other tools run: they parse, and what they send is understood."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.adapters import Decoder
from stream.ingest_http.app import TOOLS
from tests.contract.test_producers import SAMPLES
from tests.unit.adapters.events import NOW_MS

DEPLOY = Path(__file__).parents[2] / "deploy"

RENDER = """
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
	"time"
)

func main() {
	functions := template.FuncMap{
		"toJson":    func(value interface{}) string { text, _ := json.Marshal(value); return string(text) },
		"hasPrefix": func(prefix, text string) bool { return strings.HasPrefix(text, prefix) },
		"now":       func() time.Time { return time.UnixMilli(1767607140000).UTC() },
		"date":      func(layout string, at time.Time) string { return at.Format(layout) },
	}
	source, _ := os.ReadFile(os.Args[1])
	parsed := template.Must(template.New("body").Funcs(functions).Parse(string(source)))
	data, _ := os.ReadFile(os.Args[2])
	var many []interface{}
	if err := json.Unmarshal(data, &many); err != nil {
		panic(err)
	}
	for _, one := range many {
		if err := parsed.Execute(os.Stdout, map[string]interface{}{"rollout": one}); err != nil {
			panic(err)
		}
		os.Stdout.WriteString("\\x00")
	}
}
"""


def body() -> str:
    """The body that the shipped template sends."""
    config = yaml.safe_load((DEPLOY / "argo-rollouts" / "notifications.yaml").read_text(encoding="utf-8"))["data"]
    assert set(config) >= {"service.webhook.midwatch", "template.midwatch", "trigger.midwatch-aborted"}
    for name, text in config.items():
        parsed = yaml.safe_load(text)
        if name.startswith("trigger."):
            assert parsed[0]["send"] == ["midwatch"], name
            assert parsed[0]["oncePer"], name
    webhook = yaml.safe_load(config["template.midwatch"])["webhook"]["midwatch"]
    assert webhook["path"].removeprefix("/v1/webhooks/") in TOOLS
    return str(webhook["body"])


def rollouts() -> list[dict[str, Any]]:
    """The rollouts of the samples, with what must not be sent; and one that refers to its workload."""
    found = []
    for name, sample in SAMPLES.items():
        if sample.format == "argo_rollouts" and sample.events:
            rollout = copy.deepcopy(sample.value.get("rollout", sample.value))
            rollout["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = '"hunter2"'
            rollout["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "KEY", "value": "hunter2"}]
            found.append({"name": name, **rollout})
    bare = copy.deepcopy(found[-1])
    bare["spec"] = {"strategy": bare["spec"]["strategy"], "workloadRef": {"kind": "Deployment", "name": "refund"}}
    bare["status"]["currentPodHash"] = "7bf84f9696"
    return [*found, {**bare, "name": ""}]


def test_argos_template_sends_what_is_understood(tmp_path: Path) -> None:
    """Rendered by Go's own templates, its body gives the same event as the sample, and no more than it must."""
    source = body()
    if shutil.which("go") is None:
        pytest.skip("the Go toolchain is not installed")
    (tmp_path / "main.go").write_text(RENDER, encoding="utf-8")
    (tmp_path / "body").write_text(source, encoding="utf-8")
    given = rollouts()
    (tmp_path / "data.json").write_text(json.dumps(given), encoding="utf-8")
    command = ["go", "run", "main.go", "body", "data.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b"hunter2" not in done.stdout
    rendered = done.stdout.split(b"\x00")[:-1]
    for rollout, value in zip(given, rendered, strict=True):
        batch = Decoder().decode_batch([(value, (), NOW_MS)])
        assert len(batch.events) == 1, (value, batch.rejections)
        [event] = batch.events
        if rollout["name"]:
            [wanted] = SAMPLES[rollout["name"]].events
            for key in ("component", "version", "phase", "canary_percent"):
                assert getattr(event, key) == wanted.get(key, getattr(event, key)), (rollout["name"], key)
            assert event.system == "claims"


def test_flaggers_and_opas_files_name_paths_that_are_served() -> None:
    """And metadata that the adapter reads."""
    canary = yaml.safe_load((DEPLOY / "flagger" / "canary.yaml").read_text(encoding="utf-8"))
    [webhook] = canary["spec"]["analysis"]["webhooks"]
    assert webhook["type"] == "event"
    assert webhook["url"].rpartition("/")[2] in TOOLS
    payload = {**SAMPLES["flagger_advanced"].value}
    payload["metadata"] = {**payload["metadata"], **webhook["metadata"]}
    [event] = Decoder().decode_batch([(json.dumps(payload).encode(), (), NOW_MS)]).events
    assert (event.environment, event.system) == ("production", "claims")
    opa = yaml.safe_load((DEPLOY / "opa" / "config.yaml").read_text(encoding="utf-8"))
    assert opa["decision_logs"]["resource"].rpartition("/")[2] in TOOLS
    assert opa["decision_logs"]["service"] in opa["services"]


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_has_a_path_and_an_adapter(tool: str) -> None:
    """The names in paths are those of formats that exist."""
    from stream.adapters.producers import PRODUCERS

    assert TOOLS[tool] in {known.name for known in PRODUCERS}
    assert len(TOOLS) == len(PRODUCERS)
