"""The precision of the engine as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stream.feedback import Precision, Share
from stream.verdicts_text import printable


def precision_lines(report: Precision) -> Iterator[str]:
    """The lines: by detector, by check, by week."""
    if not report.detectors:
        yield f"no verdict of the last {report.days} days was judged; see: midwatch verdicts confirm --help"
        return
    yield f"verdicts of the last {report.days} days that were judged; 95 % intervals"
    yield from _table("by detector (something was wrong)", report.detectors)
    yield from _table("by check (and no other cause was found)", report.checks)
    yield from _table("by week (something was wrong)", report.weeks)
    if report.causes:
        yield "found instead: " + ", ".join(f"{cause} {count}" for cause, count in report.causes.items())


def _table(head: str, shares: Mapping[str, Share]) -> Iterator[str]:
    yield head
    for name, share in shares.items():
        low, high = share.interval
        counts = f"{share.right:,} of {share.total:,}"
        yield f"  {printable(name)[:32]:32} {counts:>14}  {share.ratio:6.1%}  ({low:.1%} to {high:.1%})"
