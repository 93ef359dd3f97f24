"""`midwatch top`: the first screen in a terminal, from the page's API or from topics of its own reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final, Protocol

import httpx
from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dashboard.model import ReadModel
from dashboard.views import IncidentCard, Overview
from stream.cancel import cancel
from stream.settings import Settings
from stream.verdicts_text import printable

REFRESH_SECONDS: Final = 1.0
CATCH_UP_SECONDS: Final = 30.0
ENDED: Final = 5
LINE: Final = 110
"""Longest line of a sentence, in characters."""

_SEVERITY: Final = {"critical": "bold white on red", "warning": "bold black on yellow", "info": "black on cyan"}
_STATE: Final = {"open": "bold", "acknowledged": "green", "muted": "dim", "resolved": "dim"}


class TopError(RuntimeError):
    """Nothing can be shown; the message says why, and what to do."""


class Source(Protocol):
    """Where the first screen comes from."""

    async def overview(self) -> Overview:
        """The first screen. Raises TopError."""


class ApiSource:
    """A page's API. The token goes into a header, never into the address."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def overview(self) -> Overview:
        """See `Source`."""
        try:
            answer = await self._client.get("/api/v1/overview")
        except httpx.HTTPError as error:
            raise TopError(
                f"the page at {self._client.base_url} does not answer: {str(error) or type(error).__name__}"
            ) from None
        if answer.status_code in (401, 429):
            raise TopError(f"{_said(answer)}; give a token as MIDWATCH_DASHBOARD__READER_TOKEN")
        if answer.status_code != httpx.codes.OK:
            raise TopError(f"the page at {self._client.base_url} answers {answer.status_code}: {_said(answer)}")
        try:
            return Overview.model_validate_json(answer.content)
        except ValueError:
            raise TopError(
                f"what is at {self._client.base_url} is no page of Midwatch that this version knows"
            ) from None


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase


@asynccontextmanager
async def open_source(settings: Settings, url: str | None) -> AsyncIterator[Source]:
    """The page at `url`; without one the topics of the configuration, read here."""
    if url is not None:
        page = settings.dashboard
        token = page.reader_token or page.operator_token
        headers = {"authorization": f"Bearer {token.get_secret_value()}"} if token is not None else {}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=10.0) as client:
            yield ApiSource(client)
        return
    model = ReadModel(settings)
    reading = asyncio.create_task(model.run(sampled=False))
    try:
        await _caught_up(model)
        yield model
    finally:
        await cancel(reading)


async def _caught_up(model: ReadModel) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + CATCH_UP_SECONDS
    known = model.memory.version
    while not model.feed.caught_up and loop.time() < until:
        known = await model.memory.changed(known, REFRESH_SECONDS)


async def run_top(settings: Settings, url: str | None, console: Console, *, once: bool, as_json: bool) -> int:
    """Show until Ctrl-C, or once. 1 if the engine is critically unwell and it was asked once, else 0."""
    async with open_source(settings, url) as source:
        if once or as_json:
            view = await source.overview()
            if as_json:
                console.out(view.model_dump_json(), highlight=False)
            else:
                console.print(screen(view))
            return int(any(problem.severity == "critical" for problem in view.health.problems))
        with Live(screen(await source.overview()), console=console, screen=True, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(REFRESH_SECONDS)
                live.update(screen(await source.overview()), refresh=True)


def screen(view: Overview) -> RenderableType:
    """The first screen."""
    now = view.health.now_at or view.health.checked_at
    parts: list[RenderableType] = [_head(view, now)]
    for problem in view.health.problems:
        said = Text(printable(problem.text), style="bold")
        if problem.remedy is not None:
            said.append(f"\n{printable(problem.remedy)}", style="not bold")
        style = "red" if problem.severity == "critical" else "yellow"
        parts.append(Panel(said, title="The engine is unwell", border_style=style, title_align="left"))
    if view.open:
        parts += [_open(card, now) for card in view.open]
    elif view.health.shards_alive and not any(problem.severity == "critical" for problem in view.health.problems):
        parts.append(Text("Nothing is wrong.\n", style="bold green"))
    for title, some in (("Paging nobody", view.muted), ("Ended", view.ended[:ENDED])):
        if some:
            parts += [Text(title, style="bold dim"), _list(some, now), Text()]
    return Group(*parts)


def _head(view: Overview, now: datetime) -> Text:
    health = view.health
    heard = "never" if health.last_event_at is None else f"{age(now - health.last_event_at)} ago"
    demo = "  demonstration" if health.simulated else ""
    alive = f"{health.shards_alive} of {health.shards} shards alive, {health.series:,} series"
    return Text.assemble(
        ("Midwatch", "bold"), f"  {now:%Y-%m-%d %H:%M} UTC{demo}\n", (f"{alive}, fleet heard {heard}\n", "dim")
    )


def _open(card: IncidentCard, now: datetime) -> RenderableType:
    """One incident: how grave, since when and whose it is in a line, then its sentence over the whole width."""
    state = Text(card.state, style=_STATE[card.state])
    if card.acknowledged_by is not None:
        state = Text(f"taken by {printable(card.acknowledged_by)}", style="green")
    head = Text.assemble(
        (f" {card.severity.upper()} ", _SEVERITY[card.severity]), f"  {age(now - card.onset_at)}  ", state
    )
    if card.awaits_approval:
        head.append("  awaits approval", style="bold magenta")
    sentence = Text(printable(card.sentence))
    what = Group(sentence, Text(f"{card.incident_id}\n", style="dim"))
    return Group(head, Padding(Constrain(what, LINE), (0, 0, 0, 2)))


def _list(cards: Sequence[IncidentCard], now: datetime) -> Table:
    """Incidents that page nobody, with their names whole: the words wrap where there is no room."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(style="dim")
    table.add_column(no_wrap=True, style="dim")
    for card in cards:
        ended = f"{age(now - (card.resolved_at or card.decided_at))} ago"
        table.add_row(f"  {ended}", printable(card.headline), card.incident_id)
    return table


def age(length: timedelta) -> str:
    """`now`, `12 min`, `3 h 5 min`, `2 d`."""
    minutes = max(int(length.total_seconds() // 60), 0)
    if minutes < 1:
        return "moments"
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{hours // 24} d"
