"""The simulated fleet: eight products of an imaginary insurer and shop, each with its agents and dependencies."""

from __future__ import annotations

from scenarios.fleet_model import Flow, Permission, StepPlan, System
from schemas.words import EscalationReason

MODEL = "gpt-4o"

_MIX: tuple[tuple[EscalationReason, float], ...] = (
    ("ambiguous", 0.35),
    ("high_risk", 0.25),
    ("customer_request", 0.22),
    ("policy", 0.13),
    ("error", 0.05),
)


def _plan(planner: str, tool: str, dependency: str, executor: str) -> tuple[StepPlan, ...]:
    """The usual shape: understand, look up, decide."""
    return (
        StepPlan(planner, "invoke_agent", "understand-request", 650.0, None, 820, 96),
        StepPlan(executor, "execute_tool", tool, 180.0, dependency),
        StepPlan(executor, "invoke_agent", "decide-and-answer", 900.0, None, 1350, 180),
    )


def _flow(
    name: str,
    per_minute: float,
    escalated_share: float,
    version: str,
    steps: tuple[StepPlan, ...],
    action: str,
    resource: str,
    texts: tuple[tuple[str, ...], tuple[str, ...]],
) -> Flow:
    agent = steps[-1].agent
    permission = Permission(agent, action, resource, f"svc-{agent}")
    return Flow(name, per_minute, escalated_share, _MIX, MODEL, version, steps, permission, *texts)


def _tags(system: str, unit: str, cost_center: str) -> tuple[tuple[str, str], ...]:
    pairs = {"business-unit": unit, "cost-center": cost_center, "environment": "production", "system": system}
    return tuple(sorted(pairs.items()))


REFUNDS = System(
    "refunds",
    (
        _flow(
            "refund-request",
            4.6,
            0.042,
            "2026.02.3",
            _plan("refund-intake", "lookup_payment", "payments-api", "refund-executor"),
            "refunds:create",
            "orders/*",
            (
                ("I was charged twice for order {n}. Please refund one of the charges.", "Where is my refund for {n}?"),
                ("Your refund of {n} is on its way and arrives in 3 to 5 days.", "Refund for {n} issued to your card."),
            ),
        ),
    ),
    _tags("refunds", "retail", "cc-4410"),
    12.0,
)

ONBOARDING = System(
    "onboarding",
    (
        _flow(
            "kyc-onboarding",
            4.0,
            0.034,
            "5.8.0",
            _plan("onboarding-guide", "verify_identity", "identity-check-api", "onboarding-clerk"),
            "accounts:open",
            "customers/*",
            (
                ("I want to open an account; my passport is attached ({n}).", "Is my identity check {n} done yet?"),
                ("Your identity is verified and account {n} is open.", "Check {n} has passed; you can start at once."),
            ),
        ),
    ),
    _tags("onboarding", "banking", "cc-5120"),
    11.0,
)

CLAIMS = System(
    "claims",
    (
        _flow(
            "claim-triage",
            4.4,
            0.051,
            "3.14.2",
            _plan("claim-reader", "score_fraud", "fraud-check-api", "claim-adjuster"),
            "claims:settle",
            "claims/*",
            (
                (
                    "My car was hit in a car park, claim {n}.",
                    "Water in the kitchen, claim {n}, photos attached.",
                ),
                ("Claim {n} is approved; 1,240 is paid out tomorrow.", "Claim {n} is settled within your cover."),
            ),
        ),
    ),
    _tags("claims", "insurance", "cc-6300"),
    12.5,
)

DISPUTES = System(
    "disputes",
    (
        _flow(
            "chargeback-dispute",
            4.4,
            0.046,
            "1.22.0",
            _plan("dispute-reader", "fetch_ledger", "ledger-api", "dispute-resolver"),
            "disputes:resolve",
            "cards/*",
            (
                ("I do not recognise payment {n} on my card.", "The shop never delivered, payment {n}."),
                ("We have credited payment {n} while the shop answers.", "Dispute {n} is closed in your favour."),
            ),
        ),
    ),
    _tags("disputes", "banking", "cc-5140"),
    12.0,
)

LENDING = System(
    "lending",
    (
        _flow(
            "loan-prequalification",
            4.2,
            0.038,
            "7.3.1",
            _plan("loan-advisor", "fetch_credit_file", "credit-bureau-api", "loan-underwriter"),
            "offers:create",
            "applications/*",
            (
                ("How much could I borrow for a kitchen, application {n}?", "Can I add my partner to {n}?"),
                ("You prequalify for up to 18,000 on application {n}.", "Your partner is added to {n}."),
            ),
        ),
    ),
    _tags("lending", "banking", "cc-5210"),
    12.0,
)

ORDERS = System(
    "orders",
    (
        _flow(
            "order-status",
            3.2,
            0.024,
            "4.0.6",
            _plan("order-concierge", "track_parcel", "shipping-api", "order-clerk"),
            "orders:update",
            "orders/*",
            (
                ("Where is parcel {n}?", "Please deliver {n} to my neighbour."),
                ("Parcel {n} arrives today between 2 and 4 pm.", "{n} goes to your neighbour at number 12."),
            ),
        ),
        _flow(
            "returns",
            2.2,
            0.031,
            "4.0.6",
            _plan("returns-concierge", "create_label", "shipping-api", "returns-clerk"),
            "returns:create",
            "orders/*",
            (
                ("The shoes of order {n} are too small.", "I want to return {n}."),
                ("A return label for {n} is in your inbox.", "Return {n} is booked; drop it at any shop."),
            ),
        ),
    ),
    _tags("orders", "retail", "cc-4420"),
    12.0,
)

UNDERWRITING = System(
    "underwriting",
    (
        _flow(
            "policy-quote",
            4.2,
            0.040,
            "2.9.4",
            _plan("quote-advisor", "score_risk", "risk-score-api", "quote-underwriter"),
            "quotes:issue",
            "quotes/*",
            (
                ("Please quote home insurance for a flat, quote {n}.", "What does flood cover add to {n}?"),
                ("Quote {n}: 31.20 a month, flood included.", "Flood cover adds 4.10 a month to {n}."),
            ),
        ),
    ),
    _tags("underwriting", "insurance", "cc-6310"),
    12.0,
)

HELPDESK = System(
    "helpdesk",
    (
        _flow(
            "password-reset",
            2.4,
            0.021,
            "9.1.0",
            _plan("helpdesk-greeter", "reset_password", "directory-api", "helpdesk-operator"),
            "directory:reset",
            "employees/*",
            (
                ("I am locked out, ticket {n}.", "My password expired, ticket {n}."),
                ("A reset link for ticket {n} is in your mailbox.", "You are back in; ticket {n} is closed."),
            ),
        ),
        _flow(
            "software-request",
            1.6,
            0.055,
            "6.4.0",
            _plan("catalog-advisor", "check_licence", "licence-api", "catalog-operator"),
            "licences:assign",
            "employees/*",
            (
                ("I need a drawing tool, ticket {n}.", "Please renew my licence, ticket {n}."),
                ("The tool is installed tonight, ticket {n}.", "Licence renewed until March, ticket {n}."),
            ),
        ),
    ),
    _tags("helpdesk", "corporate", "cc-1000"),
    12.0,
)

FLEET: tuple[System, ...] = (REFUNDS, ONBOARDING, CLAIMS, DISPUTES, LENDING, ORDERS, UNDERWRITING, HELPDESK)
