// What a subscriber makes of verdicts: pages, updates, all-clears, and nothing twice.

export class Pager {
  // By incident: the last revision, and whether it is paged. A real one keeps this where a restart finds it.
  #seen = new Map();

  // What to send for a verdict; null where nothing is to be sent.
  take(verdict) {
    const { incident_id: incident, revision } = verdict;
    const [last, paged] = this.#seen.get(incident) ?? [-1, false];
    if (revision <= last) return null; // a repeat, or older than what was dealt with
    const over = verdict.status === 'resolved' || verdict.muted !== undefined;
    this.#seen.set(incident, [revision, !over]);
    if (over && !paged) return null; // nobody knows of it, and nobody has to
    return {
      send: over ? 'resolve' : paged ? 'update' : 'trigger',
      dedup_key: incident,
      severity: verdict.severity,
      text: verdict.trigger.summary,
      advice: verdict.recommendation.reason,
    };
  }
}
