"""What Prometheus may know of an actor: one table of names, and who publishes them through Ray, with few labels.

A statistic that the table does not name stays in the actor's health, where `spyhop status --json` shows it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from enum import StrEnum
from typing import Any

import msgspec
from ray.util.metrics import Counter, Gauge, Histogram

from spyhop.clock import NS_PER_S, Clock
from spyhop.model.orders import OrderStatus

TAGS = ("actor", "code")
"""Every series has these and what Ray adds; `code` is empty where there is nothing to tell apart."""
PREFIX = "spyhop"
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Kind(StrEnum):
    """Whether a number only grows, moves, or is a distribution."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True):
    """A name that Prometheus knows as `ray_spyhop_<name>` (a counter's ends in `_total`).

    `by` says who has it. `codes` names the statistics that it is made of and the code of each; without, it is the
    statistic of its own name, whose `name:code` has the code behind the colon. `is_live` ones need live venues.
    """

    name: str
    kind: Kind
    by: str
    what: str
    codes: dict[str, str] = {}
    is_live: bool = False

    @property
    def series(self) -> str:
        """Return the name to ask Prometheus for; a histogram's has `_bucket`, `_sum` or `_count` besides."""
        return f"ray_{PREFIX}_{self.name}{'_total' if self.kind is Kind.COUNTER else ''}"


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

TABLE = (
    Metric("alive", _G, "all", "1; gone within 15 s of its process, while counters stay"),
    Metric("beats", _C, "all", "turns of the loop that published; one a second while it lives"),
    Metric("restarts", _C, "stages", "lives of the actor before this one"),
    Metric("unsent", _G, "stages", "parcels that wait to be sent or to be durable at the other end"),
    Metric("mailbox", _G, "ensemble, risk, orders, executor", "messages, rows or events that wait for slower senders"),
    Metric("lag_s", _G, "feed", "how late the newest event was handed on, seconds"),
    Metric("decision_seconds", _H, "feed", "from a parcel of rows leaving its feed until it is judged and answered"),
    Metric("verdict_seconds", _H, "ensemble", "from a parcel of intents leaving until the supervisor has answered"),
    Metric("commit_seconds", _H, "stages", "from records leaving until they are durable"),
    Metric("events", _C, "feed", "events of the tape"),
    Metric("mid", _G, "feed", "price in the middle of the newest row"),
    Metric("feed_mode", _G, "feed", "0 on its socket, 1 on REST", {"mode": ""}, is_live=True),
    Metric("price_age_ms", _G, "feed", "age of the newest price, milliseconds", is_live=True),
    Metric("clock_offset_ms", _G, "feed", "the venue's clock before ours, milliseconds", is_live=True),
    Metric("sockets_down", _G, "feed", "connections that are not open", is_live=True),
    Metric("queued", _G, "feed", "events that wait to be taken from the thread of the connections", is_live=True),
    Metric(
        "gaps",
        _C,
        "feed",
        "what is missing on the tape: breaks of the book, of a stream, trades, minutes",
        {
            "sequence.gaps": "book",
            "gaps": "stream",
            "missing_trades": "trades",
            "missing_bars": "bars",
            "bars.gap_minutes": "minutes",
        },
    ),
    Metric(
        "shed",
        _C,
        "feed",
        "market data given up because nobody read",
        {"shed": "dropped", "conflated": "merged"},
        is_live=True,
    ),
    Metric(
        "connections",
        _C,
        "feed, executor",
        "what happened to connections",
        {
            **_same("disconnects", "reconnects", "rollovers", "mute", "connect_failures", "switches"),
            **{
                f"private_{name}": name
                for name in ("losses", "rollovers", "mute", "connect_failures", "keep_failures")
            },
        },
        is_live=True,
    ),
    Metric("rest", _C, "feed", "requests by REST", _same("polls", "rest_errors", "throttled"), is_live=True),
    Metric("rows", _C, "ensemble", "rows judged"),
    Metric("decisions", _C, "ensemble", "decisions made"),
    Metric("intents", _C, "ensemble", "intents handed to the supervisor"),
    Metric("is_paused", _G, "ensemble", "1 while nothing new is wanted"),
    Metric("approved", _C, "risk", "intents approved"),
    Metric("refused", _C, "risk", "intents refused"),
    Metric("refusals", _C, "risk", "intents refused, by the code of the first limit that they broke"),
    Metric("risk_state", _G, "risk", "0 can trade, 1 suspect, 2 halt, 3 escape; gravest, and by instrument"),
    Metric("equity", _G, "risk", "equity at marks, quote currency"),
    Metric("drawdown", _G, "risk", "how far equity is below the day's highest, a fraction"),
    Metric("daily_loss", _G, "risk", "loss since midnight UTC at marks, quote currency"),
    Metric("margin_in_use", _G, "risk", "margin of what is held, quote currency"),
    Metric("losses_in_row", _G, "risk", "trades lost since the last one that was not"),
    Metric("epoch", _G, "risk", "fencing number of the supervisor's life"),
    Metric("open_trips", _G, "orders, executor", "round trips under way"),
    Metric("live_orders", _G, "orders, executor", "orders that something can still become of"),
    Metric("closed_trips", _C, "orders, executor", "round trips ended"),
    Metric("net", _G, "orders, executor", "what trading came to after fees and funding, quote currency"),
    Metric("unclean", _G, "orders, executor", "instruments whose position or orders are not certain"),
    Metric(
        "orders",
        _C,
        "orders, executor",
        "orders that came into a state",
        {f"orders_{status}": str(status) for status in OrderStatus},
    ),
    Metric("connected", _G, "executor", "1 while the private stream speaks", is_live=True),
    Metric("commands", _C, "executor", "commands taken from the order stage", is_live=True),
    Metric("reports", _C, "executor", "reports of the venue told", is_live=True),
    Metric(
        "desk_faults",
        _C,
        "executor",
        "what a desk had to mend or to bear",
        _same(
            "overfills", "foreign", "losses", "repeats", "failed_questions", "failed_comparisons", "unknown_cancels",
            "cancels_of_strangers", "switch_failures",
        ),
        is_live=True,
    ),
    Metric("actor_restarts", _C, "conductor", "lives of an actor that ended and were followed by another, by actor"),
    Metric("planned_restarts", _C, "conductor", "of these begun on purpose: by command, or for what it held"),
    Metric("wedged_kills", _C, "conductor", "processes killed because their loop did not turn, by actor"),
    Metric("stalled", _G, "conductor", "1 where nothing has moved for 30 s, by actor"),
    Metric("silent", _G, "conductor", "1 while an actor does not answer, by actor"),
    Metric("outage_s", _G, "ledger", "how long nothing has been kept, seconds; 0 when all is well"),
    Metric("outages", _C, "ledger", "times when the database or the disk refused"),
    Metric("failures", _C, "ledger", "attempts to keep something that failed"),
)  # fmt: skip

