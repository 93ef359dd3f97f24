"""Midwatch's topics: what they should be, making those that are missing, and how far the others differ.

Nothing that exists is changed: partitions and retention of a running cluster are its operator's to decide. What
differs is said, and whether it matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.words import (
    ACTIONS_TOPIC,
    CONTROLS_TOPIC,
    DEAD_LETTERS_TOPIC,
    FEEDBACK_TOPIC,
    FIRINGS_TOPIC,
    HEARTBEATS_TOPIC,
    REPORTS_TOPIC,
    SNAPSHOTS_TOPIC,
    VERDICTS_TOPIC,
)
from stream.settings_sections import KafkaSettings

DAY_MS: Final = 86_400_000
INPUT_DAYS: Final = 35
"""Retention of the input topics: the longest window (28 days), lateness and a week's outage."""

ANSWER_DAYS: Final = 90
"""Retention of what Midwatch says: long enough to look back over a quarter."""

HEARTBEAT_DAYS: Final = 7
OUTPUT_PARTITIONS: Final = 4
"""Partitions of the topics that Midwatch writes: far fewer records than it reads."""

UNKNOWN_TOPIC: Final = 3
"""Kafka's error code UNKNOWN_TOPIC_OR_PARTITION."""

SETTLE_TRIES: Final = 100
SETTLE_SECONDS: Final = 0.1

TOPIC_EXISTS: Final = 36
"""Kafka's error code TOPIC_ALREADY_EXISTS: another process was quicker."""

TopicStatus = Literal["created", "exists", "missing", "failed"]


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic as it should be. `partitions` and `configs` are what `create_topics` asks for."""

    name: str
    purpose: str
    partitions: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What was found or done. `partitions` is 0 for a topic that is not there; `configs` are the cluster's values."""

    plan: TopicPlan
    status: TopicStatus
    partitions: int = 0
    configs: Mapping[str, str] | None = None
    differences: tuple[str, ...] = ()
    error: str = ""


class TopicsError(RuntimeError):
    """The cluster would not say what it has."""


def source_topics(kafka: KafkaSettings) -> tuple[str, ...]:
    """The topics that ingest reads: telemetry, and the controls, whatever the configuration says of the others."""
    return tuple(dict.fromkeys((*kafka.input_topics, CONTROLS_TOPIC)))


def plan_topics(kafka: KafkaSettings) -> tuple[TopicPlan, ...]:
    """Every topic that Midwatch reads or writes."""
    names = [name for name in source_topics(kafka) if name != CONTROLS_TOPIC]
    inputs = [TopicPlan(name, "telemetry in", kafka.partitions, _keep(INPUT_DAYS)) for name in names]
    answers = [
        # Compaction keeps the last word about each silence, deletion those that ended long ago.
        TopicPlan(
            CONTROLS_TOPIC,
            "silences, acknowledgements, approvals in",
            1,
            {"cleanup.policy": "compact,delete", "retention.ms": str(INPUT_DAYS * DAY_MS)},
        ),
        TopicPlan(FEEDBACK_TOPIC, "what humans found", OUTPUT_PARTITIONS, {"cleanup.policy": "compact"}),
        TopicPlan(VERDICTS_TOPIC, "verdicts, by incident", OUTPUT_PARTITIONS, _keep(ANSWER_DAYS)),
        TopicPlan(FIRINGS_TOPIC, "firings, by series", OUTPUT_PARTITIONS, _keep(ANSWER_DAYS)),
        # One partition: the order of its records decides which of several subscribers acts.
        TopicPlan(ACTIONS_TOPIC, "what was done about verdicts", 1, _keep(ANSWER_DAYS)),
        TopicPlan(DEAD_LETTERS_TOPIC, "records that could not be read", OUTPUT_PARTITIONS, _keep(INPUT_DAYS)),
        # Compaction keeps each shard's newest sign of life, deletion drops shards that an older layout had.
        TopicPlan(
            HEARTBEATS_TOPIC,
            "signs of life, by shard",
            OUTPUT_PARTITIONS,
            {"cleanup.policy": "compact,delete", "retention.ms": str(HEARTBEAT_DAYS * DAY_MS)},
        ),
        # One record a quarter, and the newest of each is the report.
        TopicPlan(REPORTS_TOPIC, "cost reports, by quarter", 1, {"cleanup.policy": "compact"}),
        # A checkpoint is never dropped but for a newer one: it is what a wiped Redis is rebuilt from.
        TopicPlan(
            SNAPSHOTS_TOPIC,
            "checkpoints, by shard",
            OUTPUT_PARTITIONS,
            {"cleanup.policy": "compact"},
        ),
    ]
    return (*inputs, *answers)


