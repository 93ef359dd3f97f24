"""The course of a few series for a plot: which ones tell the most, and what the detector saw of them minute by minute.

Series depend on each other only within a fleet (environment and system), so the detector is run once more over the
fleets of the chosen series alone, up to the last minute that is drawn: it sees there what it saw in the backtest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.arrays import ArrayView, append_rows
from detectors.base import Detector, Sight, Sighted
from schemas.series import SeriesKey
from schemas.words import DetectorName
from stream.backtest_layout import name_of, size_text
from stream.backtest_metrics import Label
from stream.backtest_problems import BacktestError
from stream.backtest_report import BacktestFiring, BacktestReport, by_weight, lasting

_HOUR, _DAY = 60, 1440
_AROUND: Final[dict[DetectorName, tuple[int, int]]] = {
    "escalation_rate": (4 * _HOUR, 3 * _HOUR),
    "authorization_denials": (4 * _HOUR, 3 * _HOUR),
    "silence": (2 * _DAY, 8 * _HOUR),
    "evaluation_drop": (8 * _DAY, 3 * _DAY),
    "burn_rate": (8 * _DAY, 3 * _DAY),
}
"""Minutes that are drawn before and after what happened."""

_LONGEST: Final = 3
"""A firing that lasts longer than so many times what is drawn around it is cut."""

_POINTS: Final = 800
"""Most points of a curve."""

_NAMED: Final = 5
"""Series that an error names."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One series over the minutes `begin` to `end`: why it is shown, and what happened."""

    key: SeriesKey
    title: str
    words: str
    """What the gravest firing in it says."""
    begin: int
    end: int


