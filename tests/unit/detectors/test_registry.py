"""From configuration to detectors."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from detectors import registry
from detectors.escalation_rate import EscalationRate
from detectors.registry import DetectorSettingsError, build


def test_settings_reach_their_detector():
    """A configured detector has its settings, a disabled one is absent, text stands for numbers."""
    detectors = build({"escalation_rate": {"page_score": "5.5"}, "silence": {"enabled": False}})
    assert [detector.name for detector in detectors if detector.name == "silence"] == []
    assert isinstance(detectors[0], EscalationRate)
    assert detectors[0]._life.page_score == 5.5


def test_versions_can_be_left_out():
    """`by_version` says whether versions are looked at beside the whole."""
    kinds = [detector.kind for detector in build({"evaluation_drop": {"by_version": False}})]
    assert "score" in kinds
    assert "score_version" not in kinds


def test_every_problem_is_listed_at_once():
    """Unknown detectors, unknown settings and bad values are named together, each with its path."""
    with pytest.raises(DetectorSettingsError) as caught:
        build(
            {
                "escalations": {},
                "escalation_rate": {"page_scroe": 4, "rule": "magic"},
                "burn_rate": {"budgets": {"team": {"amount_usd": -1}}},
            }
        )
    message = str(caught.value)
    for part in (
        "detectors.escalations",
        "escalation_rate.page_scroe",
        "escalation_rate.rule",
        "burn_rate.budgets.team",
    ):
        assert part in message


def test_third_parties_come_by_entry_point(monkeypatch: pytest.MonkeyPatch):
    """An entry point adds a detector under its name; a built-in name is refused."""

    def points(name: str) -> tuple[EntryPoint, ...]:
        return (EntryPoint(name, "detectors.silence:Silence", registry.ENTRY_POINTS),)

    monkeypatch.setattr(registry, "entry_points", lambda group: points("quiet_hours"))
    assert "quiet_hours" in registry.available()
    monkeypatch.setattr(registry, "entry_points", lambda group: points("silence"))
    with pytest.raises(DetectorSettingsError, match="taken"):
        registry.available()
