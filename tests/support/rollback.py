"""Verdicts that ask for a rollback, and a world in memory in which subscribers act, race, crash and come back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.actions import ActionTaken
from schemas.controls import ANY, Approval
from schemas.outputs import Engine, Muted, Recommendation, RollbackTarget, Scope, Trigger, Verdict
from stream.rollback.book import ApprovalBook
from stream.rollback.executors.base import Order, Outcome
from stream.rollback.executors.registry import Executors, Named
from stream.rollback.ledger import Ledger
from stream.rollback.rules import Rules
from stream.rollback.subscriber import Subscriber, Surroundings
from stream.rollback.verify import Observed
from stream.settings_rollback import ExecutorSection

START = datetime(2026, 3, 4, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

RULES = Rules(
    mode="live",
    environments=frozenset({"production"}),
    systems=frozenset({"*"}),
    components=frozenset({"*"}),
    min_confidence=0.9,
    always_approve=False,
    longest=30 * MINUTE,
    skew=MINUTE,
    cool_down=20 * MINUTE,
    per_hour=2,
    lease=5 * MINUTE,
    attempts=3,
    verify_for=60 * MINUTE,
)


def verdict(number: int = 1, revision: int = 1, **more: Any) -> Verdict:
    """A verdict that says: roll flow `flow-<number>` back from 2.0 to 1.9, within 15 minutes, without approval.

    Keyword arguments change fields of the verdict, its recommendation, its target or its scope, whichever has them.
    """
    incident = more.pop("incident_id", f"inc_{number}")
    decided = more.pop("decided_at", START)
    target: dict[str, Any] = {
        "kind": "argo_rollout",
        "ref": {"namespace": "agents", "name": f"flow-{number}"},
        "component": f"flow-{number}",
        "change": "prompt",
        "from_version": "2.0",
        "to_version": "1.9",
        "canary_percent": 50.0,
        "deployed_at": START,
        "deployment_event_id": "dep_1",
    }
    advice: dict[str, Any] = {
        "kind": "rollback",
        "confidence": 0.99,
        "reason": "It is the deployment.",
        "requires_approval": False,
        "not_after": decided + 15 * MINUTE,
        "idempotency_key": f"act_{number}",
    }
    scope: dict[str, Any] = {"environment": "production", "system": "refunds", "flow": f"flow-{number}"}
    body: dict[str, Any] = {
        "verdict_id": f"vrd_{number}_{revision}",
        "incident_id": incident,
        "revision": revision,
        "status": "firing" if revision == 1 else "updated",
        "decided_at": decided,
        "onset_at": START,
        "triage_result": "recent_deployments",
        "action": "immediate_rollback_or_escalation",
        "severity": "critical",
        "findings": (),
        "causes": (),
        "engine": Engine(version="0", config_hash="cfg"),
    }
    for key, value in more.items():
        part = next((part for part in (advice, target, scope) if key in part), body)
        part[key] = value
    given = None if body.pop("target", True) is None else RollbackTarget(**target)
    trigger = Trigger(
        firing_id="fir_1", detector="escalation_rate", tier="page", observed=30.0, baseline=10.0, threshold=20.0,
        unit="escalations", sample_count=100, baseline_count=100.0, confidence=0.999, window_start=START,
        window_end=START, summary="3x",
    )  # fmt: skip
    return Verdict(**body, scope=Scope(**scope), trigger=trigger, recommendation=Recommendation(**advice), target=given)


MUTED = Muted(by="silence", id="sil_1", reason="drill")


def approval(number: int = 1, decision: str = "approve", at: datetime = START, **more: Any) -> Approval:
    """What a person says about the action of incident `number`."""
    body = {
        "id": f"apr_{number}_{at.isoformat()}_{decision}",
        "time": at,
        "environment": "production",
        "system": "refunds",
        "incident_id": f"inc_{number}",
        "idempotency_key": f"act_{number}",
        "decision": decision,
        "by": "ada",
    }
    return Approval.model_validate(body | more)


def standing(at: datetime, until: datetime, **more: Any) -> Approval:
    """A standing refusal of everything."""
    everywhere = {"environment": ANY, "system": ANY, "incident_id": ANY, "idempotency_key": ANY}
    return approval(0, "refuse", at, **{**everywhere, "expires_at": until, **more})


class Crash(BaseException):
    """The process dies here."""


class Fuse:
    """Burns down at each point of the protocol; at zero the process dies."""

    def __init__(self, points: int | None = None) -> None:
        self.left = points

    def __call__(self) -> None:
        """One point."""
        if self.left is None:
            return
        if self.left == 0:
            self.left = None
            raise Crash
        self.left -= 1


@dataclass
class World:
    """What all subscribers share: the topics, the clock, the thing that is rolled back. It checks every deed.

    `sees` is whether the executor can tell how a target stands; where it cannot, it may not be run twice.
    """

    rules: Rules = RULES
    sees: bool = True
    now: datetime = START
    log: list[ActionTaken] = field(default_factory=list)
    newest: dict[str, Verdict] = field(default_factory=dict)
    said: list[Approval] = field(default_factory=list)
    done: list[tuple[datetime, str, str]] = field(default_factory=list)
    """When, key and component of each deed."""
    gone: set[str] = field(default_factory=set)
    """Components whose bad version does not serve any more."""
    book: ApprovalBook = field(default_factory=ApprovalBook)

    def publish(self, given: Verdict) -> None:
        """A revision appears on the topic."""
        known = self.newest.get(given.incident_id)
        if known is None or known.revision <= given.revision:
            self.newest[given.incident_id] = given

    def say(self, given: Approval) -> None:
        """A person says something."""
        self.said.append(given)
        self.book.apply(given)

    def do(self, order: Order) -> None:
        """The deed itself: every law is checked against the plain history, by other means than the code's own."""
        given = self.newest[order.incident_id]
        advice = given.recommendation
        assert not [key for _, key, _ in self.done if key == order.key], "acted twice on one key"
        assert (advice.kind, advice.idempotency_key) == ("rollback", order.key), "acted on what is not asked for"
        assert self.now <= min(advice.not_after, given.decided_at + self.rules.longest), "acted too late"
        assert given.muted is None, "acted on a muted verdict"
        assert given.scope.environment in self.rules.environments, "acted where it may not"
        assert advice.confidence >= self.rules.min_confidence, "acted on a guess"
        words = [one for one in self.said if one.idempotency_key == order.key]
        last = max(words, key=lambda one: (one.time, one.decision == "refuse"), default=None)
        assert last is None or last.decision == "approve", "acted against a refusal"
        if advice.requires_approval:
            assert last is not None, "acted without approval"
            assert last.expires_at is None or self.now < last.expires_at, "acted on an expired approval"
        halts = [one for one in self.said if one.is_standing]
        last_halt = max(halts, key=lambda one: one.time, default=None)
        assert last_halt is None or last_halt.expires_at is None or last_halt.expires_at <= self.now, "acted in a halt"
        recent = [at for at, _, _ in self.done if self.now - at < 60 * MINUTE - self.rules.lease * 3]
        assert len(recent) < self.rules.per_hour, "acted more often than an hour allows"
        component = order.target.component
        cooling = [at for at, _, one in self.done if one == component and self.now - at < self.rules.cool_down / 4]
        assert not cooling, "acted while cooling down"
        self.done.append((self.now, order.key, component))
        self.gone.add(component)


