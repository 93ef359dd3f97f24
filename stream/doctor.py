"""What `midwatch doctor` looks at: whether all that the engine stands on is there and fit for its promises.

Each examination gives lines: ok, warn (works, but a promise is weaker) or fail (the engine cannot keep its word).
A line that is not ok says what to do. Nothing is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from stream.doctor_line import Clock, Level, Line
from stream.doctor_redis import clock_line, redis_findings, redis_lines
from stream.settings import Settings
from stream.settings_clients import kafka_options, redis_client
from stream.settings_sections import EngineSettings
from stream.topics import DAY_MS, TopicReport, TopicsError, inspect_topics, plan_topics
from stream.unreachable import KAFKA_REMEDY, REDIS_REMEDY, unreachable

__all__ = ["Level", "Line", "clock_line", "examine", "redis_lines", "topic_lines", "worst"]

TIMEOUT_SECONDS: Final = 10.0
HOUR_MS: Final = 3_600_000
WINDOW_DAYS: Final = 28
"""The longest window of any detector."""

MINIMUM_RETENTION_MS: Final = 3 * HOUR_MS
"""The minute windows, lateness and some room: with less, even a short outage loses telemetry."""


async def examine(settings: Settings, clock: Clock) -> list[Line]:
    """Everything, Kafka first. Raises nothing that a broken system could cause: it is in the lines."""
    kafka, redis = await asyncio.gather(examine_kafka(settings, clock), examine_redis(settings, clock))
    return [*kafka, *redis]


async def examine_kafka(settings: Settings, clock: Clock) -> list[Line]:
    """Reachable, topics, partitions, retention, compaction, and records stamped in the future."""
    address = settings.kafka.bootstrap_servers
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await _examine_kafka(settings, clock)
    except TimeoutError:
        return [Line("fail", "kafka", f"no answer from {address} within {TIMEOUT_SECONDS:.0f} s", KAFKA_REMEDY)]
    except (KafkaError, TopicsError, OSError) as error:
        down = unreachable(error)
        detail = down[0] if down is not None else str(error) or f"{address}: {type(error).__name__}"
        return [Line("fail", "kafka", detail, KAFKA_REMEDY)]


async def _examine_kafka(settings: Settings, clock: Clock) -> list[Line]:
    admin = AIOKafkaAdminClient(**kafka_options(settings.kafka))
    try:
        await admin.start()
        brokers = len((await admin.describe_cluster())["brokers"])
        reports = await inspect_topics(admin, plan_topics(settings.kafka))
    finally:
        await admin.close()
    lines = [Line("ok", "kafka", f"{settings.kafka.bootstrap_servers} answers, {brokers} broker(s)")]
    lines.extend(line for report in reports for line in topic_lines(report, settings))
    counts = {report.plan.name: report.partitions for report in reports if report.partitions}
    inputs = {name: counts[name] for name in settings.kafka.input_topics if name in counts}
    lines.extend(await _future_records(settings, inputs, clock()))
    return lines


def topic_lines(report: TopicReport, settings: Settings) -> list[Line]:
    """What there is to say about one topic."""
    subject = f"topic {report.plan.name}"
    if report.status == "missing":
        return [Line("fail", subject, "does not exist", "run: midwatch topics create")]
    configs = report.configs or {}
    lines = []
    if report.plan.name in settings.kafka.input_topics:
        lines.extend(_retention_lines(subject, configs, settings.engine))
    elif set(configs["cleanup.policy"].split(",")) != set(report.plan.configs["cleanup.policy"].split(",")):
        lines.append(_policy_line(subject, configs["cleanup.policy"], report.plan.configs["cleanup.policy"]))
    if report.partitions < report.plan.partitions:
        detail = f"{report.partitions} partition(s), planned {report.plan.partitions}"
        lines.append(Line("warn", subject, detail, "more workers than partitions would stand idle: add partitions"))
    return lines or [Line("ok", subject, f"{report.partitions} partition(s), {_policy(configs)}")]


def _retention_lines(subject: str, configs: Mapping[str, str], engine: EngineSettings) -> list[Line]:
    if "delete" not in configs["cleanup.policy"].split(","):
        return [_policy_line(subject, configs["cleanup.policy"], "delete")]
    keep = int(configs.get("retention.ms", "-1"))
    needed = WINDOW_DAYS * DAY_MS + int(engine.lateness_seconds * 1000)
    lines = []
    if -1 < keep < MINIMUM_RETENTION_MS:
        detail = f"keeps records for {keep / HOUR_MS:.1f} h only: a short outage loses telemetry"
        lines.append(Line("fail", subject, detail, f"set retention.ms to at least {needed}"))
    elif -1 < keep < needed:
        detail = (
            f"keeps records for {keep / DAY_MS:.1f} days, the longest window is {WINDOW_DAYS}: "
            "a wiped Redis is rebuilt from the last checkpoint, not from the telemetry alone"
        )
        lines.append(Line("warn", subject, detail, f"set retention.ms to at least {needed}"))
    if int(configs.get("retention.bytes", "-1")) != -1:
        detail = f"retention.bytes is {configs['retention.bytes']} a partition: a surge shortens what is kept"
        lines.append(Line("warn", subject, detail, "set retention.bytes to -1, or be sure that it holds that time"))
    return lines


def _policy_line(subject: str, found: str, wanted: str) -> Line:
    return Line("fail", subject, f"cleanup.policy is {found}", f"set cleanup.policy to {wanted}")


def _policy(configs: Mapping[str, str]) -> str:
    keep = int(configs.get("retention.ms", "-1"))
    kept = "for good" if keep == -1 else f"for {keep / DAY_MS:.0f} days"
    policy = configs["cleanup.policy"]
    return f"{policy}" if policy == "compact" else f"{policy}, kept {kept}"


async def _future_records(settings: Settings, topics: Mapping[str, int], now_ms: int) -> list[Line]:
    """Records stamped later than events may be: some producer's clock, or ours, is wrong."""
    if not topics:
        return []
    limit = now_ms + settings.engine.max_future_seconds * 1000
    partitions = {TopicPartition(name, index): limit for name, count in topics.items() for index in range(count)}
    consumer = AIOKafkaConsumer(**kafka_options(settings.kafka), enable_auto_commit=False)
    try:
        await consumer.start()
        found = await consumer.offsets_for_times(partitions)
    finally:
        await consumer.stop()
    ahead = sorted({partition.topic for partition, offset in found.items() if offset is not None})
    if not ahead:
        return [Line("ok", "kafka clock", "no record is stamped in the future")]
    detail = f"records in {', '.join(ahead)} are stamped more than {settings.engine.max_future_seconds} s ahead"
    return [Line("warn", "kafka clock", detail, "synchronise the producers' clocks: such events are refused")]


async def examine_redis(settings: Settings, clock: Clock) -> list[Line]:
    """Reachable, version, eviction, persistence, scripts, how far its clock is from ours; cluster and sentinels."""
    client = redis_client(settings.redis)
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await redis_findings(client, settings, clock)
    except TimeoutError:
        return [_redis_down(settings, f"no answer within {TIMEOUT_SECONDS:.0f} s")]
    except (RedisError, OSError) as error:
        found = unreachable(error)
        if found is not None and found[1] != REDIS_REMEDY:
            return [Line("fail", "redis", *found)]
        return [_redis_down(settings, "it cannot be reached" if found else f"{type(error).__name__}: {error}")]
    finally:
        await client.aclose()


def _redis_down(settings: Settings, reason: str) -> Line:
    return Line("fail", "redis", f"{settings.redis.url}: {reason}", REDIS_REMEDY)


def worst(lines: Sequence[Line]) -> Level:
    """The gravest level of all lines."""
    order: tuple[Level, ...] = ("fail", "warn", "ok")
    return next((level for level in order if any(line.level == level for line in lines)), "ok")
