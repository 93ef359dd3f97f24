"""The hot path stays as cheap as it was: instructions an event are counted, so that no clock is in it."""

import json
from collections.abc import Mapping

import pytest

from benchmarks.instructions import bounds, counted, exceeded
from stream.ingest import Ingest, Records

MARGIN = 1.1


class SlowIngest(Ingest):
    """Looks into every record a second time, as a careless change would."""

    async def process(self, records: Mapping[str, Records]) -> None:
        for batch in records.values():
            assert isinstance(batch, list)
            for record in batch:
                json.loads(record.value or b"")
        await super().process(records)


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    return counted()


def test_no_bound_is_exceeded(found: dict[str, float]) -> None:
    """An event takes no more bytecodes, calls, inbox bytes and scripts than were agreed."""
    assert exceeded(found, bounds()) == []


def test_a_second_look_at_every_record_is_noticed(found: dict[str, float]) -> None:
    """A regression that was put in is over what was counted without it and a tenth, by its bytecodes and its calls."""
    problems = exceeded(counted(SlowIngest), {name: MARGIN * value for name, value in found.items()})
    assert [problem.partition(":")[0] for problem in problems] == ["bytecodes", "calls"]


def test_the_counts_do_not_depend_on_the_run(found: dict[str, float]) -> None:
    """Two runs count the same, or the guard would flake."""
    assert counted() == found
