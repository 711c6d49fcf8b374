"""Which queries stand on which dashboard; every name in them is one of the table, or of Ray's own."""

from __future__ import annotations

import msgspec

from actors.metrics import TABLE, Kind, Metric

_BY_NAME = {metric.name: metric for metric in TABLE}
WINDOW = "1m"
QUANTILES = (0.5, 0.99)


class Query(msgspec.Struct, frozen=True):
    """A query of Prometheus and what its series are called."""

    expr: str
    legend: str


class Panel(msgspec.Struct, frozen=True):
    """A graph; `unit` as Grafana calls it, `steps` (bound, colour) from where on a value is painted."""

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    steps: tuple[tuple[float, str], ...] = ()


class Board(msgspec.Struct, frozen=True):
    """A dashboard: rows of panels under a heading."""

    uid: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def latest(name: str, by: str = "actor") -> Query:
    """Return a query of a number as it is; of counters, which outlive their workers, only those of the living."""
    of_living = f" and on (WorkerId) {_series('alive')}" if _BY_NAME[name].kind is Kind.COUNTER else ""
    return Query(f"max by ({by}) ({_series(name)}{of_living})", "{{" + by.replace(", ", "}} {{") + "}}")


def rate(name: str, by: str = "actor") -> Query:
    """Return a query of how fast a counter grows, a second; what its older lives counted does not count again."""
    return Query(f"sum by ({by}) (rate({_series(name)}[{WINDOW}]))", "{{" + by.replace(", ", "}} {{") + "}}")


def quantiles(name: str) -> tuple[Query, ...]:
    """Return queries of a distribution's quantiles over everyone who has it."""
    series = _series(name, "_bucket")
    return tuple(
        Query(f"histogram_quantile({q}, sum by (le) (rate({series}[{WINDOW}])))", f"p{q * 100:.0f}") for q in QUANTILES
    )


def _series(name: str, suffix: str = "") -> str:
    metric = _BY_NAME[name]
    assert (metric.kind is Kind.HISTOGRAM) == (suffix != ""), name
    return f'{metric.series}{suffix}{{SessionName=~"$session"}}'


def panel(title: str, unit: str, *queries: Query, steps: tuple[tuple[float, str], ...] = ()) -> Panel:
    """Return a panel that says of itself what the table says of its metrics."""
    asked = [metric for metric in TABLE if any(_is_asked(metric.series, query.expr) for query in queries)]
    named = [metric for metric in asked if metric.name != "alive"] or asked
    if len(named) > 1:
        queries = tuple(Query(query.expr, f"{_asked(query, named)} {query.legend}") for query in queries)
    return Panel(title, ". ".join(f"{metric.name}: {metric.what}" for metric in named), unit, queries, steps)


def _asked(query: Query, named: list[Metric]) -> str:
    return next(metric.name for metric in named if _is_asked(metric.series, query.expr))


def _is_asked(series: str, expr: str) -> bool:
    return any(f"{series}{suffix}{{" in expr for suffix in ("", "_bucket"))


_BAD = ((1.0, "red"),)
_STATE_STEPS = ((1.0, "yellow"), (2.0, "orange"), (3.0, "red"))

TRADING = Board(
    "spyhopTrading",
    "Spyhop: trading",
    (
        (
            "Account",
            (
                panel("Equity", "none", latest("equity")),
                panel("Drawdown of the day", "percentunit", latest("drawdown"), steps=((0.05, "red"),)),
                panel("Net result", "none", latest("net")),
                panel("Loss of the day", "none", latest("daily_loss"), latest("margin_in_use")),
            ),
        ),
        (
            "Risk",
            (
                panel("State (0 can trade, 1 suspect, 2 halt, 3 escape)", "none", latest("risk_state", "code"),
                      steps=_STATE_STEPS),
                panel("Verdicts", "cps", rate("approved"), rate("refused")),
                panel("Refusals by code", "none", latest("refusals", "code")),
                panel("Losses in a row, fencing epoch", "none", latest("losses_in_row"), latest("epoch")),
            ),
        ),
        (
            "Orders",
            (
                panel("Orders that came into a state", "none", latest("orders", "code")),
                panel("Orders alive, trips open", "none", latest("live_orders"), latest("open_trips")),
                panel("Trips ended", "none", latest("closed_trips")),
                panel("Not certain", "none", latest("unclean"), steps=_BAD),
                panel("Desks: commands and reports", "cps", rate("commands"), rate("reports")),
                panel("Desks: mended or borne", "none", latest("desk_faults", "actor, code"), latest("connected")),
            ),
        ),
        (
            "Decisions",
            (
                panel("A row leaves its feed until it is judged", "s", *quantiles("decision_seconds")),
                panel("An intent leaves until it is answered", "s", *quantiles("verdict_seconds")),
                panel("Decisions and intents", "cps", rate("decisions"), rate("intents")),
                panel("Rows judged; paused", "cps", rate("rows"), latest("is_paused")),
            ),
        ),
    ),
)  # fmt: skip

