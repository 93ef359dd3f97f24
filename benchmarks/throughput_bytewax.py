"""The Bytewax contender of the throughput benchmark: a windowed dataflow as its documentation writes it.

Runs in the peers' environment. Its state is in a recovery store, snapshotted every ten seconds as by default. The clock
stops when the last event is in its window; the end of the topic then closes what is open, so that the sum of all can
be checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax._bytewax import cli_main
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir

from benchmarks.throughput_meter import Meter, Task, say, task_of_arguments
from benchmarks.throughput_words import DECODER

ALIGNED: Final = datetime(2026, 1, 1, tzinfo=UTC)
WAIT: Final = timedelta(hours=1)
"""By the wall clock: a slow machine must not make events late, which would be dropped."""



class Sum(DynamicSink[Any], StatelessSinkPartition[Any]):
    """Adds up the closed windows."""

    def __init__(self) -> None:
        self.total = 0

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Sum:
        """The only part: there is one worker."""
        del step_id, worker_index, worker_count
        return self

    def write_batch(self, items: Iterable[Any]) -> None:
        """Take closed windows."""
        self.total += sum(count for _, (_, count) in items)


def flow_of(task: Task, meter: Meter, out: Sum) -> Any:
    """Kafka, decoded, keyed, counted by minute."""
    seen = [0]
    started: list[bool] = []

    def keyed(message: Any) -> tuple[str, datetime]:
        if not started:
            # Whole seconds of events are decoded before the first is counted: the work begins here.
            started.append(True)
            meter.note(0)
        event = DECODER.decode(message.value)
        return event.series, datetime.fromisoformat(event.time)

    def count(total: int, _: datetime) -> int:
        seen[0] += 1
        if seen[0] >= task.events:
            meter.note(seen[0])
        return total + 1

    flow = Dataflow("benchmark")
    source = kop.input("in", flow, brokers=[task.bootstrap], topics=[task.topic], tail=False)
    clock = win.EventClock(lambda moment: moment, wait_for_system_duration=WAIT)
    windower = win.TumblingWindower(align_to=ALIGNED, length=timedelta(minutes=1))
    events = op.map("decode", source.oks, keyed)
    counts = win.fold_window("count", events, clock, windower, lambda: 0, count, int.__add__)
    op.output("out", counts.down, out)
    return flow


def main() -> None:
    """Run the contender on the task in the second argument."""
    _, task = task_of_arguments()
    meter, out, store = Meter(task.events), Sum(), Path(task.directory)
    init_db_dir(store, 1)
    cli_main(flow_of(task, meter, out), recovery_config=RecoveryConfig(str(store)))
    say(meter.measured(out.total))


if __name__ == "__main__":
    main()
