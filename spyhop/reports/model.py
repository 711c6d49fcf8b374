"""A report as data; this is also the shape of its JSON.

Money is quote currency, shares and rates are fractions, `_bps` hundredths of a percent of the entry's notional. None
means that a number cannot be told from so little, never zero.
"""

from __future__ import annotations

import msgspec


class Interval(msgspec.Struct, frozen=True):
    """A 95 % confidence interval."""

    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Say whether zero cannot be ruled out."""
        return self.low <= 0.0 <= self.high


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Which session this is about. Times are UTC texts, "" when nothing happened."""

    session: str
    mode: str
    source: str
    is_simulated: bool
    runner: str
    version: str
    started: str
    symbols: list[str]
    currency: str
    first_event: str
    last_event: str
    days: float


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Closed trades: before_slippage - slippage = gross; gross - fees - funding = net.

    `cost_share` is all costs over `before_slippage`, None when that is not positive.
    """

    before_slippage: float
    slippage: float
    gross: float
    fees: float
    funding: float
    net: float
    notional: float
    cost_share: float | None


class WinRate(msgspec.Struct, frozen=True, kw_only=True):
    """Wins after costs, beside the rate that would only break even.

    `break_even` is p* = loss / (gain + loss) at the planned exits with taker fees; `break_even_observed` the same
    with the costs that were paid. `trades_needed` would tell the realised rate from `break_even`
    (one-sided 5 %, power 80 %);
    with fewer than 30 trades the realised one is too vague to ask.
    """

    wins: int
    trades: int
    rate: float | None
    interval: Interval
    break_even: float | None
    break_even_observed: float | None
    take_profit_bps: float | None
    stop_loss_bps: float | None
    cost_bps: float | None
    trades_needed: int | None


class Expectancy(msgspec.Struct, frozen=True, kw_only=True):
    """Net result of a trade: mean with Student's and a bootstrap interval; R is net over the risk that was approved."""

    mean_bps: float | None
    median_bps: float | None
    by_student: Interval | None
    by_bootstrap: Interval | None
    mean_r: float | None
    r_interval: Interval | None
    profit_factor: float | None


class Point(msgspec.Struct, frozen=True):
    """Equity after a trade closed."""

    ts: int
    equity: float


class Risk(msgspec.Struct, frozen=True, kw_only=True):
    """How deep it went. `with_open_frac` counts the worst price inside each trade, too.

    `sharpe` is annualised from daily equity, None under 90 days. `liquidation_distance_frac` is the least price move
    that stood between a position and its liquidation.
    """

    start_equity: float | None
    equity: list[Point]
    max_drawdown: float
    max_drawdown_frac: float | None
    with_open_frac: float | None
    worst_trade: float | None
    best_trade: float | None
    worst_day: float | None
    top5_share: float | None
    max_leverage: float | None
    max_margin_leverage: float | None
    liquidation_distance_frac: float | None
    num_liquidated: int
    sharpe: float | None
    sharpe_note: str


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """How long trades were held, seconds, and how they ended (shares by purpose)."""

    min_s: float | None
    median_s: float | None
    max_s: float | None
    exits: dict[str, int]


class Count(msgspec.Struct, frozen=True):
    """How often something was said, and an example."""

    what: str
    count: int
    example: str = ""


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at and why little was done. `mean_probabilities` is by strategy over all decisions."""

    num_decisions: int
    num_intents: int
    num_approved: int
    winners: dict[str, int]
    mean_probabilities: dict[str, float]
    non_entries: list[Count]
    refusals: list[Count]


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What became of orders; `maker_share` is of fills."""

    num_orders: int
    num_rejected: int
    num_cancelled: int
    num_fills: int
    maker_share: float | None
    rejections: list[Count]


class BySymbol(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument's trades."""

    symbol: str
    trades: int
    wins: int
    before_slippage: float
    slippage: float
    fees: float
    funding: float
    net: float


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """What the tape of one instrument was like. Seconds are whole seconds of event time at which it was so.

    `clock_offset_ms` is the least receive time minus venue time; negative means that our clock ran behind by at least
    that. `first_price` and `last_price` are mids (last trades where there was no book).
    """

    symbol: str
    is_simulated: bool
    first_ts: int
    last_ts: int
    num_events: int
    num_trades: int
    seconds: int
    stale_book_s: int
    stale_trades_s: int
    no_book_s: int
    crossed_s: int
    gap_s: int
    num_out_of_order: int
    clock_offset_ms: float | None
    first_price: float | None
    last_price: float | None
    counters: dict[str, float]


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """What doing something simpler would have brought over the same span, in bp of the notional put in."""

    name: str
    gross_bps: float
    cost_bps: float
    net_bps: float


class Sensitivity(msgspec.Struct, frozen=True):
    """The same trades under other costs."""

    name: str
    net: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What may be concluded. `has_edge` is True only where every test says so."""

    has_edge: bool
    headline: str
    reasons: list[str]


class TailTest(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor's value at risk of a unit held, a minute ahead, against what came; see `reports.tails`.

    p-values are simulated: of as many losses beyond it as promised (Kupiec), of their standing apart (Christoffersen),
    and of their size (Acerbi, Szekely). With fewer than `minutes_needed` none of it is told.
    """

    symbol: str
    side: str
    method: str
    probability: float
    minutes: int
    minutes_needed: int
    expected: float | None = None
    exceedances: int | None = None
    coverage_p: float | None = None
    independence_p: float | None = None
    shortfall_z: float | None = None
    shortfall_p: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is said about one session."""

    head: Head
    verdict: Verdict
    money: Money
    win_rate: WinRate
    expectancy: Expectancy
    risk: Risk
    holding: Holding
    net_bps: list[float]
    decisions: Decisions
    orders: Orders
    by_symbol: list[BySymbol]
    quality: list[Quality]
    benchmarks: list[Benchmark]
    sensitivities: list[Sensitivity]
    notes: list[str]
    tails: list[TailTest] = []


def encoded(report: Report) -> bytes:
    """Return the report as readable JSON."""
    return msgspec.json.format(msgspec.json.encode(report)) + b"\n"