@dataclass(frozen=True)
class Course:
    """What a detector saw in a scene, one value a tick; NaN where there was nothing to see."""

    scene: Scene
    ticks: list[int] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)

    def line(self, name: str) -> NDArray[np.float64]:
        """One attribute of the sights over the ticks."""
        values = [getattr(sight, name) for sight in self.sights]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Chooser:
    """Chooses what to draw of a report, and of the other one that is set beside it."""

    report: BacktestReport
    view: ArrayView
    other: BacktestReport | None = None

    def scenes(self, wanted: Sequence[str]) -> list[Scene]:
        """The scenes of the series that are asked for, one each; else those that tell the most of the history."""
        if wanted:
            return [self._of_series(find_series(self.view, name)) for name in dict.fromkeys(wanted)]
        found = self._firings() if self.report.metrics is None else self._telling()
        unique = {(scene.key, scene.begin, scene.end): scene for scene in reversed(list(found))}
        return list(reversed(unique.values()))

    def _scene(self, key: SeriesKey, title: str, happened: tuple[int, int]) -> Scene:
        before, after = _AROUND[self.report.result.detector]
        start, end = happened[0], min(happened[1], happened[0] + _LONGEST * (before + after))
        begin, end = max(start - before, self.view.start), min(end + after, self.view.end)
        firings = (*self.report.result.firings, *(self.other.result.firings if self.other else ()))
        seen = [one for one in firings if one.key == key and one.start < end and one.end > start]
        gravest = min(seen, key=lambda one: (one.tier, one.start), default=None)
        return Scene(key, f"{title}: {name_of(key)}", gravest.summary if gravest else "", begin, end)

    def _of_label(self, label: Label, alone: str = "") -> Scene:
        page, warning = ((self.report.metrics or {})[tier].found.get(label) for tier in ("page", "warning"))
        if alone:
            what = f"Paged by {alone} alone"
        elif page is not None:
            what = f"Paged after {lasting(page)}"
        else:
            what = "Missed" if warning is None else f"Warned after {lasting(warning)}, not paged"
        size = "" if label.size is None else f", {size_text(label.size)} {self.report.layout.size.unit}"
        return self._scene(label.key, f"{what} ({label.kind or 'label'}{size})", (label.start, label.end))

    def _of_firing(self, firing: BacktestFiring, what: str) -> Scene:
        return self._scene(firing.key, what, (firing.start, firing.end))

    def _telling(self) -> Iterator[Scene]:
        """An incident that only one configuration pages, if there are two; one found, one missed, one false alarm.

        Where nothing was missed and nothing false, the one that took the longest.
        """
        report = self.report
        found = (report.metrics or {})["page"].found
        known = [label for label in report.labels if label.key in self.view.keys]
        paged = sorted((label for label in known if label in found), key=lambda label: found[label])
        missed = by_weight(report, (label for label in known if label not in found))
        if self.other is not None:
            theirs = (self.other.metrics or {})["page"].found
            one_sided = by_weight(report, (label for label in known if (label in found) != (label in theirs)))
            for label in one_sided[:1]:
                yield self._of_label(label, report.config if label in found else self.other.config)
        if paged:
            yield self._of_label(paged[len(paged) // 2])
        if missed:
            yield self._of_label(missed[0])
        false = [one for one in report.result.firings if one.interval() in report.false_alarms]
        if false:
            worst = max(false, key=lambda one: (one.tier == "page", one.end - one.start))
            yield self._of_firing(worst, f"False alarm, {worst.tier}")
        if len(paged) > 1 and not missed and not false:
            yield self._of_label(paged[-1])

    def _firings(self) -> Iterator[Scene]:
        """Without labels: a firing that only one configuration has, if there are two; the longest and shortest page."""
        firings = self.report.result.firings
        if self.other is not None:
            for one, two in ((self.report, self.other), (self.other, self.report)):
                theirs = {firing.interval() for firing in two.result.firings}
                alone = [firing for firing in one.result.firings if firing.interval() not in theirs]
                for firing in alone[:1]:
                    yield self._of_firing(firing, f"Fired so by {one.config} alone, {firing.tier}")
        pages = [one for one in firings if one.tier == "page"]
        rest = sorted(pages or firings, key=lambda one: one.end - one.start, reverse=True)
        for firing, what in zip(rest[:1] + rest[1:][-1:], ("The longest", "The shortest"), strict=False):
            yield self._of_firing(firing, f"{what} {firing.tier}")

    def _of_series(self, key: SeriesKey) -> Scene:
        """The label, else the firing, that tells the most of one series; else its last days."""
        report = self.report
        labels = [label for label in report.labels if label.key == key]
        firings = [firing for firing in report.result.firings if firing.key == key]
        false = [firing for firing in firings if firing.interval() in report.false_alarms]
        if labels:
            return self._of_label(by_weight(report, labels)[0])
        if firings:
            firing = (false or firings)[0]
            return self._of_firing(firing, f"{'False alarm' if false else 'Fired'}, {firing.tier}")
        return self._scene(key, "Nothing fired", (self.view.end, self.view.end))


def find_series(view: ArrayView, name: str) -> SeriesKey:
    """The series of this name, whole (`production/shop/refund`) or its end. Raises BacktestError unless it is one."""
    names = {name_of(key): key for key in view.keys}
    if name in names:
        return names[name]
    found = [key for whole, key in names.items() if whole.endswith("/" + name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BacktestError(f"--series {name} could be any of {', '.join(map(name_of, found))}")
    near = [whole for whole in names if name in whole] or get_close_matches(name, names, 5) or list(names)
    more = ", ..." * (len(near) > _NAMED)
    raise BacktestError(f"--series {name}: the history has no such series; it has {', '.join(near[:_NAMED])}{more}")


def courses(detector: Detector, view: ArrayView, wanted: Sequence[Scene]) -> list[Course]:
    """What the detector saw in each scene."""
    if not isinstance(detector, Sighted) or not wanted:
        return []
    fleets = {(scene.key.environment, scene.key.system) for scene in wanted}
    view.tick = view.end
    part = view.part({key for key in view.keys if (key.environment, key.system) in fleets})
    made = [Course(scene) for scene in wanted]
    every = [part.step * max(1, (scene.end - scene.begin) // part.step // _POINTS) for scene in wanted]
    memory, last = detector.fresh(0), min(max(scene.end for scene in wanted), part.end)
    for tick in range(part.start + part.step, last + 1, part.step):
        known = part.size
        part.tick = tick
        memory = append_rows(memory, detector.fresh(part.size - known)) if part.size > known else memory
        memory, _ = detector.step(part, memory)
        for course, step in zip(made, every, strict=True):
            scene = course.scene
            if scene.begin <= tick <= scene.end and not (tick - scene.begin) % step and scene.key in part.keys:
                course.ticks.append(tick)
                course.sights.append(detector.sight(part, memory, part.keys.index(scene.key)))
    return made