async def inspect_topics(admin: AIOKafkaAdminClient, plans: Sequence[TopicPlan]) -> list[TopicReport]:
    """How each planned topic stands; changes nothing. Raises TopicsError when the cluster does not answer."""
    partitions = {one["topic"]: len(one["partitions"]) for one in await admin.describe_topics()}
    configs = await _read_configs(admin, [plan.name for plan in plans if plan.name in partitions])
    reports = []
    for plan in plans:
        if plan.name not in configs:
            reports.append(TopicReport(plan, "missing"))
            continue
        found, count = configs[plan.name], partitions[plan.name]
        reports.append(TopicReport(plan, "exists", count, found, differences(plan, count, found)))
    return reports


async def create_topics(
    admin: AIOKafkaAdminClient, plans: Sequence[TopicPlan], replication_factor: int
) -> list[TopicReport]:
    """Make the topics that are missing, and return once the cluster shows them.

    May be repeated, and run from several places at once.
    """
    missing = [report.plan for report in await inspect_topics(admin, plans) if report.status == "missing"]
    answers = await _ask_for(admin, missing, replication_factor) if missing else {}
    refused = {name: reason for name, (code, reason) in answers.items() if code not in {0, TOPIC_EXISTS}}
    reports = {report.plan.name: report for report in await _settled(admin, plans, refused)}
    for name, (code, _) in answers.items():
        if code == 0:
            reports[name] = replace(reports[name], status="created")
    for name, reason in refused.items():
        reports[name] = replace(reports[name], status="failed", error=reason)
    return [reports[plan.name] for plan in plans]


async def _ask_for(
    admin: AIOKafkaAdminClient, plans: Sequence[TopicPlan], replication_factor: int
) -> dict[str, tuple[int, str]]:
    """Kafka's error code and message for each topic asked for."""
    wanted = [
        NewTopic(plan.name, plan.partitions, replication_factor, topic_configs=dict(plan.configs)) for plan in plans
    ]
    answers = (await admin.create_topics(wanted)).to_object()["topic_errors"]
    return {
        one["topic"]: (one["error_code"], one.get("error_message") or f"Kafka's error code {one['error_code']}")
        for one in answers
    }


async def _settled(
    admin: AIOKafkaAdminClient, plans: Sequence[TopicPlan], refused: Container[str]
) -> list[TopicReport]:
    """How the topics stand once none is missing: a broker shows a new topic a moment after it was made."""
    for _ in range(SETTLE_TRIES):
        reports = await inspect_topics(admin, plans)
        if all(report.status == "exists" or report.plan.name in refused for report in reports):
            return reports
        await asyncio.sleep(SETTLE_SECONDS)
    absent = ", ".join(report.plan.name for report in reports if report.status == "missing")
    raise TopicsError(f"the cluster took the order but does not show {absent}; look at the brokers' logs")


def differences(plan: TopicPlan, partitions: int, configs: Mapping[str, str]) -> tuple[str, ...]:
    """How an existing topic falls short of its plan, in words. More than planned is no difference."""
    found = []
    if partitions < plan.partitions:
        found.append(f"{partitions} partitions, planned {plan.partitions}")
    for key, wanted in plan.configs.items():
        value = configs.get(key)
        if value is not None and not _as_good(key, value, wanted):
            found.append(f"{key} is {value}, planned {wanted}")
    return tuple(found)


def _as_good(key: str, value: str, wanted: str) -> bool:
    if key == "cleanup.policy":
        return set(value.split(",")) == set(wanted.split(","))
    return int(value) == -1 or int(value) >= int(wanted)


def _keep(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * DAY_MS)}


async def _read_configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for resource in response.to_object()["resources"]:
            if resource["error_code"] == UNKNOWN_TOPIC:
                continue
            if resource["error_code"]:
                reason = resource["error_message"] or f"Kafka's error code {resource['error_code']}"
                raise TopicsError(f"the configuration of {resource['resource_name']} cannot be read: {reason}")
            entries = resource["config_entries"]
            found[resource["resource_name"]] = {one["config_names"]: one["config_value"] for one in entries}
    return found
