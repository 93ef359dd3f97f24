"""All kinds of sinks by name.

A third party adds one by an entry point of the group `midwatch.sinks`: its name is the `kind` in the configuration, its
value a class with a `Settings` model (a subclass of `stream.sinks.base.SinkSettings`) and a constructor that takes one,
as the classes below have. It should import its client when it is made, not before.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, Final

from stream.sinks.alertmanager import Alertmanager
from stream.sinks.base import SinkSettings
from stream.sinks.cdevents import CdEvents
from stream.sinks.chat import Chat
from stream.sinks.pagerduty import PagerDuty
from stream.sinks.webhook import Webhook

ENTRY_POINTS: Final = "midwatch.sinks"

SINKS: Final[dict[str, Any]] = {
    "alertmanager": Alertmanager,
    "pagerduty": PagerDuty,
    "webhook": Webhook,
    "apprise": Chat,
    "cdevents": CdEvents,
}


class SinkRegistryError(ValueError):
    """An installed package brings a sink that cannot be used."""


def available() -> dict[str, Any]:
    """The built-in kinds and those of installed packages. A built-in name cannot be taken over."""
    found = dict(SINKS)
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        if point.name in found:
            raise SinkRegistryError(f"sinks: the kind {point.name} is taken; rename that entry point")
        loaded = point.load()
        settings = getattr(loaded, "Settings", None)
        if not (isinstance(settings, type) and issubclass(settings, SinkSettings)):
            raise SinkRegistryError(f"sinks: {point.name} has no Settings that is a SinkSettings")
        found[point.name] = loaded
    return found


def build(settings: SinkSettings) -> Any:
    """The sink of some settings. Raises ValueError where its client refuses them."""
    return available()[settings.kind](settings)
