"""What humans said about actions: the last word about each key, and the standing refusals (the kill switch)."""

from __future__ import annotations

from datetime import datetime, timedelta

from schemas.controls import ANY, Approval


class ApprovalBook:
    """Approvals as they stand, whatever the order in which they came."""

    def __init__(self) -> None:
        self._words: dict[str, Approval] = {}
        self._halts: dict[tuple[str, str], Approval] = {}

    def apply(self, approval: Approval) -> None:
        """Take one in, if it is the last word about its subject so far."""
        if approval.is_standing:
            where = (approval.environment, approval.system)
            known = self._halts.get(where)
            if known is None or _order(known) < _order(approval):
                self._halts[where] = approval
            return
        known = self._words.get(approval.idempotency_key)
        if known is None or _order(known) < _order(approval):
            self._words[approval.idempotency_key] = approval

    def word(self, key: str, incident_id: str, now: datetime) -> Approval | None:
        """The word that holds for an action, if any does. An approval may expire; a refusal stands."""
        said = self._words.get(key)
        if said is None or said.incident_id != incident_id:
            return None
        if said.decision == "approve" and said.expires_at is not None and said.expires_at <= now:
            return None
        return said

    def halt(self, environment: str, system: str, now: datetime) -> Approval | None:
        """The standing refusal that covers a system, if there is one."""
        for where in ((ANY, ANY), (ANY, system), (environment, ANY), (environment, system)):
            said = self._halts.get(where)
            if said is not None and said.expires_at is not None and max(now, said.time) < said.expires_at:
                return said
        return None

    def halts(self, now: datetime) -> list[Approval]:
        """All standing refusals that hold."""
        found = [one for one in self._halts.values() if one.expires_at is not None]
        return [one for one in found if one.expires_at is not None and max(now, one.time) < one.expires_at]

    def prune(self, oldest: datetime) -> None:
        """Forget words older than `oldest`: nothing that they speak of can still begin."""
        self._words = {key: one for key, one in self._words.items() if one.time >= oldest}
        late = oldest - timedelta(days=1)
        self._halts = {
            where: one for where, one in self._halts.items() if one.expires_at is None or one.expires_at > late
        }


def _order(approval: Approval) -> tuple[object, ...]:
    """Which of two is the later word; of two of one time the refusal, of two halts the longer one."""
    ends = approval.expires_at or approval.time
    return (approval.time, approval.decision == "refuse", ends if approval.is_standing else approval.time, approval.id)
