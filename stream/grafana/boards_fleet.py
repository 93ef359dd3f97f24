"""The dashboards about the fleet: the four signals, and what the detectors and the runbook said."""

from __future__ import annotations

from typing import Final

from stream.grafana.panels import Board, Panel, Query, Row, Variable, stat

HERE: Final = 'environment=~"$environment", system=~"$system"'
ENVIRONMENT: Final = Variable("environment", "environment", "midwatch_flow_interactions")
SYSTEM: Final = Variable("system", "system", 'midwatch_flow_interactions{environment=~"$environment"}')
JOB: Final = Variable("job", "job", "midwatch_build_info")
MINE: Final = 'job=~"$job"'

ESCALATION: Final = Row(
    "Escalations, against the judged appropriateness",
    (
        Panel(
            "Escalation rate by flow",
            "Share of the interactions of the last 30 minutes that went to a human; dashed is what the flow's own past "
            "lets expect at this hour. The ten highest.",
            (
                Query(f"topk(10, flow:midwatch_escalation:ratio30m{{{HERE}}})", "{{flow}}"),
                Query(
                    f"midwatch_flow_expected_escalation_ratio{{{HERE}}} and on (environment, system, flow) "
                    f"topk(10, flow:midwatch_escalation:ratio30m{{{HERE}}})",
                    "{{flow}} expected",
                    dashed=True,
                ),
            ),
            "percentunit",
            height=9,
        ),
        Panel(
            "Appropriateness of escalations",
            "Mean judged score of escalation_appropriateness over 24 hours, of 1 to 5. Falling beside rising "
            "escalations: the agents escalate what they should not. Steady beside them: riskier requests.",
            (
                Query(
                    f'midwatch_evaluation_score_mean{{{HERE}, criterion="escalation_appropriateness"}}', "{{flow}}"
                ),
                Query(
                    f'midwatch_evaluation_expected_score{{{HERE}, criterion="escalation_appropriateness"}}',
                    "{{flow}} expected",
                    dashed=True,
                ),
            ),
            "none",
            height=9,
            low=1,
            high=5,
        ),
        Panel(
            "Times the expected rate",
            "The escalation rate of the last half hour over what is expected. 3 is the rule of thumb to wake somebody.",
            (Query(f"topk(10, flow:midwatch_escalation:over_expected{{{HERE}}})", "{{flow}}"),),
            "short",
        ),
        Panel(
            "Interactions",
            "Interactions of the last 30 minutes, by flow.",
            (Query(f"topk(10, midwatch_flow_interactions{{{HERE}}})", "{{flow}}"),),
            "short",
            stacked=True,
        ),
    ),
)

DENIALS: Final = Row(
    "Authorization denials",
    (
        Panel(
            "Denials by agent",
            "Denied requests of the last 30 minutes. A rise at one agent: it acts outside its scope.",
            (Query(f"topk(10, midwatch_agent_denials{{{HERE}}})", "{{agent}}"),),
            "short",
        ),
        Panel(
            "Denial rate by agent",
            "Share of each agent's requests that were denied; dashed is what its past lets expect.",
            (
                Query(f"topk(10, agent:midwatch_denial:ratio30m{{{HERE}}})", "{{agent}}"),
                Query(
                    f"midwatch_agent_expected_denial_ratio{{{HERE}}} and on (environment, system, agent) "
                    f"topk(10, agent:midwatch_denial:ratio30m{{{HERE}}})",
                    "{{agent}} expected",
                    dashed=True,
                ),
            ),
            "percentunit",
        ),
    ),
)

COST: Final = Row(
    "Cost against budget",
    (
        Panel(
            "Month: spent and forecast",
            "Share of the month's budget that is spent, and where the forecast ends. Over 100 % is an overrun.",
            (
                Query("budget:midwatch_spend:share", "{{budget}} spent"),
                Query("budget:midwatch_forecast:share", "{{budget}} forecast", dashed=True),
            ),
            "percentunit",
        ),
        Panel(
            "Spend of a day",
            "Dollars of the last 24 full hours, by budget.",
            (Query("sum by (budget) (midwatch_budget_day_usd)", "{{budget}}"),),
            "currencyUSD",
        ),
    ),
)

