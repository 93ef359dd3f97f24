"""Read verdicts with confluent-kafka: python with_confluent.py BOOTSTRAP [HOW_MANY]."""

from __future__ import annotations

import json
import os
import sys

from confluent_kafka import Consumer, KafkaException
from pager import Pager

TOPIC = os.environ.get("VERDICTS_TOPIC", "midwatch.verdicts")


def main(bootstrap: str, most: int | None) -> None:
    """Deal with verdicts until `most` of them were read, or for good."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "example-confluent",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([TOPIC])
    pager, read = Pager(), 0
    try:
        while read != most:
            record = consumer.poll(1.0)
            if record is None:
                continue
            if record.error():
                raise KafkaException(record.error())
            value = record.value()
            if value is not None and (message := pager.take(json.loads(value))):
                print(json.dumps(message), flush=True)
            consumer.commit(record, asynchronous=False)
            read += 1
    finally:
        consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
