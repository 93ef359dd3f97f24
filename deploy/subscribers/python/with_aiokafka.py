"""Read verdicts with aiokafka: python with_aiokafka.py BOOTSTRAP [HOW_MANY]."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from aiokafka import AIOKafkaConsumer, TopicPartition
from pager import Pager

TOPIC = os.environ.get("VERDICTS_TOPIC", "midwatch.verdicts")


async def main(bootstrap: str, most: int | None) -> None:
    """Deal with verdicts until `most` of them were read, or for good."""
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=bootstrap,
        group_id="example-aiokafka",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    pager, read = Pager(), 0
    await consumer.start()
    try:
        async for record in consumer:
            if record.value is not None and (message := pager.take(json.loads(record.value))):
                print(json.dumps(message), flush=True)
            await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})
            read += 1
            if read == most:
                return
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None))
