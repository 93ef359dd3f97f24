"""What is shipped to run: images, composed services and pods without rights that they do not need, and pinned."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(path for path in ROOT.rglob("*Dockerfile*") if ".venv" not in path.parts)
COMPOSED: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod"}
SECRET_NAME = re.compile(r"passw|secret|token|api_?key|credential", re.IGNORECASE)


def pods() -> list[tuple[str, dict[str, Any]]]:
    """The pods of every manifest in deploy/, by file and name."""
    found = []
    for path in sorted((ROOT / "deploy").rglob("*.y*ml")):
        text = path.read_text(encoding="utf-8")
        if not re.search(rf"^kind: (?:{'|'.join(WORKLOADS)})$", text, re.MULTILINE):
            continue
        for one in yaml.safe_load_all(text):
            if one and one["kind"] in WORKLOADS:
                spec = one["spec"]
                spec = spec.get("jobTemplate", {}).get("spec", spec)
                found.append((f"{path.name} {one['metadata']['name']}", spec.get("template", {}).get("spec", spec)))
    return found


PODS = pods()
MIDWATCHS = [pytest.param(pod, id=name) for name, pod in PODS if "midwatch" in str(pod["containers"][0]["image"])]


def test_there_are_pods_to_look_at() -> None:
    """The rollback subscriber's, at the least."""
    assert MIDWATCHS


@pytest.mark.parametrize("pod", MIDWATCHS)
def test_a_pod_of_ours_has_no_rights(pod: dict[str, Any]) -> None:
    """No root, nothing of the host's, nothing writable but what is mounted so, no capability, bounded memory."""
    context = pod["securityContext"]
    assert context["runAsNonRoot"]
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        own = container["securityContext"]
        assert own["readOnlyRootFilesystem"]
        assert not own["allowPrivilegeEscalation"]
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert re.fullmatch(r"[\w./-]+:\d[\w.-]*", container["image"]), "an image has a version"
        assert not [one for one in container.get("env", []) if SECRET_NAME.search(one["name"]) and one.get("value")]


@pytest.mark.parametrize("name", sorted(COMPOSED))
def test_a_composed_service_gains_no_rights(name: str) -> None:
    """No new privileges, nothing of the host's; our own image also without capabilities, on a read-only file system."""
    service = COMPOSED[name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged", False)
    assert not {"cap_add", "pid", "ipc", "devices"} & set(service)
    assert service.get("network_mode") in {None, "none"}
    assert not [one for one in service.get("volumes", []) if one.startswith("/")]
    if service["image"].startswith("midwatch:"):
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_image_is_of_pinned_parts(path: Path) -> None:
    """Exact base versions; every download by pip is locked with hashes; nothing is fetched by an address; no secret."""
    text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
    for base in re.findall(r"^FROM (?:--\S+ )?(\S+)", text, re.MULTILINE):
        assert re.search(r":v?\d+\.\d+\.\d+", base) or base.startswith("midwatch"), base
    for install in re.findall(r"pip install ([^&\n]*)", text):
        assert "--require-hashes" in install or {"--no-deps", "--no-index"} <= set(install.split()), install
    assert not re.search(r"^ADD ", text, re.MULTILINE)
    assert not re.search(r"curl [^\n]*\|\s*(?:ba)?sh", text)
    assert not [line for line in re.findall(r"^(?:ENV|ARG) .*$", text, re.MULTILINE) if SECRET_NAME.search(line)]
    last = text[text.rindex("\nFROM ") :]
    users = re.findall(r"^USER (\S+)$", last, re.MULTILINE)
    # An image on top of ours has its user.
    assert users or last.startswith("\nFROM midwatch:")
    assert not {"root", "0"} & set(users[-1:])


def test_processes_need_no_folder_of_their_own() -> None:
    """The servers import nothing that writes a cache at its start, as charts do: the file system may be read-only."""
    servers = "stream.run, stream.run_sinks, stream.ingest_http.serve, stream.rollback.run, dashboard.serve"
    program = f"import sys, {servers}, evaluation.agent; sys.exit('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