REQUESTS: Final = Row(
    "Requests",
    (
        Panel(
            "Failed interactions",
            "Share of the interactions of the last 30 minutes that failed, by system. Single requests, step by step, "
            "are on Midwatch's own page.",
            (
                Query(
                    f"sum by (environment, system) (midwatch_flow_failures{{{HERE}}}) "
                    f"/ (sum by (environment, system) (midwatch_flow_interactions{{{HERE}}}) > 0)",
                    "{{system}}",
                ),
            ),
            "percentunit",
        ),
        Panel(
            "Evaluation scores by criterion",
            "Mean over 24 hours of every criterion, over the flows, each flow by its scores.",
            (
                Query(
                    f"sum by (criterion) (midwatch_evaluation_score_mean{{{HERE}}} * midwatch_evaluation_scores) "
                    f"/ sum by (criterion) (midwatch_evaluation_scores{{{HERE}}} > 0)",
                    "{{criterion}}",
                ),
            ),
            "none",
            low=1,
            high=5,
        ),
    ),
)

SIGNALS: Final = Board(
    "midwatch-signals",
    "Midwatch: the four signals",
    "Escalations against appropriateness, denials, cost, requests: as the detectors see them.",
    (ESCALATION, DENIALS, COST, REQUESTS),
    (ENVIRONMENT, SYSTEM),
)

FIRINGS: Final = Row(
    "Now",
    (
        stat(
            "Pages",
            "Series with an open firing that is sure enough to wake somebody.",
            Query('sum(midwatch_firing{tier="page"}) or vector(0)', "pages"),
            "none",
            ((None, "green"), (1, "red")),
        ),
        stat(
            "Warnings",
            "Series with an open firing that is not.",
            Query('sum(midwatch_firing{tier="warning"}) or vector(0)', "warnings"),
            "none",
            ((None, "green"), (1, "orange")),
        ),
        stat(
            "Open incidents",
            "Firings that belong together are one incident.",
            Query(f"sum(midwatch_open_incidents{{{MINE}}})", "incidents"),
            "none",
            ((None, "green"), (1, "orange")),
        ),
        stat(
            "Silences in force",
            "Silences and maintenance windows. What they cover is detected and pages nobody.",
            Query(f"sum(midwatch_silences_active{{{MINE}}})", "silences"),
            "none",
            ((None, "green"), (1, "blue")),
        ),
        Panel(
            "Open firings",
            "Each series that fires: which detector, how sure, where.",
            (Query("max by (detector, tier, environment, system, series) (midwatch_firing)", "", instant=True),),
            "none",
            kind="table",
            width=24,
            height=7,
            low=None,
        ),
    ),
)

ANSWERS: Final = Row(
    "What the runbook answered",
    (
        Panel(
            "Verdicts by answer",
            "First verdicts of incidents in an hour, by the check that decided. Inconclusive: a person has to look.",
            (
                Query(
                    f'sum by (triage_result) (increase(midwatch_verdicts_total{{{MINE}, status="firing"}}[1h]))',
                    "{{triage_result}}",
                    exemplars=True,
                ),
            ),
            "short",
            stacked=True,
        ),
        Panel(
            "Firings by detector",
            "Firings opened in an hour.",
            (
                Query(
                    f'sum by (detector, tier) (increase(midwatch_firings_total{{{MINE}, status="firing"}}[1h]))',
                    "{{detector}} {{tier}}",
                    exemplars=True,
                ),
            ),
            "short",
            stacked=True,
        ),
        Panel(
            "Precision, by people's word",
            "Share of the judged incidents of the last 28 days in which something was wrong. Confirm and refute "
            "verdicts to fill it.",
            (
                Query(
                    f'avg by (detector, check) (midwatch_feedback_precision_ratio{{{MINE}, window="28d"}})',
                    "{{detector}} {{check}}",
                ),
            ),
            "percentunit",
            high=1,
        ),
        Panel(
            "Checks without an answer",
            "Share of the checks without data, or that failed. A verdict says so, and its causes are less sure.",
            (
                Query(
                    f'sum by (check, status) (increase(midwatch_checks_total{{{MINE}, status!="evaluated"}}[6h])) '
                    f"/ on (check) group_left () sum by (check) (increase(midwatch_checks_total{{{MINE}}}[6h]))",
                    "{{check}} {{status}}",
                ),
            ),
            "percentunit",
            high=1,
        ),
    ),
)

VERDICTS: Final = Board(
    "midwatch-verdicts",
    "Midwatch: detectors and verdicts",
    "What fires, what the runbook answered, and how often it was right.",
    (FIRINGS, ANSWERS),
    (JOB,),
    span="now-24h",
)