@dataclass
class FakeExecutor:
    """Rolls back in the world, dying where its fuse says."""

    world: World
    fuse: Fuse

    @property
    def idempotent(self) -> bool:
        """Only what can look may be done again."""
        return self.world.sees

    def plan(self, order: Order) -> str:
        """In words."""
        return f"roll {order.target.component} back"

    async def observe(self, order: Order) -> Observed:
        """How it stands."""
        if not self.world.sees:
            return "unknown"
        return "rolled_back" if order.target.component in self.world.gone else "serving"

    async def execute(self, order: Order) -> Outcome:
        """Do it, looking first where it can."""
        self.fuse()
        if await self.observe(order) == "rolled_back":
            return Outcome(ok=True, detail="had been", reason="found_done")
        self.world.do(order)
        self.fuse()
        return Outcome(ok=True, detail="done")


class FakeJournal:
    """The actions topic as one process sees it: what others write comes in when it writes itself.

    `rival` is called once, before the append of number `rival_at`: what happens between a decision and its writing.
    """

    def __init__(self, world: World, fuse: Fuse) -> None:
        self.ledger = Ledger(world.rules)
        self._world = world
        self._fuse = fuse
        self._read = 0
        self.rival: Callable[[], Awaitable[object]] | None = None
        self.rival_at = 0

    def catch_up(self) -> None:
        """Read to the end."""
        for step in self._world.log[self._read :]:
            self.ledger.apply(step)
        self._read = len(self._world.log)

    async def append(self, step: ActionTaken) -> str | None:
        """Write, and read back what lies before it and itself."""
        self._fuse()
        rival, self.rival_at = self.rival, self.rival_at - 1
        if rival is not None and self.rival_at < 0:
            self.rival = None
            await rival()
        self._world.log.append(ActionTaken.model_validate_json(step.model_dump_json()))
        self._fuse()
        for before in self._world.log[self._read : -1]:
            self.ledger.apply(before)
        self._read = len(self._world.log)
        return self.ledger.apply(self._world.log[-1])


class Process:
    """One subscriber's process in a world; after a crash it starts anew, from the topics alone."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.fuse = Fuse()
        self.restart()

    def restart(self) -> None:
        """Forget everything, and read the topics."""
        world = self.world
        self.fuse.left = None
        self.journal = FakeJournal(world, self.fuse)
        self.journal.catch_up()
        section = ExecutorSection(type="command", argv=("/bin/true",), target_kinds=("argo_rollout",))
        executors = Executors({"fake": Named("fake", section, FakeExecutor(world, self.fuse))})
        around = Surroundings(
            name=self.name, rules=world.rules, executors=executors, book=world.book, now=lambda: world.now,
            sleep=_no_sleep,
        )  # fmt: skip
        self.subscriber = Subscriber(self.journal, around)

    async def round(
        self, *, crash_after: int | None = None, rival: Process | None = None, rival_at: int | None = None
    ) -> bool:
        """One round; whether the process lived through it. `rival` has a whole round of its own in the midst of it."""
        self.journal.catch_up()
        self.fuse.left = crash_after
        if rival is not None and rival_at is not None:
            self.journal.rival, self.journal.rival_at = rival.round, rival_at
        try:
            await self.subscriber.reconcile(self.world.newest)
        except Crash:
            self.restart()
            return False
        self.fuse.left = self.journal.rival = None
        return True

    def statuses(self, number: int = 1) -> list[str]:
        """What the topic says of an action, in short."""
        steps = [one for one in self.world.log if one.idempotency_key == f"act_{number}"]
        return [f"{one.status}:{one.reason}" if one.reason else one.status for one in steps]


async def _no_sleep(_seconds: float) -> None:
    return