_OWN = ("alive", "beats", "decision_seconds", "verdict_seconds", "commit_seconds")
_BY_STATISTIC = {
    statistic: (metric, code)
    for metric in TABLE
    if metric.name not in _OWN
    for statistic, code in (metric.codes or {metric.name: ""}).items()
}
_BY_NAME = {metric.name: metric for metric in TABLE}
_BY_EDGE = {"rows": "decision_seconds", "intents": "verdict_seconds", "records": "commit_seconds"}


class Meters:
    """The series of one actor in its process; each is made when it is first seen."""

    def __init__(self, actor: str) -> None:
        self._actor = actor
        self._made: dict[str, Any] = {}
        self._told: dict[tuple[str, str], float] = {}

    def publish(self, statistics: Mapping[str, float]) -> None:
        """Tell Ray every statistic that the table names, and that the actor still turns."""
        for full, number in statistics.items():
            name, _, code = full.partition(":")
            found = _BY_STATISTIC.get(name)
            if found is not None:
                metric, usual = found
                self._tell(metric, usual or code, number)
        self._tell(_BY_NAME["alive"], "", 1.0)
        self._tell(_BY_NAME["beats"], "", self._told.get(("beats", ""), 0.0) + 1.0)

    def observe(self, name: str, seconds: float) -> None:
        """Add to the distribution `name`."""
        self._series(_BY_NAME[name]).observe(seconds, tags={"actor": self._actor, "code": ""})

    def watched(self, edge: str, handle: Any, clock: Clock) -> Any:
        """Return the handle to use on `edge`: with a watch where the table has a distribution of its answers."""
        return Watched(handle, _BY_EDGE[edge], self, clock) if edge in _BY_EDGE else handle

    def _tell(self, metric: Metric, code: str, number: float) -> None:
        tags = {"actor": self._actor, "code": code}
        if metric.kind is Kind.GAUGE:
            self._series(metric).set(number, tags=tags)
            return
        # a statistic of a restored actor begins where it was: its counter has the same number in every life
        grown = number - self._told.get((metric.name, code), 0.0)
        if grown > 0.0:
            self._series(metric).inc(grown, tags=tags)
            self._told[metric.name, code] = number

    def _series(self, metric: Metric) -> Any:
        made = self._made.get(metric.name)
        if made is None:
            name = f"{PREFIX}_{metric.name}"
            if metric.kind is Kind.HISTOGRAM:
                made = Histogram(name, description=metric.what, boundaries=list(BOUNDS_S), tag_keys=TAGS)
            else:
                kind = Counter if metric.kind is Kind.COUNTER else Gauge
                made = kind(name, description=metric.what, tag_keys=TAGS)
            self._made[metric.name] = made
        return made


class Watched:
    """A handle whose `receive` is timed; it is asked for nothing else on an edge."""

    def __init__(self, handle: Any, name: str, meters: Meters, clock: Clock) -> None:
        self._handle, self._name, self._meters, self._clock = handle, name, meters, clock
        self.receive = self

    def remote(self, *arguments: object) -> Awaitable[Any]:
        """Call, and note how long the answer took; an answer that does not come is not noted."""
        return self._answered(self._clock.monotonic_ns(), self._handle.receive.remote(*arguments))

    async def _answered(self, began: int, answer: Awaitable[Any]) -> Any:
        receipt = await answer
        self._meters.observe(self._name, (self._clock.monotonic_ns() - began) / NS_PER_S)
        return receipt
