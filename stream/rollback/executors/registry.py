"""The executors that the configuration names, and which of them an order is for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stream.rollback.decide import Plan
from stream.rollback.executors.argo import ArgoRollouts
from stream.rollback.executors.azureml import AzureTraffic
from stream.rollback.executors.base import Executor, Order, Refused
from stream.rollback.executors.command import Command, check_template
from stream.rollback.executors.deployment import DeploymentUndo
from stream.rollback.executors.flag import FlagTrigger, check_url
from stream.rollback.executors.flagger import FlaggerGate
from stream.rollback.executors.kubernetes import Cluster
from stream.settings_problems import Problem
from stream.settings_rollback import IN_A_CLUSTER, ExecutorSection, RollbackSettings

TRIES: Final = 3
"""Most tries of one execution; all of them together have `rollback.action_seconds`."""


@dataclass(frozen=True, slots=True)
class Named:
    """An executor under the name of its section, and what it serves."""

    name: str
    section: ExecutorSection
    executor: Executor

    def serves(self, order: Order) -> bool:
        """Whether an order is for it."""
        here = self.section.environments
        if self.section.type in IN_A_CLUSTER and order.target.ref.get("cluster") != self.section.cluster:
            return False
        return order.target.kind in self.section.kinds and (not here or order.environment in here)


class Executors:
    """All of them, by name."""

    def __init__(self, named: Mapping[str, Named]) -> None:
        self.named = dict(named)

    def pick(self, order: Order) -> Named:
        """The one for an order. Raises Refused where there is none, or more than one."""
        found = [one for one in self.named.values() if one.serves(order)]
        if len(found) == 1:
            return found[0]
        cluster = order.target.ref.get("cluster")
        place = order.environment if cluster is None else f"{order.environment}, cluster {cluster!r}"
        what = f"targets of kind {order.target.kind!r} in {place}"
        if found:
            raise Refused(f"several executors serve {what}: {', '.join(one.name for one in found)}")
        raise Refused(f"no executor serves {what}")

    def plan(self, order: Order) -> Plan:
        """How an order would be carried out, or why it cannot be."""
        try:
            named = self.pick(order)
        except Refused as why:
            return Plan(None, str(why))
        try:
            return Plan(named.name, named.executor.plan(order))
        except Refused as why:
            return Plan(None, f"{named.name}: {why}", "unfit_target")


def build(settings: RollbackSettings, sections: Mapping[str, ExecutorSection]) -> tuple[Executors, list[Problem]]:
    """The executors, and what is wrong with those that could not be made."""
    named: dict[str, Named] = {}
    problems: list[Problem] = []
    for name, section in sorted(sections.items()):
        try:
            _check_programs(section)
            named[name] = Named(name, section, _make(settings, section))
        except (ValueError, OSError) as error:
            problems.append(Problem(f"rollback_executors.{name}", str(error)))
        if section.type == "flagger" and not settings.gate.enabled:
            problems.append(Problem(f"rollback_executors.{name}", "needs rollback.gate.enabled = true"))
    return Executors(named), problems


def _make(settings: RollbackSettings, section: ExecutorSection) -> Executor:
    seconds = settings.action_seconds / TRIES
    match section.type:
        case "argo_rollouts":
            return ArgoRollouts(_cluster(section, seconds), section.argo_binary or Path())
        case "deployment":
            return DeploymentUndo(_cluster(section, seconds))
        case "flagger":
            return FlaggerGate(section.namespaces, settings.gate.minutes)
        case "flag_trigger":
            return FlagTrigger(section.flag_keys, _read_url(section.url_file), seconds)
        case "azureml":
            where = (section.resource_group or "", section.workspace or "", section.subscription)
            return AzureTraffic(section.binary or Path(), *where, settings.action_seconds)
        case "command":
            check_template(section.argv)
            check_template(section.check_argv)
            return Command(section.argv, section.check_argv, settings.action_seconds, section.idempotent)


def _cluster(section: ExecutorSection, seconds: float) -> Cluster:
    return Cluster(
        section.binary or Path(),
        section.context,
        section.kubeconfig,
        section.namespaces,
        section.version_label,
        seconds,
    )


def _read_url(path: Path | None) -> str:
    if path is None:
        raise ValueError("needs url_file")
    try:
        return check_url(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"url_file {path} cannot be read: {error}") from None
    except ValueError as error:
        raise ValueError(f"the URL in {path} {error}") from None


def _check_programs(section: ExecutorSection) -> None:
    commands = [Path(argv[0]) for argv in (section.argv, section.check_argv) if argv]
    for program in (section.binary, section.argo_binary, *commands):
        if program is not None and not (program.is_file() and os.access(program, os.X_OK)):
            raise ValueError(f"{program} is no program that can be run")
