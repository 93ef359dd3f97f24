"""Deployments and Argo Rollouts: which commands are run, on what, and what is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream.rollback.executors.argo import ArgoRollouts
from stream.rollback.executors.base import Order, Refused
from stream.rollback.executors.deployment import DeploymentUndo
from stream.rollback.executors.kubernetes import Cluster
from tests.support.programs import Programs
from tests.support.rollback import verdict

LABEL = "app.kubernetes.io/version"
GET = "kubectl get deployments.apps flow-1"
GET_ROLLOUT = "kubectl get rollouts.argoproj.io flow-1"
SETS = "kubectl get replicasets"


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path, "kubectl", "kubectl-argo-rollouts")


def cluster(programs: Programs, **more: Any) -> Cluster:
    fields: dict[str, Any] = {
        "binary": programs["kubectl"],
        "context": None,
        "kubeconfig": None,
        "namespaces": ("agents",),
        "version_label": LABEL,
        "seconds": 20.0,
    }
    return Cluster(**(fields | more))


def order(**more: Any) -> Order:
    given = verdict(1, **more)
    assert given.target is not None
    return Order("production", "refunds", given.incident_id, "act_1", given.target)


def template(version: str, *, labelled: bool = True) -> dict[str, Any]:
    labels = {LABEL: version} if labelled else {"app": "flow"}
    containers = [{"image": f"registry.example:5000/flow:{version}"}]
    return {"metadata": {"labels": labels}, "spec": {"containers": containers}}


def workload(version: str, *, labelled: bool = True, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"uid": "u1"},
        "spec": {"template": template(version, labelled=labelled), "selector": {"matchLabels": {"app": "flow"}}},
        "status": status,
    }


def sets(annotation: str, *revisions: tuple[int, str], owner: str = "u1") -> dict[str, Any]:
    items = [
        {
            "metadata": {"annotations": {annotation: str(number)}, "ownerReferences": [{"uid": owner}]},
            "spec": {"template": template(version)},
        }
        for number, version in revisions
    ]
    return {"items": items}


KUBERNETES = "deployment.kubernetes.io/revision"
ARGO = "rollout.argoproj.io/revision"


async def test_a_deployment_is_undone_to_the_newest_revision_of_the_version(programs: Programs) -> None:
    """Of several revisions of 1.9 the newest is named, whatever others lie between; where, the configuration says."""
    programs.answer(
        (GET, {"out": workload("2.0")}),
        (SETS, {"out": sets(KUBERNETES, (3, "1.9"), (7, "1.9"), (8, "1.8"), (9, "2.0"))}),
        ("kubectl rollout undo", {"out": "deployment.apps/flow-1 rolled back"}),
    )
    executor = DeploymentUndo(cluster(programs, context="prod", kubeconfig=Path("/etc/kube")))
    outcome = await executor.execute(order())
    assert outcome.ok
    assert "rolled back" in outcome.detail
    where = ["--namespace=agents", "--context=prod", "--kubeconfig=/etc/kube"]
    assert programs.calls == [
        ["kubectl", "get", "deployments.apps", "flow-1", "--output=json", *where],
        ["kubectl", "get", "replicasets", "--selector=app=flow", "--output=json", *where],
        ["kubectl", "rollout", "undo", "deployment/flow-1", "--to-revision=7", *where],
    ]


async def test_without_a_version_to_return_to_it_is_the_newest_other_one(programs: Programs) -> None:
    """`to_version` is optional; replica sets of other owners do not count."""
    strangers = sets(KUBERNETES, (12, "1.7"), owner="u2")["items"]
    mine = sets(KUBERNETES, (4, "1.8"), (5, "2.0"))["items"]
    programs.answer(
        (GET, {"out": workload("2.0")}), (SETS, {"out": {"items": strangers + mine}}), ("kubectl rollout undo", {})
    )
    assert (await DeploymentUndo(cluster(programs)).execute(order(to_version=None))).ok
    assert "--to-revision=4" in programs.calls[-1]


@pytest.mark.parametrize(
    ("now", "reading"), [("2.0", "serving"), ("1.9", "rolled_back"), ("3.0", "moved_on")]
)
@pytest.mark.parametrize("labelled", [True, False])
async def test_it_looks_before_it_acts(programs: Programs, now: str, reading: str, labelled: bool) -> None:
    """The version is the label's, or the image's tag; what carries another version than the bad one is left alone."""
    programs.answer(
        (GET, {"out": workload(now, labelled=labelled)}),
        (SETS, {"out": sets(KUBERNETES, (1, "1.9"), (2, "2.0"))}),
        ("kubectl rollout undo", {}),
    )
    executor = DeploymentUndo(cluster(programs))
    assert await executor.observe(order()) == reading
    if reading == "moved_on":
        with pytest.raises(Refused, match="left alone"):
            await executor.execute(order())
    else:
        assert (await executor.execute(order())).ok
    undone = [call for call in programs.calls if "undo" in call]
    assert len(undone) == (reading == "serving")


async def test_a_version_that_is_gone_is_said(programs: Programs) -> None:
    """Where no revision carries the version any more nothing is undone."""
    programs.answer((GET, {"out": workload("2.0")}), (SETS, {"out": sets(KUBERNETES, (9, "2.0"))}))
    with pytest.raises(Refused, match=r"no revision of it carries 1\.9; 1 revisions are kept"):
        await DeploymentUndo(cluster(programs)).execute(order())


@pytest.mark.parametrize(
    "answer",
    [
        {"code": 1, "err": "Unable to connect: token=hunter2hunter2"},
        {"out": "no json"},
        {"out": "[]"},
        {"sleep": 30},
    ],
)
async def test_a_cluster_that_does_not_answer(programs: Programs, answer: dict[str, Any]) -> None:
    """Nothing is known, nothing is done, it may be tried again, and no secret of the output is repeated."""
    programs.answer((GET, answer))
    executor = DeploymentUndo(cluster(programs, seconds=0.5 if "sleep" in answer else 20.0))
    assert await executor.observe(order()) == "unknown"
    outcome = await executor.execute(order())
    assert (outcome.ok, outcome.again) == (False, True)
    assert "hunter2" not in outcome.detail


async def test_an_undo_that_fails_is_said(programs: Programs) -> None:
    """The tool's own words and its exit code are in the answer."""
    programs.answer(
        (GET, {"out": workload("2.0")}),
        (SETS, {"out": sets(KUBERNETES, (1, "1.9"))}),
        ("kubectl rollout undo", {"code": 1, "err": "error: you cannot rollback a paused deployment"}),
    )
    outcome = await DeploymentUndo(cluster(programs)).execute(order())
    assert not outcome.ok
    assert "exit code 1: error: you cannot rollback a paused deployment" in outcome.detail


