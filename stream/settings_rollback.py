"""The configuration of the rollback subscriber (`midwatch rollback run`): its bounds, its gate, its executors."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, model_validator

from stream.rollback.rules import Rules
from stream.settings_sections import Port, Section, Wildcard, is_loopback

ExecutorType = Literal["argo_rollouts", "deployment", "flagger", "flag_trigger", "azureml", "command"]

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "argo_rollouts": ("argo_rollout",),
    "deployment": ("k8s_deployment", "kubernetes_deployment"),
    "flagger": ("flagger_canary",),
    "flag_trigger": ("feature_flag",),
    "azureml": ("azureml_endpoint",),
    "command": (),
}
"""The kinds of targets that an executor takes where its section names none."""

IN_A_CLUSTER: Final = frozenset({"argo_rollouts", "deployment", "flagger"})
"""The types whose targets lie in a Kubernetes cluster."""

NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "argo_rollouts": ("binary", "argo_binary", "namespaces"),
    "deployment": ("binary", "namespaces"),
    "flagger": ("namespaces",),
    "flag_trigger": ("url_file", "flag_keys"),
    "azureml": ("binary", "resource_group", "workspace"),
    "command": ("argv", "target_kinds"),
}

Minutes = Annotated[float, Field(gt=0, le=1440)]
Word = Annotated[str, Field(min_length=1, max_length=256)]


class GateSettings(Section):
    """Where Flagger asks whether a canary may go on: GET /v1/gates/{namespace}/{canary}, 200 or 403."""

    enabled: bool = Field(False, description="Serve the gate; needed by executors of type flagger.")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; beyond loopback a token is needed.")
    port: Port = Field(9471, description="Port; 0 for any free one.")
    token: SecretStr | None = Field(
        None, min_length=16, description="Bearer token, or ?token= in the URL of Flagger's webhook."
    )
    token_file: Path | None = Field(None, description="File that holds the token.")
    minutes: Minutes = Field(10.0, description="How long a gate stays shut for a canary that is to be rolled back.")

    @model_validator(mode="after")
    def _token_beyond_loopback(self) -> GateSettings:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(f"host {self.host} is not loopback: set a token, or listen on 127.0.0.1")
        return self


class RollbackSettings(Section):
    """The rollback subscriber: within which bounds it acts on verdicts. It does nothing unless mode is live."""

    mode: Literal["dry_run", "live"] = Field("dry_run", description="dry_run says what would be done; live does it.")
    group_id: str = Field("midwatch-rollback", min_length=1, description="Consumer group of the subscribers.")
    environments: tuple[Wildcard, ...] = Field(
        (), description="Environments to act in, exact or *; none if it is empty."
    )
    systems: tuple[Wildcard, ...] = Field(("*",), description="Systems to act on, exact or *.")
    components: tuple[Wildcard, ...] = Field(("*",), description="Components (flows, agents) to act on, exact or *.")
    min_confidence: float = Field(0.95, ge=0, le=1, description="Least confidence of a recommendation to act on.")
    approval: Literal["verdict", "always"] = Field(
        "verdict", description="Who must approve: verdict (where the verdict asks for it) or always a person."
    )
    max_valid_minutes: Minutes = Field(
        30.0, description="Longest time from a verdict to its action, whatever the verdict's not_after says."
    )
    max_skew_seconds: float = Field(
        120.0, ge=0, le=3600, description="How far ahead of this clock a verdict may be decided."
    )
    cool_down_minutes: Minutes = Field(60.0, description="Least time between two actions on one component.")
    max_per_hour: int = Field(2, ge=0, le=1000, description="Most actions in any hour, all subscribers together.")
    action_seconds: float = Field(
        120.0, gt=0, le=1800, description="Longest time of one action, its repeats included."
    )
    verify_minutes: Minutes = Field(
        90.0, description="Within which the incident must resolve and the version must stay away."
    )
    verify_every_seconds: float = Field(60.0, gt=0, le=3600, description="How often the executor is asked meanwhile.")
    stop_file: Path | None = Field(None, description="While this file exists nothing is done: a kill switch.")
    publish_deployment: bool = Field(
        False, description="Publish a deployment event (rolled_back) after an action; off where a pipeline does."
    )
    gate: GateSettings = Field(default_factory=GateSettings)

    def rules(self) -> Rules:
        """The same as the pure functions take them."""
        return Rules(
            mode=self.mode,
            environments=frozenset(self.environments),
            systems=frozenset(self.systems),
            components=frozenset(self.components),
            min_confidence=self.min_confidence,
            always_approve=self.approval == "always",
            longest=timedelta(minutes=self.max_valid_minutes),
            skew=timedelta(seconds=self.max_skew_seconds),
            cool_down=timedelta(minutes=self.cool_down_minutes),
            per_hour=self.max_per_hour,
            # The one who started has given up well before somebody else takes it up.
            lease=timedelta(seconds=2 * self.action_seconds + 30),
            attempts=3,
            verify_for=timedelta(minutes=self.verify_minutes),
        )


class ExecutorSection(Section):
    """One way to roll back targets of some kinds. All that says where (cluster, binary, URL) stands here alone."""

    type: ExecutorType = Field(
        description="argo_rollouts, deployment, flagger, flag_trigger, azureml or command."
    )
    target_kinds: tuple[Word, ...] = Field((), description="Kinds of targets; the type's own if not given.")
    environments: tuple[Word, ...] = Field((), description="Environments that it serves; all if not given.")
    binary: Path | None = Field(None, description="kubectl, or az, by its absolute path.")
    argo_binary: Path | None = Field(None, description="kubectl-argo-rollouts, by its absolute path.")
    cluster: Word | None = Field(
        None, description="Name of the Kubernetes cluster: only targets with this ref.cluster are served."
    )
    context: Word | None = Field(None, description="Context of the kubeconfig; the current one if not given.")
    kubeconfig: Path | None = Field(None, description="Kubeconfig; else the pod's service account.")
    namespaces: tuple[Word, ...] = Field((), description="Namespaces that it may touch.")
    version_label: Word = Field(
        "app.kubernetes.io/version", description="Label of the pod template that says the version; else an image's tag."
    )
    resource_group: Word | None = Field(None, description="Azure resource group of the workspace.")
    workspace: Word | None = Field(None, description="Azure ML workspace.")
    subscription: Word | None = Field(None, description="Azure subscription; az's own if not given.")
    url_file: Path | None = Field(None, description="File that holds the trigger URL, which is a secret (https).")
    flag_keys: tuple[Word, ...] = Field((), description="Flags (ref.key or ref.flag_key) that this URL turns off.")
    argv: tuple[Word, ...] = Field(
        (), description="Program by its absolute path, and its arguments; {component} and the like are filled in."
    )
    check_argv: tuple[Word, ...] = Field(
        (), description="Program that ends with 0 if it is rolled back, with 1 if it is not."
    )
    idempotent: bool = Field(False, description="Whether running argv twice is the same as once.")

    @model_validator(mode="after")
    def _whole(self) -> ExecutorSection:
        missing = [name for name in NEEDED[self.type] if not getattr(self, name)]
        if missing:
            raise ValueError(f"an executor of type {self.type} needs {', '.join(missing)} as well")
        programs = [self.binary, self.argo_binary, *(Path(one[0]) for one in (self.argv, self.check_argv) if one)]
        if relative := next((str(one) for one in programs if one is not None and not one.is_absolute()), None):
            raise ValueError(f"{relative!r} must be an absolute path: no PATH is searched")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of targets that it takes."""
        return self.target_kinds or KINDS[self.type]
