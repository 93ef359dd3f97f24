"""The Quix Streams contenders of the throughput benchmark: tumbling windows as its documentation writes them.

Runs in the peers' environment. State is in RocksDB with a changelog topic in Kafka, as by default; with exactly-once
each checkpoint is a Kafka transaction. The clock stops when the last checkpoint is committed, and the windows that were
still open are then closed by a last event in every partition, so that their sum can be checked.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any, Final, Literal

from quixstreams import Application

from benchmarks.throughput_meter import Meter, Task, say, task_of_arguments
from benchmarks.throughput_words import DECODER

Guarantee = Literal["at-least-once", "exactly-once"]
GUARANTEES: Final[dict[str, Guarantee]] = {"quix-exactly-once": "exactly-once", "quix": "at-least-once"}
EVERY: Final = 500
"""Events between two looks at the clock."""


def application(task: Task, guarantee: Guarantee) -> Any:
    """An application with the defaults of its documentation."""
    return Application(
        broker_address=task.bootstrap,
        consumer_group=task.name,
        auto_offset_reset="earliest",
        processing_guarantee=guarantee,
        state_dir=task.directory,
        loglevel="ERROR",
    )


def main() -> None:
    """Run the contender that the first argument names on the task in the second."""
    name, task = task_of_arguments()
    app = application(task, GUARANTEES[name])
    meter, closed, seen = Meter(task.events), [0], [0]

    def decoded(value: bytes) -> Any:
        seen[0] += 1
        if seen[0] % EVERY == 0 and seen[0] < task.events:
            meter.note(seen[0])
        return DECODER.decode(value)

    def add(window: Any) -> None:
        closed[0] += window["value"]
        if closed[0] == task.events:
            app.stop()

    frame = app.dataframe(app.topic(task.topic, value_deserializer="bytes"))
    frame = frame.apply(decoded)
    frame = frame.tumbling_window(timedelta(minutes=1)).count().final(closing_strategy="partition")
    frame.update(add)
    app.run(timeout=30)
    meter.note(task.events)
    say(meter.measured(closed[0]))
    sys.exit(0)


if __name__ == "__main__":
    main()