async def test_a_canary_is_aborted(programs: Programs) -> None:
    """While the new version is not the stable one, Argo's own command aborts it."""
    programs.answer(
        (GET_ROLLOUT, {"out": workload("2.0", stableRS="a", currentPodHash="b")}), ("kubectl-argo-rollouts abort", {})
    )
    executor = ArgoRollouts(cluster(programs), programs["kubectl-argo-rollouts"])
    assert (await executor.execute(order())).ok
    assert programs.calls[1:] == [["kubectl-argo-rollouts", "abort", "flow-1", "--namespace=agents"]]


async def test_a_promoted_version_is_undone(programs: Programs) -> None:
    """Once the new version is the stable one there is nothing to abort: undo, to the revision of the version."""
    programs.answer(
        (GET_ROLLOUT, {"out": workload("2.0", stableRS="b", currentPodHash="b")}),
        (SETS, {"out": sets(ARGO, (5, "1.9"), (6, "2.0"))}),
        ("kubectl-argo-rollouts undo", {}),
    )
    executor = ArgoRollouts(cluster(programs), programs["kubectl-argo-rollouts"])
    assert (await executor.execute(order())).ok
    assert programs.calls[-1] == ["kubectl-argo-rollouts", "undo", "flow-1", "--to-revision=5", "--namespace=agents"]


async def test_an_aborted_rollout_is_rolled_back(programs: Programs) -> None:
    """Its template still names the bad version, and it is done all the same; doing it again does nothing."""
    found = workload("2.0", stableRS="a", currentPodHash="b", abort=True)
    programs.answer((GET_ROLLOUT, {"out": found}))
    executor = ArgoRollouts(cluster(programs), programs["kubectl-argo-rollouts"])
    assert await executor.observe(order()) == "rolled_back"
    outcome = await executor.execute(order())
    assert (outcome.ok, outcome.reason, len(programs.calls)) == (True, "found_done", 2)


HOSTILE = ["x; rm -rf /", "--kubeconfig=evil", "-n", "$(id)", "`id`", "../x", "a b", "a\nb", "", "x" * 300, "ä", "a/b"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["namespace", "name", "from_version", "to_version"])
async def test_nothing_hostile_reaches_a_command(programs: Programs, field: str, value: str) -> None:
    """Whatever a verdict says where: it is refused before any program is run."""
    reference = {"namespace": "agents", "name": "flow-1"}
    more: dict[str, Any] = {"ref": reference | {field: value}} if field in reference else {}
    given = order(**more)
    if not more:
        given = Order(*_head(given), given.target.model_copy(update={field: value}))
    for executor in (
        DeploymentUndo(cluster(programs)),
        ArgoRollouts(cluster(programs), programs["kubectl-argo-rollouts"]),
    ):
        with pytest.raises(Refused):
            executor.plan(given)
        with pytest.raises(Refused):
            await executor.execute(given)
    assert programs.calls == []


def _head(given: Order) -> tuple[str, str, str, str]:
    return given.environment, given.system, given.incident_id, given.key


def test_only_named_namespaces_are_touched(programs: Programs) -> None:
    """A target in another namespace is refused, however well it is named."""
    with pytest.raises(Refused, match="kube-system is none"):
        DeploymentUndo(cluster(programs)).plan(order(ref={"namespace": "kube-system", "name": "flow-1"}))
