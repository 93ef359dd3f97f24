"""What an engine says while it catches up: the past bears a mark, and what still stands is said again at its end.

After an outage the ticks of the past are evaluated one by one, as they would have been. Their verdicts are the same to
the byte, so nobody could tell them from news; the header `ce_stale` tells. It is the wall clock's word, like `ce_time`,
and no part of the verdict. Once a shard has reached the present, the last verdict of every incident that is still open
is published once more, the same bytes under the same id, without the mark: that is the page.

A shard that changes hands is treated as one that catches up, because its last owner may have died between the two. Who
knows a verdict already drops the repetition by its id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from schemas.outputs import Verdict
from stream.core.ticks import MINUTE_MS, ms_of
from triage.incidents import Incidents

STALE_HEADER: Final = "ce_stale"


class Staleness:
    """Tells what is said of the past from what is said of the present.

    Without `wall_ms` time is the telemetry's own, and nothing is ever stale.
    """

    def __init__(self, stale_ms: int, wall_ms: Callable[[], int] | None) -> None:
        self._stale_ms = stale_ms
        self._wall_ms = wall_ms

    def of(self, tick_ms: int) -> bool | None:
        """Whether what is said now, of a tick at that event time, speaks of the past; None where nobody can tell."""
        return None if self._wall_ms is None else self._wall_ms() - tick_ms > self._stale_ms

    def behind_minutes(self, tick: int) -> int:
        """How far behind the wall clock a tick is."""
        return 0 if self._wall_ms is None else max(0, self._wall_ms() // MINUTE_MS - tick)


class CatchUp:
    """Whether one shard, from the moment it was taken, has reached the present."""

    def __init__(self, staleness: Staleness) -> None:
        self._staleness = staleness
        self.done = False

    def arrives(self, tick: int) -> bool:
        """Whether the shard, committed up to `tick`, has reached the present just now; falls behind again as well."""
        past = bool(self._staleness.of(tick * MINUTE_MS))
        arrived = not past and not self.done
        self.done = not past
        return arrived

    def standing(self, incidents: Incidents) -> Sequence[Verdict]:
        """The last verdicts of the open incidents that were decided in what is the past by now."""
        last = (incidents.grouping.open[key].last for key in sorted(incidents.grouping.open))
        return [verdict for verdict in last if verdict is not None and self._staleness.of(ms_of(verdict.decided_at))]
