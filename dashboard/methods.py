"""How scores were judged, by the newest of them: the engine's windows hold sums, which do not tell.

A score names its judge (`judge.method`, e.g. `scripted`, `logprobs`, `samples`). The methods of the last scores of each
flow, criterion and version are kept; what is shown is said of these, not of every score behind a mean.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Final

from stream.adapters import Evaluation
from triage.words import quoted

PLACES: Final = 2000
"""Flows, criteria and versions that are remembered, those with the newest scores."""

LAST: Final = 20
"""Scores of each that are remembered."""

UNTOLD: Final = "method not told"
_Place = tuple[str, str, str, str, str]


class Methods:
    """What the newest scores say of their judges."""

    def __init__(self) -> None:
        self._last: OrderedDict[_Place, deque[tuple[str, str]]] = OrderedDict()

    def take(self, event: object) -> None:
        """Remember the judge of one score; other events are passed over."""
        if not isinstance(event, Evaluation):
            return
        place = (event.environment, event.system, event.flow, event.criterion, event.version or "")
        known = self._last.setdefault(place, deque(maxlen=LAST))
        judge = event.judge
        known.append((quoted(judge.method), quoted(judge.model)) if judge is not None else (UNTOLD, "not told"))
        self._last.move_to_end(place)
        while len(self._last) > PLACES:
            self._last.popitem(last=False)

    def of(
        self, environment: str | None, system: str | None, flow: str, criterion: str, version: str | None = None
    ) -> str | None:
        """The methods of one mean, e.g. `scripted`; None where no score of it has been seen. None asks for any."""
        wanted = (environment, system, flow, criterion, version)
        return _joined(method for method, _ in self._matching(wanted))

    def all(self, environment: str | None = None, system: str | None = None) -> tuple[str | None, str | None]:
        """The methods, and the models, of all that is remembered of a part of the fleet."""
        pairs = list(self._matching((environment, system, None, None, None)))
        return _joined(method for method, _ in pairs), _joined(model for _, model in pairs)

    def _matching(self, wanted: tuple[str | None, ...]) -> Iterable[tuple[str, str]]:
        for place, known in self._last.items():
            if all(one in (None, has) for one, has in zip(wanted, place, strict=True)):
                yield from known


def _joined(names: Iterable[str]) -> str | None:
    return " and ".join(sorted(set(names))) or None
