"""Midwatch's topics: what they should be, making those that are missing, and how far the others differ.

Nothing that exists is changed: partitions and retention of a running cluster are its operator's to decide. What
differs is said, and whether it matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.words import DEAD_LETTERS_TOPIC, FIRINGS_TOPIC, HEARTBEATS_TOPIC, SNAPSHOTS_TOPIC, VERDICTS_TOPIC
from stream.settings_sections import KafkaSettings

DAY_MS: Final = 86_400_000
INPUT_DAYS: Final = 35
"""Retention of the input topics: the longest window (28 days), lateness and a week's outage."""

ANSWER_DAYS: Final = 90
"""Retention of what Midwatch says: long enough to look back over a quarter."""

HEARTBEAT_DAYS: Final = 7
OUTPUT_PARTITIONS: Final = 4
"""Partitions of the topics that Midwatch writes: far fewer records than it reads."""

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


def plan_topics(kafka: KafkaSettings) -> tuple[TopicPlan, ...]:
    """Every topic that Midwatch reads or writes."""
    names = dict.fromkeys(kafka.input_topics)
    inputs = [TopicPlan(name, "telemetry in", kafka.partitions, _keep(INPUT_DAYS)) for name in names]
    answers = [
        TopicPlan(VERDICTS_TOPIC, "verdicts, by incident", OUTPUT_PARTITIONS, _keep(ANSWER_DAYS)),
        TopicPlan(FIRINGS_TOPIC, "firings, by series", OUTPUT_PARTITIONS, _keep(ANSWER_DAYS)),
        TopicPlan(DEAD_LETTERS_TOPIC, "records that could not be read", OUTPUT_PARTITIONS, _keep(INPUT_DAYS)),
        # Compaction keeps each shard's newest sign of life, deletion drops shards that an older layout had.
        TopicPlan(
            HEARTBEATS_TOPIC,
            "signs of life, by shard",
            OUTPUT_PARTITIONS,
            {"cleanup.policy": "compact,delete", "retention.ms": str(HEARTBEAT_DAYS * DAY_MS)},
        ),
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
    existing = set(await admin.list_topics())
    names = [plan.name for plan in plans if plan.name in existing]
    partitions = {one["topic"]: len(one["partitions"]) for one in await admin.describe_topics(names)} if names else {}
    configs = await _read_configs(admin, names)
    reports = []
    for plan in plans:
        if plan.name not in existing:
            reports.append(TopicReport(plan, "missing"))
            continue
        found, count = configs[plan.name], partitions[plan.name]
        reports.append(TopicReport(plan, "exists", count, found, differences(plan, count, found)))
    return reports


async def create_topics(
    admin: AIOKafkaAdminClient, plans: Sequence[TopicPlan], replication_factor: int
) -> list[TopicReport]:
    """Make the topics that are missing. May be repeated, and run from several places at once."""
    reports = {report.plan.name: report for report in await inspect_topics(admin, plans)}
    wanted = [
        NewTopic(plan.name, plan.partitions, replication_factor, topic_configs=dict(plan.configs))
        for plan in plans
        if reports[plan.name].status == "missing"
    ]
    if wanted:
        response = await admin.create_topics(wanted)
        for name, code, message in _created(response):
            reports[name] = _after_creation(reports[name].plan, code, message)
    return [reports[plan.name] for plan in plans]


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


def _created(response: Any) -> list[tuple[str, int, str]]:
    errors = response.to_object()["topic_errors"]
    return [(one["topic"], one["error_code"], one.get("error_message") or "") for one in errors]


def _after_creation(plan: TopicPlan, code: int, message: str) -> TopicReport:
    if code == 0:
        return TopicReport(plan, "created", plan.partitions, plan.configs)
    if code == TOPIC_EXISTS:
        return TopicReport(plan, "exists", plan.partitions, plan.configs)
    return TopicReport(plan, "failed", error=message or f"Kafka's error code {code}")


async def _read_configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for resource in response.to_object()["resources"]:
            if resource["error_code"]:
                reason = resource["error_message"] or f"Kafka's error code {resource['error_code']}"
                raise TopicsError(f"the configuration of {resource['resource_name']} cannot be read: {reason}")
            entries = resource["config_entries"]
            found[resource["resource_name"]] = {one["config_names"]: one["config_value"] for one in entries}
    return found
