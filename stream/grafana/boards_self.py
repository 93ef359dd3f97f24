"""The dashboards about Midwatch itself: the engine, and the judge."""

from __future__ import annotations

from typing import Final

from stream.grafana.boards_fleet import JOB, MINE
from stream.grafana.panels import Board, Panel, Query, Row, Variable, quantiles, stat

ALIVE: Final = Row(
    "Alive",
    (
        stat(
            "Since the last tick",
            "Age of the newest tick that was evaluated and committed. Above three minutes nothing is watched.",
            Query(f"min(shard:midwatch_heartbeat:age_seconds{{{MINE}}})", "age"),
            "s",
            ((None, "green"), (120, "orange"), (180, "red")),
        ),
        stat(
            "Workers",
            "Processes that show their metrics.",
            Query(f"count(midwatch_build_info{{{MINE}}})", "workers"),
            "none",
            ((None, "red"), (1, "green")),
        ),
        stat(
            "Lag",
            "Records not yet read.",
            Query(f"sum(midwatch_consumer_lag_records{{{MINE}}})", "records"),
            "short",
            ((None, "green"), (10_000, "orange"), (100_000, "red")),
        ),
        stat(
            "Kafka and Redis",
            "1 if each answered the last time it was asked.",
            Query(f"min by (dependency) (midwatch_dependency_up{{{MINE}}})", "{{dependency}}"),
            "none",
            ((None, "red"), (1, "green")),
        ),
    ),
)

INGEST: Final = Row(
    "Ingest",
    (
        Panel(
            "Records read",
            "Records from Kafka in a second, by topic.",
            (Query(f"sum by (topic) (rate(midwatch_records_read_total{{{MINE}}}[$__rate_interval]))", "{{topic}}"),),
            "ops",
            stacked=True,
        ),
        Panel(
            "Lag by topic",
            "Records not yet read.",
            (Query(f"sum by (topic) (midwatch_consumer_lag_records{{{MINE}}})", "{{topic}}"),),
            "short",
        ),
        Panel(
            "Records that cannot be read",
            "Dead letters in a second, by reason; each is on midwatch.dead-letters with its place.",
            (Query(f"sum by (reason) (rate(midwatch_dead_letters_total{{{MINE}}}[$__rate_interval]))", "{{reason}}"),),
            "ops",
            stacked=True,
        ),
        Panel(
            "Commits",
            "Time from a folded batch to its commit in every shard, and batches that were not applied.",
            quantiles("midwatch_commit_duration_seconds", MINE),
            "s",
        ),
        Panel(
            "Late and unknown",
            "Events behind their partition's watermark, and fields that no event has, in a second.",
            (
                Query(f"sum(rate(midwatch_events_late_total{{{MINE}}}[$__rate_interval]))", "late events"),
                Query(f"sum(rate(midwatch_unknown_fields_total{{{MINE}}}[$__rate_interval]))", "unknown fields"),
                Query(f"max(midwatch_ingest_paused{{{MINE}}})", "paused"),
            ),
            "ops",
        ),
        Panel(
            "Inboxes",
            "Committed and not yet trimmed, in Redis.",
            (Query(f"sum(midwatch_inbox_bytes{{{MINE}}})", "bytes"),),
            "bytes",
        ),
    ),
)