SYSTEM = Board(
    "spyhopSystem",
    "Spyhop: feeds and actors",
    (
        (
            "Feeds",
            (
                panel("Source (0 socket, 1 REST)", "none", latest("feed_mode"), steps=_BAD),
                panel("Lag", "s", latest("lag_s"), steps=((1.0, "red"),)),
                panel("Age of the price", "ms", latest("price_age_ms"), steps=((5_000.0, "red"),)),
                panel("Events", "cps", rate("events")),
                panel("Missing on the tape", "none", latest("gaps", "actor, code")),
                panel("Connections", "none", latest("connections", "actor, code"), latest("sockets_down")),
                panel("REST", "cps", rate("rest", "actor, code")),
                panel("Clock of the venue before ours", "ms", latest("clock_offset_ms")),
                panel("Waiting to be taken, given up", "none", latest("queued"), latest("shed", "actor, code")),
                panel("Mid", "none", latest("mid")),
            ),
        ),
        (
            "Actors",
            (
                panel("Turns of the loop a second", "cps", rate("beats")),
                panel("Alive", "none", latest("alive")),
                panel("Restarts", "none", latest("restarts"), steps=_BAD),
                panel("Mailboxes", "none", latest("mailbox")),
                panel("Not sent yet", "none", latest("unsent")),
                panel(
                    "Seen by the conductor: restarts, planned, wedged",
                    "none",
                    latest("actor_restarts", "code"),
                    latest("planned_restarts", "code"),
                    latest("wedged_kills", "code"),
                ),
                panel("Stalled or silent", "none", latest("stalled", "code"), latest("silent", "code"), steps=_BAD),
            ),
        ),
        (
            "Ledger",
            (
                panel("Nothing kept for", "s", latest("outage_s"), steps=((1.0, "red"),)),
                panel("Records leave until they are durable", "s", *quantiles("commit_seconds")),
                panel("Outages and failed attempts", "none", latest("outages"), latest("failures")),
            ),
        ),
    ),
)

BOARDS = (TRADING, SYSTEM)


class Alert(msgspec.Struct, frozen=True):
    """When somebody must look: an expression that holds for so long; `severity` is `page` or `warning`."""

    name: str
    expr: str
    lasts: str
    severity: str
    says: str


_BEATS = _BY_NAME["beats"].series


def _now(name: str) -> str:
    return f"max by (actor) ({_BY_NAME[name].series})"


# every life of an actor is a worker of its own, and Ray goes on telling the counters of dead ones: so what counts is
# whether they grow
ALERTS = (
    Alert(
        "SpyhopRiskHalt", f'max by (code) ({_BY_NAME["risk_state"].series}{{code=""}}) >= 2', "0s", "page",
        "The supervisor permits no entries (2 halt, 3 escape: positions are being closed): spyhop status says why.",
    ),
    Alert(
        "SpyhopDrawdown", f"{_now('drawdown')} > 0.05", "0s", "page",
        "Equity is more than 5 % below the day's highest.",
    ),
    Alert(
        "SpyhopFeedOnRest", f"{_now('feed_mode')} == 1", "30s", "warning",
        "{{ $labels.actor }} has no trusted socket and asks by REST.",
    ),
    Alert(
        "SpyhopFeedLate", f"{_now('lag_s')} > 1", "15s", "warning",
        "{{ $labels.actor }} hands events on {{ $value | humanizeDuration }} late.",
    ),
    Alert(
        "SpyhopDecisionsSlow",
        f"histogram_quantile(0.99, sum by (le) (rate({_BY_NAME['decision_seconds'].series}_bucket[5m]))) > 0.25",
        "1m", "warning", "One row in a hundred takes more than a quarter of a second to be judged.",
    ),
    Alert(
        "SpyhopLedgerOutage", f"{_now('outage_s')} > 5", "0s", "page",
        "Nothing is kept for {{ $value | humanizeDuration }}; no order leaves until it is.",
    ),
    Alert(
        "SpyhopNoHeartbeat",
        f"(sum by (actor) (increase({_BEATS}[15m])) > 0 unless sum by (actor) (rate({_BEATS}[{WINDOW}])) > 0)"
        f" and on () (sum(rate({_BEATS}[{WINDOW}])) > 0)",
        "15s", "page", "The loop of {{ $labels.actor }} does not turn, while others do.",
    ),
    Alert(
        "SpyhopSilent", f"sum(increase({_BEATS}[10m])) > 0 unless on () (sum(rate({_BEATS}[{WINDOW}])) > 0)",
        "30s", "warning", "No actor is heard any more: the session has ended, or its machines are gone.",
    ),
    Alert(
        "SpyhopRestarts", f"count by (actor) (increase({_BEATS}[10m]) > 0) > 3", "0s", "warning",
        "{{ $labels.actor }} has had {{ $value }} lives within ten minutes.",
    ),
    Alert(
        "SpyhopDeskDeaf", f"{_now('connected')} == 0", "30s", "page",
        "{{ $labels.actor }} does not hear its venue; nothing is entered there.",
    ),
    Alert(
        "SpyhopUncertain", f"{_now('unclean')} > 0", "2m", "warning",
        "{{ $labels.actor }}: position or orders of {{ $value }} instruments are not certain.",
    ),
)  # fmt: skip