EVALUATION: Final = Row(
    "Evaluation",
    (
        Panel(
            "Age of the last tick by shard",
            "A shard that falls behind alone has lost its worker, or has far more series than the others.",
            (Query(f"topk(10, shard:midwatch_heartbeat:age_seconds{{{MINE}}})", "shard {{shard}}"),),
            "s",
        ),
        Panel(
            "Time of a tick",
            "Of one shard: windows, detectors, runbook.",
            quantiles("midwatch_tick_duration_seconds", MINE),
            "s",
        ),
        Panel(
            "Series",
            "Series that windows are held for, by kind.",
            (Query(f"sum by (kind) (midwatch_series{{{MINE}}})", "{{kind}}"),),
            "short",
            stacked=True,
        ),
        Panel(
            "Caps",
            "Refused, dropped or hidden at a cap in an hour. Above zero something is not watched, or not shown.",
            (
                Query(f"sum by (kind) (increase(midwatch_series_refused_total{{{MINE}}}[1h]))", "refused: {{kind}}"),
                Query(f"sum by (kind) (increase(midwatch_evidence_dropped_total{{{MINE}}}[1h]))", "dropped: {{kind}}"),
                Query(f"sum by (kind) (midwatch_series_hidden{{{MINE}}})", "hidden here: {{kind}}"),
            ),
            "short",
        ),
        Panel(
            "Memory",
            "Resident memory of each worker.",
            (Query(f"process_resident_memory_bytes{{{MINE}}}", "{{instance}}"),),
            "bytes",
        ),
        Panel(
            "Processor",
            "Cores in use by each worker.",
            (Query(f"rate(process_cpu_seconds_total{{{MINE}}}[$__rate_interval])", "{{instance}}"),),
            "short",
        ),
    ),
)

ENGINE: Final = Board(
    "midwatch-engine",
    "Midwatch: engine health",
    "Whether the engine is alive, reads everything, and watches everything.",
    (ALIVE, INGEST, EVALUATION),
    (JOB,),
)

JUDGE: Final = Board(
    "midwatch-judge",
    "Midwatch: the judge",
    "What is judged, what it costs, and whether the judge still means what it meant.",
    (
        Row(
            "Sampling and spend",
            (
                Panel(
                    "Seen, drawn, judged",
                    "Interactions in a second: read, drawn to be judged, and those of which there is a score.",
                    (
                        Query(f"sum(rate(midwatch_judge_interactions_seen_total{{{MINE}}}[$__rate_interval]))", "seen"),
                        Query(
                            f"sum(rate(midwatch_judge_interactions_sampled_total{{{MINE}}}[$__rate_interval]))", "drawn"
                        ),
                        Query(
                            f"sum by (criterion) (rate(midwatch_judge_scores_total{{{MINE}}}[$__rate_interval]))",
                            "{{criterion}}",
                        ),
                    ),
                    "ops",
                ),
                Panel(
                    "Budget left",
                    "Share of the day's budget that is left. As it runs short, sampling thins out instead of stopping.",
                    (
                        Query(
                            f"min by (purse, unit) (midwatch_judge_budget_left_ratio{{{MINE}}})", "{{purse}} {{unit}}"
                        ),
                        Query(f"min(midwatch_judge_sampling_factor{{{MINE}}})", "sampling factor", dashed=True),
                    ),
                    "percentunit",
                    high=1,
                ),
                Panel(
                    "Cost of judging",
                    "Dollars in an hour, by purse.",
                    (Query(f"sum by (purse) (increase(midwatch_judge_cost_usd_total{{{MINE}}}[1h]))", "{{purse}}"),),
                    "currencyUSD",
                ),
                Panel(
                    "No score",
                    "Judgements without a score, by reason. They say nothing about the agents.",
                    (
                        Query(
                            f"sum by (reason) (rate(midwatch_judge_no_data_total{{{MINE}}}[$__rate_interval]))",
                            "{{reason}}",
                        ),
                    ),
                    "ops",
                    stacked=True,
                ),
            ),
        ),
        Row(
            "The judge against known scores",
            (
                Panel(
                    "Distance from the anchors",
                    "Mean distance of its scores from the known ones, in points. Above 1 it is of little use.",
                    (Query(f"avg by (criterion) (midwatch_judge_anchor_error{{{MINE}}})", "{{criterion}}"),),
                    "none",
                    high=4,
                ),
                Panel(
                    "Shift since the first round",
                    "A shift of all anchors is the judge's own: no agent has changed.",
                    (Query(f"avg by (criterion) (midwatch_judge_anchor_shift{{{MINE}}})", "{{criterion}}"),),
                    "none",
                    low=None,
                ),
            ),
        ),
    ),
    (Variable("job", "job", "midwatch_judge_interactions_seen_total"),),
    span="now-24h",
)
